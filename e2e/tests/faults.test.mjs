// The TypeScript client in real browsers behind a bad network: a page with nothing on it loads /efir.js and reads three channels over each
// transport, alone and by automatic choice, while connections break, fall silent, repeat and buffer, and the server is killed once. What
// pages and publishers saw is one history, judged by the checker of the matrix. The long campaign runs in Node (packages/client/campaign).
import assert from "node:assert/strict";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { HttpPublisher, payload } from "../../packages/client/campaign/actors.mjs";
import { History } from "../../packages/client/campaign/history.mjs";
import { plan } from "../../packages/client/campaign/plans.mjs";
import { Random } from "../../packages/client/campaign/random.mjs";
import { ways } from "../../packages/client/campaign/ways.mjs";
import { start } from "../stage/browsers.mjs";
import { Proxy } from "../stage/proxy.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const pages = fileURLToPath(new URL("../pages", import.meta.url));
const channels = ["news", "общий-чат"];
/** Faults of one page. */
const faults = 15;
const settle_ms = 60_000;
const seed = process.env.EFIR_SEED ?? String(Math.floor(Math.random() * 2 ** 32));

const browsers = {};

before(async () => {
  console.log(`seed ${seed} (EFIR_SEED)`);
  [browsers.chromium, browsers.firefox] = await Promise.all([start.chromium(), start.firefox()]);
});

after(() => Promise.all(Object.values(browsers).map((browser) => browser.close())));

/** A reader and publisher in a page. What happens there is kept in the page, in its order, until it is fetched. */
class PageClient {
  constructor(window, history, name) {
    Object.assign(this, { window, history, name, newest: new Map(), gaps: new Map(), own: 0 });
  }

  async begin(options) {
    for (const channel of channels) this.history.open(this.name, options.transport ?? "none", channel, "start");
    await this.window.evaluate(
      async ({ options, channels }) => {
        const { connect } = await import("/efir.js");
        const client = connect(location.origin, options);
        const seen = [];
        Object.assign(globalThis, { client, seen });
        client.on("error", (error) => seen.push({ error: `${error.code}: ${error.message}` }));
        for (const name of channels) {
          const channel = client.channel(name);
          channel.on("gap", (gap) => seen.push({ gap }));
          channel.subscribe(({ position, data }) => seen.push({ channel: name, position, data: data instanceof Uint8Array ? { bytes: [...data] } : { data } }), { after: "start" });
        }
      },
      { options, channels },
    );
  }

  /** Publishes from the page. The history has to have the publish before anybody sees the message. */
  async publish(channel, text) {
    this.isPublishing = true;
    const key = `${this.name.replaceAll(" ", ".")}.${++this.own}`;
    const op = this.history.publish(this.name, channel, key, text);
    const answer = await this.window.evaluate(
      ({ channel, text, key }) =>
        globalThis.client
          .channel(channel)
          .publish(text, { key })
          .then(({ position, duplicate }) => ({ position, duplicate }))
          .catch(({ code }) => ({ code })),
      { channel, text, key },
    );
    if (answer.code) this.history.unanswered(this.name, op);
    else this.history.accepted(this.name, op, answer);
    this.isPublishing = false;
  }

  /** Writes what the page saw since the last time into the history. */
  async fetch() {
    const seen = await this.window.evaluate(() => globalThis.seen.splice(0));
    for (const item of seen) {
      if (item.gap) {
        this.newest.set(item.gap.channel, item.gap.resume_from);
        this.gaps.set(item.gap.channel, (this.gaps.get(item.gap.channel) ?? 0) + 1);
        this.history.gap(this.name, item.gap);
      } else if (item.position) {
        this.newest.set(item.channel, item.position);
        const data = item.data.bytes ? new Uint8Array(item.data.bytes) : item.data.data;
        this.history.received(this.name, { ...item, data });
      } else this.error = item.error;
    }
  }

  async has(positions) {
    await this.fetch();
    return channels.every((channel) => this.newest.get(channel) === positions.get(channel));
  }
}

async function suffer(browser, way) {
  const random = new Random(`${seed}/${browser}/${way.name}`);
  const history = new History();
  const server = await Server.start({ args: ["--static", pages], times: { poll_interval: "100ms" }, page: "any", isAlone: true });
  const proxy = await Proxy.before(server.port, server.host);
  const direct = new HttpPublisher("direct", server.url, history);
  const window = await browsers[browser].window();
  try {
    await window.goto(`${proxy.url}/blank.html`);
    const page = new PageClient(window, history, `${browser} by ${way.name}`);
    await page.begin(way.options);
    const sayLast = async (word) => {
      const last = new Map();
      for (const channel of channels) last.set(channel, (await direct.publish(channel, `${word} in ${channel}`, `${word}.${channels.indexOf(channel)}`)).position);
      await until(`the page has everything: ${word}`, () => page.has(last), { within_ms: settle_ms, seen: () => [...page.newest, page.error ?? "no error"] });
    };
    await sayLast("first");
    // The page stands; from here on every new connection is spoilt, and those that are open break.
    proxy.fault(plan(random.of("plan"), way));
    proxy.cut();
    let n = 0;
    const talk = async (until_faults) => {
      const speak = async () => {
        n += 1;
        await direct.publish(random.pick(channels), payload(random, `direct ${n}`), `direct.${n}`);
        if (n % 4 === 0 && !page.isPublishing) page.publish(random.pick(channels), `typed ${n}`);
        await page.fetch();
        // A page that is brought back makes its next attempt now.
        if (n % 10 === 0) await window.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow")));
        return proxy.faults >= until_faults;
      };
      await until(`${until_faults} faults`, speak, { within_ms: settle_ms * 2, seen: () => [proxy.applied, ...page.newest, page.error ?? "no error"] });
    };
    await talk(faults / 2);
    await until("every cursor is of this life", async () => (await page.fetch(), page.newest.size === channels.length));
    await server.kill();
    history.lost();
    await server.launch();
    await talk(faults);
    proxy.calm();
    await until("what was published from the page is answered", () => !page.isPublishing, { within_ms: settle_ms });
    await sayLast("last");
    for (const channel of channels) {
      history.settled(page.name, channel);
      assert.equal(page.gaps.get(channel), 1, `one gap in ${channel} for one kill`);
    }
    const judged = await history.judge(path.join(os.tmpdir(), `efir-browser-${process.pid}-${browser}-${way.name}.jsonl`));
    assert.ok(judged.holds, judged.words);
    console.log(`${browser}, ${way.name}: ${proxy.faults + 1} faults, ${judged.received} messages, ${judged.gaps} gaps`);
  } finally {
    await window.close();
    await proxy.close();
    await server.stop();
  }
}

// Side by side, for nearly all of it is waiting; each has its own server, proxy and window.
describe("the client behind a bad network", { concurrency: 3 }, () => {
  for (const browser of ["chromium", "firefox"]) {
    for (const way of ways.filter(({ isSwitching }) => !isSwitching)) {
      test(`${browser}: the client by ${way.name} gets over faults and a killed server`, () => suffer(browser, way));
    }
  }
});
