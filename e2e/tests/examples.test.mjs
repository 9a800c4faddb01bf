// The examples as `efir --static examples` serves them: each is one chat; two browsers talk in it, also after the server has gone and
// come back.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { outage, start } from "../stage/browsers.mjs";
import { Server, root } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const folder = path.join(root, "examples");
/** Folder of the example → where its page is. */
const examples = {
  "ajax-polling": "ajax-polling/",
  "long-polling": "long-polling/",
  "server-sent-events": "server-sent-events/",
  "http-stream": "http-stream/",
  websocket: "websocket/",
  react: "react/dist/",
};

let server;
const browsers = [];

before(async () => {
  buildReact();
  server = await Server.start({ args: ["--static", folder] });
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server?.stop();
});

/** The one example that needs a build; done again whenever one of its files is newer. */
function buildReact() {
  const within = path.join(folder, "react");
  const age = (...names) => Math.max(...names.map((name) => statSync(path.join(within, name), { throwIfNoEntry: false })?.mtimeMs ?? 0));
  const npm = (...words) => execFileSync("npm", words, { cwd: within, stdio: ["ignore", "ignore", "inherit"] });
  const sources = ["package-lock.json", "index.html", "vite.config.js", "src", "src/main.jsx", "src/Chat.jsx", "src/useLongPoll.js", "src/chat.css"];
  if (age("node_modules/.package-lock.json") < age("package-lock.json")) npm("ci", "--prefer-offline", "--no-audit", "--no-fund");
  if (age("dist/index.html") < age(...sources)) npm("run", "build");
}

class Example {
  constructor(window) {
    this.window = window;
  }

  async say(text) {
    await this.window.type("#text", text);
    await this.window.press("Enter");
  }

  shown() {
    return this.window.evaluate(() => Array.from(document.querySelectorAll("#log > li"), (line) => line.textContent));
  }

  hears(text) {
    return until(`${this.window.browser.name}: «${text}» is shown`, async () => (await this.shown()).includes(text), { within_ms: 30_000, seen: () => this.shown() });
  }
}

for (const [name, page] of Object.entries(examples)) {
  test(`example ${name}: two browsers talk, and go on after a restart of the server`, async () => {
    const pages = [];
    for (const browser of browsers) {
      const window = await browser.window();
      await window.goto(`${server.url}/${page}?channel=${name}`);
      pages.push(new Example(window));
    }
    const spoken = [];
    const talk = async (how) => {
      for (const [from, to] of [pages, pages.toReversed()]) {
        const text = `${how}, ${from.window.browser.name}: Привет, 世界 👋`;
        if (name === "websocket") await isConnected(from, text);
        else await from.say(text);
        spoken.push(text);
        for (const page of [from, to]) await page.hears(text);
      }
    };
    await talk("at first");
    await server.kill();
    await server.launch();
    await talk("after the restart");
    for (const page of pages) {
      assert.deepEqual(await page.shown(), spoken.toReversed(), "all, once, the newest first");
      assert.deepEqual(page.window.unexpected(outage), []);
      await page.window.close();
    }
  });
}

/** The socket's example sends nothing while it is not connected and leaves the words in the field: Enter again, like a person. */
async function isConnected(page, text) {
  await page.window.type("#text", text);
  await until("the words are taken", async () => {
    await page.window.press("Enter");
    return page.window.evaluate(() => document.querySelector("#text").value === "");
  });
}
