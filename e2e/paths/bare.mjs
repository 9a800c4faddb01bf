// README without the client: what its snippets for browsers and for backends say is what they do. Run by `cargo xtask test paths`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { binary, Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";
import { blocks } from "./blocks.mjs";
import { Folder } from "./folder.mjs";

/** Each paper, and its headings. */
const papers = {
  "README.md": { browser: "In the browser", backend: "From a backend" },
  "README.ru.md": { browser: "В браузере", backend: "С бэкенда" },
};

/** How a block of a language is run; nothing where its words are not a whole program. */
const programs = {
  python: { file: "publish.py", command: "python3 publish.py" },
  js: { file: "publish.mjs", command: "node publish.mjs" },
  php: { file: "publish.php", command: "php publish.php", head: "<?php\n" },
  sh: { file: "publish.sh", command: "sh publish.sh" },
};

let server;
let browser;
before(async () => {
  server = await Server.start({ page: "any" });
  browser = await start.chromium();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

function isThere(program) {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

for (const [paper, headings] of Object.entries(papers)) {
  describe(paper, () => {
    const all = blocks(paper);

    const scripts = all.filter((block) => block.heading === headings.browser && block.language === "js");
    assert.equal(scripts.length, 5, "four ways to read, one to publish");
    for (const script of scripts) {
      test(`line ${script.line}, in a page: ${script.text.split("\n")[0]}`, async () => {
        const window = await browser.visitor({ locale: "en-US" });
        await window.goto(`${server.url}/info`);
        await window.evaluate((text) => {
          globalThis.said = [];
          console.log = (value) => globalThis.said.push(typeof value === "string" ? value : JSON.stringify(value));
          const own = document.createElement("script");
          own.type = "module";
          own.textContent = text;
          document.body.append(own);
        }, script.text);
        if (script.text.includes("POST")) await isPublished("chat", "Привет");
        else await hears(window);
        await window.close();
      });
    }

    for (const block of all.filter((block) => block.heading === headings.backend && programs[block.language])) {
      const { file, command, head = "" } = programs[block.language];
      const skip = !isThere(command.split(" ")[0]) && `${command.split(" ")[0]} is not installed`;
      test(`line ${block.line}, from ${block.language}`, { skip }, async () => {
        const folder = new Folder(server.port, binary());
        try {
          folder.write({ name: file, text: `${head}${block.text}` });
          const printed = await folder.run(command);
          const position = /[\w.~]+-\d+/.exec(printed)?.[0];
          assert.ok(position, `it prints a position: ${printed}`);
          const messages = await newest("chat");
          assert.deepEqual(messages.find((message) => message.position === position)?.data, { text: "Привет" });
        } finally {
          await folder.close();
        }
      });
    }
  });
}

/** Publishes until the page's snippet has said it. */
async function hears(window) {
  let said = 0;
  const isHeard = async () => {
    said += 1;
    await server.publish("chat", `word ${said}`);
    return (await window.evaluate(() => globalThis.said)).some((line) => line.includes("word"));
  };
  await until("the snippet says what is published", isHeard, { seen: () => window.evaluate(() => globalThis.said) });
}

async function isPublished(channel, text) {
  const isThere = async () => (await newest(channel)).some((message) => message.data === text);
  await until(`«${text}» is in ${channel}`, isThere);
}

async function newest(channel) {
  const answer = await fetch(`${server.address(channel)}?last=100`);
  return (await answer.json()).messages;
}
