// What pages of other origins can do with a visitor's browser: write in his name, make him a member, read what he may read. Everything that
// a browser sends and that a script can try (`stage/intruder.mjs`), from origins of the sixty that `attacks` checks without browsers.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { start } from "../stage/browsers.mjs";
import { elements, intrude, look, reads, writes } from "../stage/intruder.mjs";
import { root, Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";
import { Web } from "../stage/web.mjs";

const pages = fileURLToPath(new URL("../pages", import.meta.url));
const names = ["chromium", "firefox"];
const secret = "a secret of the tests that is long enough";

/** The table that the test without browsers has: each origin, and what becomes of it. */
function sixty() {
  const source = readFileSync(path.join(root, "crates/efir-testkit/tests/attacks/origins.rs"), "utf8");
  const rows = [...source.matchAll(/^ {4}\("(.*)", (Own|Listed|Foreign)\),$/gm)];
  const [, list] = /const LIST: [^=]+= \[(.*)\];/.exec(source);
  return { rows: rows.map(([, origin, standing]) => ({ origin, standing })), list: [...list.matchAll(/"([^"]+)"/g)].map(([, origin]) => origin) };
}

/** Whether a page can have this origin: it is what browsers write, over HTTP, and no port that they refuse. */
function isOfPage(origin) {
  if (origin === "null") return true;
  const url = URL.parse(origin);
  return url?.origin === origin && /^https?:$/.test(url.protocol) && url.port !== "1";
}

let web;
/** Lets everybody in, as far as origins go. */
let open;
/** The same with rules and a key for tokens. */
let closed;
let folder;
const browsers = {};
const { rows, list } = sixty();

before(async () => {
  assert.deepEqual([rows.length, list.length], [60, 3]);
  folder = mkdtempSync(path.join(tmpdir(), "efir-foreign-"));
  const rules = ["[[rules]]", 'channels = "**"', 'subscribe = "authenticated"', 'publish = "authenticated"'];
  const key = ["[[token_keys]]", 'name = "tests"', 'algorithms = "HS256"', `secret = "${secret}"`];
  writeFileSync(path.join(folder, "efir.toml"), [...rules, ...key, ""].join("\n"));
  const allowed = list.flatMap((origin) => ["--allow-origin", origin]);
  const args = ["--static", pages, ...allowed];
  [open, closed] = await Promise.all([
    Server.start({ args, page: "any" }),
    Server.start({ args: [...args, "--config", path.join(folder, "efir.toml"), "--host", "efir.test"], page: "any" }),
  ]);
  web = await Web.open([open, closed]);
  const both = [start.chromium({ flags: web.flags }), start.firefox({ prefs: web.prefs, isTrusting: true })];
  [browsers.chromium, browsers.firefox] = await Promise.all(both);
});

after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await Promise.all([open, closed].map((server) => server?.stop()));
  await web?.close();
  rmSync(folder, { recursive: true });
});

function tokenFor(user) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** Runs in a page: begins in a frame that has the origin `null`, because its parent has put it into a sandbox. */
function beginInSandbox({ begin, find, task }) {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-forms";
  const answer = `addEventListener("message", () => parent.postMessage((${find})(), "*"))`;
  frame.srcdoc = `<body><script>(${begin})(${JSON.stringify(task)}); ${answer}</script>`;
  document.body.append(frame);
  return new Promise((done) => (frame.onload = done)).then(() => undefined);
}

/** Runs in that page: asks the frame. */
function lookIntoSandbox() {
  return new Promise((done) => {
    addEventListener("message", ({ data }) => done(data), { once: true });
    document.querySelector("iframe").contentWindow.postMessage("look", "*");
  });
}

/** Opens a page of an origin and lets it begin. Gives how to look what has come of it. */
async function tryFrom(window, origin, task) {
  await window.goto(`${origin === "null" ? "http://site.test" : origin}/blank.html`);
  if (origin === "null") {
    await window.evaluate(beginInSandbox, { begin: intrude.toString(), find: look.toString(), task });
    return () => window.evaluate(lookIntoSandbox);
  }
  assert.equal(await window.evaluate(() => location.origin), origin);
  await window.evaluate(intrude, task);
  return () => window.evaluate(look);
}

/** What a witness of the server itself finds: which ways of writing came through, and who became a member. */
async function witnessed(server, channel, token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const batch = await (await fetch(`${server.address(channel)}?after=start`, { headers })).json();
  const texts = batch.messages.map((message) => (message.bytes ? Buffer.from(message.bytes, "base64").toString() : JSON.stringify(message.data)));
  const published = writes.map(({ name }) => name).filter((name) => texts.some((text) => text.includes(`by ${name}`) || text.includes(`by+${name}`)));
  const state = await (await fetch(`${server.address(channel)}/presence`, { headers })).json();
  return { published, messages: texts.length, members: state.presence.members.map(({ id }) => id) };
}

/** The requests of one round, when each that a browser sends without asking the server is answered. */
async function answered(channel, wanted) {
  const ours = () => web.asked.filter(({ url }) => url.includes(channel));
  const open = () => {
    const done = ours().filter(({ method, status }) => status && method !== "OPTIONS");
    return wanted.filter((name) => !done.some(({ url }) => new URL(url, "http://x").searchParams.get("client") === name));
  };
  await until("what a browser sends by itself is answered", () => open().length === 0, { seen: open, within_ms: 30_000 });
  return ours();
}

let rounds = 0;

