// The guide of the client, example by example in both languages: each program is written to a folder that has the package, run, and
// must print what stands below it. Run by `cargo xtask test paths`.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { binary, freePort } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";
import { blocks, sessions } from "./blocks.mjs";
import { Folder } from "./folder.mjs";

/** Another runtime for the programs, such as `deno run -A` or `bun`. */
const runtime = process.env.RUNTIME ?? "node";

const papers = ["docs/guides/client.md", "docs/guides/client.ru.md", "packages/client/README.md"];

let browser;
before(async () => {
  browser = await start.chromium();
});
after(() => browser?.close());

for (const paper of papers) {
  describe(paper, () => {
    const all = blocks(paper);
    let folder;
    let url;

    before(async () => {
      const port = await freePort("127.0.0.1");
      url = `http://localhost:${port}`;
      folder = new Folder(port, binary());
      const server = folder.start("efir --static .");
      await until("efir answers", async () => server.isOver || (await fetch(`${url}/info`)).ok, { seen: () => server.said });
      for (const block of all) {
        if (block.name) folder.write(block);
        else if (block.language === "sh" && block.text.includes("npm install")) await folder.follow(block);
      }
    });
    after(() => folder?.close());

    for (const block of all.filter((block) => block.language === "console")) {
      for (const { command, printed } of sessions(block)) {
        test(`line ${block.line}: ${command}`, async () => assert.equal(await folder.run(command.replace(/^node\b/, runtime)), printed));
      }
    }

    if (all.some((block) => block.name === "tabs.html")) {
      test("tabs.html: two tabs read over one connection, and the second goes on when the first is closed", async () => {
        const windows = [await browser.window(), await browser.window()];
        for (const window of windows) await window.goto(`${url}/tabs.html`);
        const channel = `${url}/channels/tabs`;
        await hear(windows, channel);
        await until("one connection reads", async () => (await published(channel, "again")).subscribers === 1);
        await windows[0].close();
        await published(channel, "last");
        await until("the other tab shows what came behind it", async () => (await lines(windows[1])).at(-1) === "last", { seen: () => lines(windows[1]) });
        await windows[1].close();
      });
    }

    if (all.some((block) => block.name === "vue.js")) {
      const sameAs = blocks(papers[0]);
      if (paper !== papers[0]) {
        test("vue.js and Chat.svelte are those of the other language", () => {
          for (const name of ["vue.js", "Chat.svelte"]) {
            assert.equal(all.find((block) => block.name === name).text, sameAs.find((block) => block.name === name).text);
          }
        });
      } else {
        test("vue.js and Chat.svelte, built by vite, read what is published", async () => {
          const windows = await built(folder, url);
          await hear(windows, `${url}/channels/my-chat`);
          for (const window of windows) await window.close();
        });
      }
    }
  });
}

/** What the two frameworks need around the examples: a page each, and a configuration. */
const around = {
  "vue.html": '<!doctype html><meta charset="utf-8"><div id="app"></div><script type="module" src="/vue.js"></script>',
  "svelte.html": '<!doctype html><meta charset="utf-8"><div id="app"></div><script type="module" src="/svelte.js"></script>',
  "svelte.js": 'import { mount } from "svelte"; import Chat from "./Chat.svelte"; mount(Chat, { target: document.getElementById("app") })',
  "vite.config.mjs":
    'import { svelte } from "@sveltejs/vite-plugin-svelte"; export default { base: "./", plugins: [svelte()], build: { rolldownOptions: { input: ["vue.html", "svelte.html"] } } }',
};

/** Builds both and opens them. */
async function built(folder, url) {
  for (const [name, text] of Object.entries(around)) writeFileSync(path.join(folder.place, name), text);
  await folder.run("npm install vue svelte @sveltejs/vite-plugin-svelte vite");
  await folder.run("npx vite build");
  const windows = [await browser.window(), await browser.window()];
  for (const [index, page] of ["vue", "svelte"].entries()) await windows[index].goto(`${url}/dist/${page}.html`);
  return windows;
}

function lines(window) {
  return window.evaluate(() => Array.from(document.querySelectorAll("li"), (line) => line.textContent));
}

/** Publishes a text; gives the server's reply. */
async function published(channel, text) {
  return (await fetch(channel, { method: "POST", body: text })).json();
}

/** Publishes until each window shows the first line, then once more: then each shows all that came since, once and in order. */
async function hear(windows, channel) {
  let said = 0;
  const say = () => published(channel, `${(said += 1)}`);
  for (const window of windows) {
    const isReading = async () => {
      await say();
      return (await lines(window)).length > 0;
    };
    await until("the page reads", isReading, { seen: () => window.complaints });
  }
  await say();
  for (const window of windows) {
    await until("the page shows the last line", async () => (await lines(window)).at(-1) === `${said}`, { seen: () => lines(window) });
    const shown = (await lines(window)).map(Number);
    assert.deepEqual(shown, shown.map((_, index) => shown[0] + index), "all since it reads, once and in order");
    // A page that has no icon is asked for one all the same.
    assert.deepEqual(window.unexpected([/status of 404/]), []);
  }
}
