// EventSource, WebSocket and fetch as browsers have them, with no library: on the server's own origin, and from a page of another
// origin and host name where that is allowed, and nowhere else.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { BarePage } from "../stage/bare.mjs";
import { start } from "../stage/browsers.mjs";
import { Proxy } from "../stage/proxy.mjs";
import { Server } from "../stage/server.mjs";
import { Site } from "../stage/site.mjs";
import { until } from "../stage/until.mjs";

const greeting = "Привет, 世界 👋";
const pages = fileURLToPath(new URL("../pages", import.meta.url));
const hosts = ["site.test", "efir.test"];
const names = ["chromium", "firefox"];

let site;
let foreign;
/** Allows nothing special. */
let closed;
/** Allows the other site and another host name. */
let open;
/** As `open`, and its streams last only a moment. */
let turning;
const proxies = [];
const browsers = {};

before(async () => {
  site = await Site.open();
  foreign = `http://site.test:${site.port}`;
  const allowed = ["--allow-origin", foreign, "--host", "efir.test", "--open"];
  [closed, open, turning] = await Promise.all([
    Server.start({ args: ["--static", pages] }),
    Server.start({ args: allowed }),
    Server.start({ args: [...allowed, "--static", pages], times: { rotation_min: "300ms", rotation_max: "500ms" } }),
  ]);
  [browsers.chromium, browsers.firefox] = await Promise.all([start.chromium({ hosts }), start.firefox({ hosts })]);
});

after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await Promise.all([closed, open, turning].map((server) => server?.stop()));
  await site?.close();
});

async function bareWindow(name, url) {
  return BarePage.open(await browsers[name].window(), url);
}

/** All three hear one message; what the socket sends reaches the others, too. `url` is the channel's. */
async function speakAndHear(page, url, publish) {
  await page.eventSource("events", url);
  await page.webSocket("socket", url);
  await page.fetch("hanging", `${url}?wait=25`);
  await page.waitFor("the EventSource is open", "events", ({ opened }) => opened === 1);
  await page.waitFor("the socket has its hello", "socket", ({ control }) => control.some((item) => item.hello));
  assert.equal((await page.heard("hanging")).state, "asking", "the request hangs");
  await publish(greeting);
  const { body, cursor } = await page.waitFor("the hanging request is answered", "hanging", ({ state }) => state !== "asking");
  assert.equal(body?.messages?.[0]?.data, greeting);
  assert.equal(cursor, body.cursor, "the cursor is readable in the head");
  await page.send("socket", `${greeting} again`);
  for (const name of ["events", "socket"]) {
    const { messages } = await page.waitFor(`${name} hears both`, name, (heard) => heard.messages.length >= 2);
    assert.deepEqual(messages.map((message) => message.data), [greeting, `${greeting} again`]);
    if (name === "events") assert.deepEqual(messages.map((message) => message.id), messages.map((message) => message.position));
  }
}