/** One origin against one server. */
async function round(name, origin, { server, base, token, sees = token }) {
  rounds += 1;
  const channel = `foreign-${name}-${rounds}`;
  const writing = { method: "POST", body: "before", headers: sees ? { Authorization: `Bearer ${sees}` } : {} };
  assert.equal((await fetch(server.address(channel), writing)).status, 200);
  const window = await browsers[name].window();
  try {
    const seen = await tryFrom(window, origin, { server: base, channel, token });
    const isOver = async () => (await seen()).pending.length === 0;
    await until(`${origin} has tried everything`, isOver, { seen, within_ms: 30_000 });
    // A token is shown only where the server, when asked, says that it may be.
    const simple = writes.filter(({ isSimple, showsToken }) => isSimple && !(token && showsToken)).map((way) => way.name);
    // A picture of an encrypted page is asked for encrypted, whatever its address says.
    const embedded = elements.filter((way) => way !== "img" || !origin.startsWith("https:"));
    const requests = await answered(channel, [...simple, ...embedded]);
    const { heard } = await seen();
    return { heard, requests, ...(await witnessed(server, channel, sees)) };
  } finally {
    await window.close();
  }
}

/** Nothing was published, nobody has become a member, and the page has read nothing. */
function assertNothing({ heard, messages, members }) {
  assert.deepEqual([heard, messages, members], [{}, 1, []]);
}

/** The same for a page that may hear why it is refused. */
function assertRefused({ heard, messages, members }) {
  assert.deepEqual([messages, members], [1, []]);
  for (const [way, text] of Object.entries(heard)) assert.doesNotMatch(text, /before|position/, way);
}

/** What is written in cleartext by a page that came encrypted may go out without its origin, which is then `null`. */
const isWithheld = (requests, way) => requests.some(({ url, origin }) => origin === "null" && url.endsWith(`client=${way}`));

for (const name of names) {
  describe(name, () => {
    const figures = { origins: 0, closed: 0, writes: 0, reads: 0 };
    const count = (what) => {
      figures[what] += 1;
      figures.writes += writes.length;
      figures.reads += reads.length + elements.length;
    };
    after(() => {
      const { origins, closed: pages, writes: written, reads: read } = figures;
      const where = `${origins} of ${rows.length} origins, ${pages} pages at a closed server`;
      console.log(`${name}: ${where}: ${written} attempts to write and ${read} to read as specified`);
    });

    for (const { origin: written, standing } of rows.filter(({ origin }) => isOfPage(origin.replace("{port}", "20000"))))
      test(`${name}, open server: ${standing.toLowerCase()}: ${written}`, async () => {
        const origin = written.replace("{port}", String(open.port));
        const found = await round(name, origin, { server: open, base: `http://localhost:${open.port}` });
        const { heard, requests, published } = found;
        for (const { method, url, origin: told } of requests.filter((request) => request.method === "POST"))
          assert.ok(told === origin || (told === "null" && origin.startsWith("https:")), `${method} ${url} of ${origin} says ${told}`);
        if (standing === "Foreign") {
          assertNothing(found);
          const posts = requests.filter(({ method, status }) => method === "POST" && status !== undefined);
          assert.deepEqual(new Set(posts.map(({ status }) => status)), new Set([403]));
        } else {
          const wanted = writes.map((write) => write.name).filter((way) => !isWithheld(requests, way));
          assert.deepEqual(published, wanted);
          for (const way of reads) assert.match(heard[way] ?? "", /before/, way);
        }
        if (origin !== `http://localhost:${open.port}`) for (const way of elements) assert.equal(heard[way], undefined, way);
        count("origins");
      });

    /** The visitor has been at the server before, and carries all that could be taken for a token. */
    const withCookies = async () => {
      const window = await browsers[name].window();
      await window.goto(`http://efir.test:${closed.port}/blank.html`);
      const token = tokenFor("visitor");
      for (const field of ["token", "access_token", "jwt", "efir", "Authorization"])
        await window.evaluate((cookie) => (document.cookie = cookie), `${field}=${token}; path=/; max-age=600`);
      await window.close();
    };
    const against = (origin, token) =>
      round(name, origin, { server: closed, base: `http://efir.test:${closed.port}`, token, sees: tokenFor("witness") });

    for (const [what, origin] of [
      ["a page of the same site", () => "http://evil.efir.test"],
      ["a page of another site", () => "https://evil.example"],
      ["a page of a listed origin", () => list[0]],
      ["the server's own page", () => `http://efir.test:${closed.port}`],
    ])
      test(`${name}, by cookies: ${what} can do nothing`, async () => {
        await withCookies();
        const found = await against(origin());
        if (/evil/.test(origin())) assertNothing(found);
        else assertRefused(found);
        const isSent = found.requests.some(({ cookie }) => cookie?.includes("token=ey"));
        assert.equal(isSent, !origin().startsWith("https:"), "cookies go along within the site");
        count("closed");
      });

    for (const [what, origin] of [
      ["a page of a listed origin", () => list[0]],
      ["the server's own page", () => `http://efir.test:${closed.port}`],
    ])
      test(`${name}, by a token: ${what} can do all that it shows the token for`, async () => {
        const { heard, published } = await against(origin(), tokenFor("visitor"));
        assert.deepEqual(published, writes.filter(({ showsToken }) => showsToken).map((write) => write.name));
        for (const way of reads) assert.match(heard[way] ?? "", /before/, way);
        count("closed");
      });

    test(`${name}, by a token: a page of another site can do nothing even with a good one`, async () => {
      assertNothing(await against("http://evil.example", tokenFor("visitor")));
      count("closed");
    });
  });
}
