// README's "From zero to chat in your own app", followed word by word in both languages: each way in an empty folder of its own, with
// a real server, npm, Node and a browser. Fails where the text and what happens differ. Run by `cargo xtask test paths`.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { binary, freePort, Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";
import { blocksBeside, commands, sessions } from "./blocks.mjs";
import { Folder } from "./folder.mjs";

/** Each paper, with the word that ends its Node program. */
const papers = { "README.md": "bye", "README.ru.md": "пока" };

/** A page that has no icon is asked for one all the same. */
const no_icon = [/^Failed to load resource: the server responded with a status of 404 \(Not Found\)$/];

let browser;
before(async () => {
  browser = await start.chromium();
});
after(() => browser?.close());

/** A window of a visitor of its own, at an address of the text. */
async function opened(address) {
  const window = await browser.visitor({ locale: "en-US" });
  await window.goto(address);
  return window;
}

function lines(window) {
  return window.evaluate(() => Array.from(document.querySelectorAll("li"), (line) => line.textContent));
}

function shows(window, text, within_ms = 30_000) {
  return until(`the page shows «${text}»`, async () => (await lines(window)).includes(text), {
    within_ms,
    seen: async () => ({ lines: await lines(window), complaints: window.complaints }),
  });
}

async function says(window, text) {
  await window.type("input", text);
  await window.press("Enter");
}

/** What a `curl -d 'TEXT' …` of the text says. */
function spoken(command) {
  return /-d '([^']+)'/.exec(command)[1];
}

function isServer(block) {
  return block.language === "sh" && commands(block).some((command) => command.startsWith("efir"));
}

for (const [paper, bye] of Object.entries(papers)) {
  const page = blocksBeside(paper, "index.html");
  const [curl] = page.filter((block) => block.text.startsWith("curl"));
  const greeting = spoken(curl.text);

  test(`${paper}: a page, without a build`, async () => {
    const port = await freePort("127.0.0.1");
    const folder = new Folder(port, binary());
    try {
      folder.write(page.find((block) => block.name));
      const [server] = await folder.follow(page.find(isServer));
      await until("efir answers", async () => server.isOver || (await fetch(`http://localhost:${port}/info`)).ok, { seen: () => server.said });
      const windows = [await opened(`http://localhost:${port}/`), await opened(`http://localhost:${port}/`)];
      await folder.follow(curl);
      for (const window of windows) await shows(window, greeting);
      await says(windows[0], "one");
      await shows(windows[1], "one");
      await says(windows[1], "two");
      await shows(windows[0], "two");
      for (const window of windows) {
        assert.deepEqual(await lines(window), ["two", "one", greeting], "all, once, the newest first");
        assert.deepEqual(window.unexpected(no_icon), []);
        await window.close();
      }
    } finally {
      await folder.close();
    }
  });

  test(`${paper}: React`, async () => {
    const server = await Server.start({ page: "any" });
    const folder = new Folder(server.port, binary());
    try {
      let development;
      for (const block of blocksBeside(paper, "main.jsx")) {
        if (block.name) folder.write(block);
        else [development] = await folder.follow(block);
      }
      const address = await until("vite says where it is", () => /http:\/\/localhost:\d+\//.exec(development.printed)?.[0], { seen: () => development.said });
      const windows = [await opened(address), await opened(address)];
      for (const window of windows) {
        await until("both visitors are there", async () => (await window.evaluate(() => document.querySelector("p").textContent)).match(/\d+/g)?.length === 2, {
          seen: () => window.evaluate(() => document.body.innerText),
        });
      }
      await folder.follow(curl);
      for (const window of windows) await shows(window, greeting);
      await says(windows[0], "one");
      for (const window of windows) {
        await shows(window, "one");
        assert.deepEqual(await lines(window), ["one", greeting], "all, once, in StrictMode, too");
        assert.deepEqual(window.unexpected(no_icon), []);
        await window.close();
      }
      await builds(folder, server, greeting);
    } finally {
      await folder.close();
      await server.stop();
    }
  });

  test(`${paper}: Node`, async () => {
    const server = await Server.start({ page: "any" });
    const folder = new Folder(server.port, binary());
    try {
      for (const block of blocksBeside(paper, "chat.mjs")) {
        if (block.name) folder.write(block);
        else if (block.language === "sh") await folder.follow(block);
        else await talks(folder, block, [greeting, bye], curl);
      }
    } finally {
      await folder.close();
      await server.stop();
    }
  });
}

/** `npx vite build`, and a page of what it made. */
async function builds(folder, server, greeting) {
  await folder.run("npx vite build");
  const port = await freePort("127.0.0.1");
  const shown = folder.start(`npx vite preview --port ${port} --strictPort`);
  await until("the built page is served", async () => shown.isOver || (await fetch(`http://localhost:${port}/`)).ok, { seen: () => shown.said });
  const window = await opened(`http://localhost:${port}/`);
  await shows(window, greeting);
  await says(window, "three");
  await shows(window, "three");
  const { messages } = JSON.parse(await server.read("my-chat"));
  assert.deepEqual(messages.map((message) => message.data), [greeting, "one", "three"]);
  await window.close();
}

/** The program of the console block: it prints what is shown, then what others say, and ends at the last of their words. */
async function talks(folder, block, words, curl) {
  const [{ command, printed }] = sessions(block);
  const program = folder.start(command);
  const has = (text) => until(`«${command}» prints what the text shows`, () => program.printed === text || program.isOver, { seen: () => program.said });
  await has(printed);
  assert.equal(program.printed, printed);
  let all = printed;
  for (const word of words) {
    await folder.run(curl.text.replace(spoken(curl.text), word).trim());
    all += `${word}\n`;
    await has(all);
  }
  await until("the program ends", () => program.isOver, { seen: () => program.said });
  assert.deepEqual({ printed: program.printed, code: program.code }, { printed: all, code: 0 }, program.said);
}