for (const name of names) {
  describe(name, () => {
    test(`${name}: EventSource, WebSocket and fetch on the server's own origin`, async () => {
      const page = await bareWindow(name, `${closed.url}/blank.html`);
      await speakAndHear(page, `/channels/own-${name}`, (text) => closed.publish(`own-${name}`, text));
      await page.fetch("poll", `/channels/own-${name}`);
      const { body } = await page.waitFor("a short poll is answered", "poll", ({ state }) => state === "answered");
      assert.equal(body.messages.length, 2);
      assert.deepEqual(page.window.unexpected(), []);
      await page.window.close();
    });

    test(`${name}: long messages are compressed on a WebSocket, both ways`, async () => {
      const proxy = await Proxy.before(closed.port);
      proxies.push(proxy);
      const page = await bareWindow(name, `${proxy.url}/blank.html`);
      await page.webSocket("socket", `/channels/long-${name}`);
      const { extensions } = await page.waitFor("the socket has its hello", "socket", ({ control }) => control.some((item) => item.hello));
      // Chromium tells the parameters, too.
      assert.match(extensions, /^permessage-deflate\b/);
      const long = Array.from({ length: 1000 }, (_, n) => `${greeting} ${n}`).join("\n");
      for (const text of [long, "short", `${long}.`]) await page.send("socket", text);
      const { messages } = await page.waitFor("all come back", "socket", (heard) => heard.messages.length === 3);
      assert.deepEqual(messages.map((message) => message.data), [long, "short", `${long}.`]);
      const { up, down } = proxy.exchanges.find((exchange) => exchange.isUpgrade);
      const plain = 2 * Buffer.byteLength(long);
      assert.ok(up < plain / 4 && down < plain / 4, `${up} bytes up and ${down} down for ${plain}`);
      assert.deepEqual(page.window.unexpected(), []);
      await page.window.close();
    });

    test(`${name}: EventSource, WebSocket and fetch from another origin to another host name, where both are allowed`, async () => {
      const proxy = await Proxy.before(open.port);
      proxies.push(proxy);
      const page = await bareWindow(name, foreign);
      const url = `http://efir.test:${proxy.port}/channels/foreign-${name}`;
      await speakAndHear(page, url, (text) => page.fetch("publish", url, { method: "POST", body: text, headers: { "Idempotency-Key": "once" } }));
      await page.fetch("json", url, { method: "POST", body: '{"text":"with a preflight"}', headers: { "Content-Type": "application/json" } });
      const { status } = await page.waitFor("JSON is published", "json", ({ state }) => state !== "asking");
      assert.equal(status, 200);
      // What is not simple is asked for first; the proxy sees it, and so would see it below where there must be none.
      const asked = proxy.exchanges.filter(({ method }) => method === "OPTIONS").map(({ headers }) => headers["access-control-request-headers"]);
      assert.deepEqual(asked, ["idempotency-key", "content-type"]);
      assert.deepEqual(page.window.unexpected(), []);
      await page.window.close();
    });

    const refusals = {
      "another origin": () => `http://127.0.0.1:${closed.port}`,
      "another host name": () => `http://efir.test:${closed.port}`,
    };
    for (const [what, base] of Object.entries(refusals)) {
      test(`${name}: ${what} is refused where nothing allows it`, async () => {
        const page = await bareWindow(name, foreign);
        const channel = `refused-${name}-${what.replaceAll(" ", "-")}`;
        const url = `${base()}/channels/${channel}`;
        await page.eventSource("events", url);
        await page.webSocket("socket", url);
        await page.fetch("poll", url);
        await page.fetch("post", url, { method: "POST", body: "not heard" });
        await page.waitFor("the EventSource is refused for good", "events", ({ state }) => state === "closed");
        await page.waitFor("the socket is refused", "socket", ({ state }) => state === "refused");
        for (const request of ["poll", "post"]) {
          await page.waitFor(`the ${request} is refused`, request, ({ state }) => state === "failed");
        }
        assert.deepEqual(JSON.parse(await closed.read(channel)).messages, [], "nothing was published");
        await page.window.close();
      });
    }

    test(`${name}: an EventSource comes back by itself with Last-Event-ID, with nothing missing and nothing twice`, async () => {
      const proxy = await Proxy.before(turning.port);
      proxies.push(proxy);
      const page = await bareWindow(name, `${proxy.url}/blank.html`);
      const heard = await followOverTurns(page, `/channels/turns-${name}`, `turns-${name}`);
      assert.deepEqual(page.window.unexpected(), []);
      const asked = proxy.exchanges.filter(({ target }) => target === `/channels/turns-${name}`);
      assert.ok(asked.length >= 3, `the stream was asked for anew (${asked.length} times)`);
      const [, ...again] = asked.map(({ headers }) => headers["last-event-id"]);
      assert.ok(again.every(Boolean), "each time with the last position");
      assert.ok(again.every((id) => id.split("-")[0] === heard[0].position.split("-")[0]));
      await page.window.close();
    });

    test(`${name}: coming back across origins needs no preflight`, async () => {
      const proxy = await Proxy.before(turning.port);
      proxies.push(proxy);
      const page = await bareWindow(name, foreign);
      await followOverTurns(page, `http://efir.test:${proxy.port}/channels/abroad-${name}`, `abroad-${name}`);
      assert.deepEqual(page.window.unexpected(), []);
      const again = proxy.exchanges.filter(({ headers }) => headers["last-event-id"]);
      assert.ok(again.length >= 2, `the stream was asked for anew (${again.length} times)`);
      assert.ok(again.every(({ headers }) => headers.origin === foreign));
      assert.deepEqual(proxy.exchanges.filter(({ method }) => method !== "GET"), []);
      await page.window.close();
    });
  });
}

/** Publishes while a stream ends and comes back again and again; gives what was heard, which must be all, in order and once. */
async function followOverTurns(page, url, channel) {
  await page.eventSource("events", url);
  await page.waitFor("the EventSource is open", "events", ({ opened }) => opened >= 1);
  const sent = [];
  const turns = async () => (await page.heard("events")).opened;
  await until("the stream has turned three times while messages came", async () => {
    for (let burst = 0; burst < 3; burst += 1) {
      sent.push(`message ${sent.length + 1}`);
      await turning.publish(channel, sent.at(-1));
    }
    return (await turns()) >= 4;
  });
  const { messages } = await page.waitFor("the last message arrives", "events", (heard) => heard.messages.some(({ data }) => data === sent.at(-1)));
  assert.deepEqual(messages.map(({ data, gap }) => gap ?? data), sent);
  return messages;
}
