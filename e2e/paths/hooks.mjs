// The hooks of efir/react in StrictMode, where React mounts everything twice: messages come once, a member enters once and leaves once,
// however many components speak for it. Run by `cargo xtask test paths`, on a built packages/client.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { start } from "../stage/browsers.mjs";
import { root, Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const client = path.join(root, "packages/client");
let folder;
let server;
let browser;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "efir-hooks-"));
  await bundle(folder);
  server = await Server.start({ args: ["--static", folder], page: "any" });
  browser = await start.chromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The page with React's development build: only there StrictMode does what it is for. */
async function bundle(folder) {
  const packages = createRequire(path.join(client, "package.json"));
  const { rolldown } = await import(pathToFileURL(packages.resolve("rolldown")).href);
  const own = {
    name: "packages-of-the-client",
    resolveId: (id) => {
      if (/^react(-dom)?(\/|$)/.test(id)) return packages.resolve(id);
      const part = /^efir(?:\/(.+))?$/.exec(id);
      return part ? path.join(client, "dist", `${part[1] ?? "index"}.js`) : undefined;
    },
  };
  const made = await rolldown({
    input: path.join(root, "e2e/pages/hooks/main.jsx"),
    plugins: [own],
    transform: { jsx: { runtime: "automatic" }, define: { "process.env.NODE_ENV": '"development"' } },
  });
  await made.write({ file: path.join(folder, "main.js"), format: "es" });
  await made.close();
  writeFileSync(path.join(folder, "index.html"), '<!doctype html><meta charset="utf-8"><div id="root"></div><script type="module" src="/main.js"></script>');
}

class Page {
  constructor(window, channel) {
    this.window = window;
    this.channel = channel;
  }

  static async open(channel) {
    const window = await browser.window();
    await window.goto(`${server.url}/?channel=${channel}`);
    return new Page(window, channel);
  }

  look(id) {
    return this.window.evaluate((id) => {
      const section = document.getElementById(id);
      return section && { text: section.textContent, ...section.dataset };
    }, id);
  }

  shows(id, wanted) {
    const isThere = async () => {
      const seen = await this.look(id);
      return Object.entries(wanted).every(([name, value]) => seen?.[name] === value);
    };
    return until(`${id} shows ${JSON.stringify(wanted)}`, isThere, { seen: async () => ({ is: await this.look(id), complaints: this.window.complaints }) });
  }

  show(change) {
    return this.window.evaluate((change) => globalThis.show(change), change);
  }

  /** What the channel's presence log has told so far: `enter first`, `update second`, `leave`; changes of transports left out. */
  async told() {
    const answer = await fetch(`${server.address(this.channel)}/presence?after=start`);
    const { messages } = await answer.json();
    const changes = messages.map(({ data: { enter, update, leave } }) => (leave ? "leave" : `${enter ? "enter" : "update"} ${(enter ?? update).name}`));
    return changes.filter((change, index) => !change.startsWith("update") || change.split(" ")[1] !== changes[index - 1]?.split(" ")[1]);
  }

  tells(wanted) {
    const isTold = async () => JSON.stringify(await this.told()) === JSON.stringify(wanted);
    return until(`presence has told ${wanted}`, isTold, { seen: () => this.told() });
  }

  async close() {
    assert.deepEqual(this.window.unexpected([/status of 404/]), []);
    await this.window.close();
  }
}

test("messages come once, to components that come and go", async () => {
  await server.publish("hooks", "a");
  const page = await Page.open("hooks");
  await page.shows("one", { text: "a" });
  await server.publish("hooks", "b");
  await page.shows("one", { text: "a b" });
  await page.show({ two: true });
  await page.shows("two", { text: "a b" });
  await page.window.click("#two");
  await page.shows("one", { text: "a b two" });
  await page.shows("two", { text: "b two" });
  await page.show({ one: false });
  await server.publish("hooks", "c");
  await page.shows("two", { text: "two c" });
  await page.show({ one: true });
  await page.shows("one", { text: "a b two c" });
  assert.equal(await page.window.evaluate(() => document.querySelector("main").dataset.state), "online");
  await page.close();
});

test("a member enters once, changes, and leaves with the last component that speaks for it", async () => {
  const page = await Page.open("lobby");
  await page.shows("one", { names: "first", count: "1", error: "" });
  await page.show({ two: true, looks: true });
  await page.shows("looks", { names: "first" });
  await page.show({ one: false });
  await page.window.evaluate(() => globalThis.call("second"));
  await page.shows("two", { names: "second" });
  await page.tells(["enter first", "update second"]);
  await page.show({ two: false });
  await page.shows("looks", { names: "", count: "0" });
  await page.tells(["enter first", "update second", "leave"]);
  await page.close();
});
