// How the pages look to whom: axe on every page in both themes and languages, with a talk in them and with the cable cut; three widths;
// the keyboard alone; the weight of the first paint. Screenshots go to artefacts/. (The lab's are taken by its own test, and the demos are
// looked at by theirs.)
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { start } from "../stage/browsers.mjs";
import { ChatPage } from "../stage/chat.mjs";
import { RoomPage } from "../stage/room.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const artefacts = fileURLToPath(new URL("../artefacts/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const first_paint_bytes_max = 150_000;
const widths = { 390: { width: 390, height: 844 }, 820: { width: 820, height: 1100 }, 1440: { width: 1440, height: 900 } };
const looks = [["light", "ru"], ["light", "en"], ["dark", "ru"], ["dark", "en"]];

let server;
let chromium;
const windows = [];

before(async () => {
  mkdirSync(artefacts, { recursive: true });
  server = await Server.start();
  chromium = await start.chromium();
});

after(async () => {
  await chromium?.close();
  await server?.stop();
});

async function visitor(options) {
  const window = await chromium.visitor(options);
  windows.push(window);
  return window;
}

/** A talk as it would be, so that there is something to see. */
async function talk(channel, locale) {
  const lines =
    locale === "ru"
      ? [["Анна", "Всем привет! Слышно на всех транспортах?", "sse"], ["Борис", "Да, отлично слышно 👋", "websocket"], ["Борис", "И даже когда отрезать кабель — догоняет.", "websocket"], ["Ελένη", "Γειά σου, κόσμε!", "long-poll"]]
      : [["Anna", "Hello, everybody! Does it reach every transport?", "sse"], ["Boris", "Yes, loud and clear 👋", "websocket"], ["Boris", "And with the cable cut, it catches up.", "websocket"], ["Ελένη", "Γειά σου, κόσμε!", "long-poll"]];
  for (const [from, text, via] of lines) await server.publish(channel, { text, from, member: `member-${from.length}${via}`, via });
  await server.publish(channel, locale === "ru" ? "Просто текст из терминала" : "Plain text from a terminal");
}

/** Each page on a channel, in a state worth looking at. */
const pages = {
  chat: async (window, channel, locale) => {
    const page = await (await RoomPage.open(window, server.url, channel)).isOnAir();
    await page.say(locale === "ru" ? "Пишу отсюда, и это сообщение длиннее одной строки на телефоне" : "Typed here, and this message is longer than one line of a phone");
    await page.hears(locale === "ru" ? "Просто текст из терминала" : "Plain text from a terminal");
    return page;
  },
  "by-hand": async (window, channel) => (await ChatPage.open(window, server.url, channel)).isOnAir(),
  lab: async (window) => {
    await window.goto(`${server.url}/lab/`);
    await until("the lab is drawn", () => window.evaluate(() => document.querySelector(".masthead") !== null));
  },
};

/** What axe finds serious or critical, in words. */
async function faults(window) {
  await window.evaluate(axe);
  const found = await window.evaluate(async () => {
    const { violations } = await globalThis.axe.run();
    return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, where: nodes.slice(0, 4).map(({ target }) => target.join(" ")) }));
  });
  return found.filter(({ impact }) => impact === "serious" || impact === "critical");
}

for (const [name, open] of Object.entries(pages)) {
  for (const [colorScheme, locale] of looks) {
    test(`${name}, ${colorScheme}, ${locale}: axe finds nothing serious; nothing scrolls sideways at three widths`, async () => {
      const channel = `looks-${name}-${colorScheme}-${locale}`;
      await talk(channel, locale);
      await server.publish(channel, "a-very-long-word-without-any-place-to-break-it-".repeat(4));
      for (const [width, viewport] of Object.entries(widths)) {
        const window = await visitor({ colorScheme, locale, viewport });
        await open(window, channel, locale);
        if (name !== "lab") await window.screenshot(`${artefacts}${name}-${width}-${colorScheme}-${locale}.png`);
        const scrolled = await window.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
        assert.ok(scrolled <= viewport.width, `${width}: the page is ${scrolled} wide`);
        // By-hand on a phone shows one pane at a time and the lab draws: contrast is looked at where all is seen.
        if (width !== "820") assert.deepEqual(await faults(window), [], `${width} wide`);
        await window.close();
      }
    });
  }
}

for (const [colorScheme, locale] of [["light", "ru"], ["dark", "en"]]) {
  test(`the room with its cable cut, ${colorScheme}, ${locale}: what waits is seen, and axe finds nothing serious`, async () => {
    const window = await visitor({ colorScheme, locale, viewport: widths[1440] });
    const channel = `looks-cut-${colorScheme}`;
    await talk(channel, locale);
    const page = await pages.chat(window, channel, locale);
    await page.cut();
    const text = locale === "ru" ? "Это уйдёт, когда кабель включат" : "This goes out when the cable is back";
    await page.say(text);
    await page.holds(text, "waiting");
    await window.screenshot(`${artefacts}chat-cut-${colorScheme}-${locale}.png`);
    assert.deepEqual(await faults(window), []);
    await window.close();
  });
}

test("a phone opens the panels one at a time; axe finds nothing serious in them", async () => {
  const window = await visitor({ locale: "ru", viewport: widths[390], isMobile: true, hasTouch: true });
  await talk("looks-panels", "ru");
  await pages.chat(window, "looks-panels", "ru");
  for (const panel of ["company", "transport", "terminal"]) {
    await window.click(`[data-testid="open-${panel}"]`);
    await until(`${panel} is open`, () => window.evaluate((name) => document.querySelector(`[data-testid="open-${name}"]`).ariaExpanded === "true" && document.querySelectorAll(".panel").length === 1, panel));
    await window.screenshot(`${artefacts}chat-390-${panel}.png`);
    assert.deepEqual(await faults(window), [], panel);
  }
  await window.close();
});

test("the keyboard alone: write, choose a transport, cut the cable", async () => {
  const window = await visitor({ locale: "en", viewport: widths[1440] });
  const page = await (await RoomPage.open(window, server.url, "keyboard")).isOnAir();
  const focused = () => window.evaluate(() => document.activeElement.dataset.testid);
  const tabTo = (hook) => until(`the Tab key reaches ${hook}`, async () => (await focused()) === hook || (await window.press("Tab"), false));
  await tabTo("write");
  await window.press("h");
  await window.press("i");
  await window.press("Enter");
  await page.hears("hi");
  await tabTo("room-cable");
  await window.press("Space");
  await page.isIn("cut");
  await window.press("Space");
  await page.isIn("online");
  await tabTo("use-auto");
  await window.press("ArrowDown");
  await page.isOnAir("websocket");
  await window.press("ArrowDown");
  await page.isOnAir("http-stream");
  await window.close();
});

test("the first paint weighs less than 150 KB, gzipped", async (context) => {
  for (const path of ["/", "/by-hand/", "/lab/"]) {
    const window = await visitor({ locale: "en", viewport: widths[1440] });
    await window.goto(server.url + path);
    const own = await until("the page is drawn", () =>
      window.evaluate(() => document.querySelector(".masthead") && [location.href, ...performance.getEntriesByType("resource").filter(({ initiatorType }) => ["script", "link", "css", "img", "other"].includes(initiatorType)).map(({ name }) => name)]),
    );
    const files = await Promise.all([...new Set(own)].map(async (address) => Buffer.from(await (await fetch(address)).arrayBuffer())));
    const gzipped = files.reduce((total, file) => total + gzipSync(file).length, 0);
    context.diagnostic(`${path}: ${files.length} files, ${gzipped} bytes gzipped`);
    assert.ok(files.length >= 3, "the page, its script and its style");
    assert.ok(gzipped < first_paint_bytes_max, `${path} weighs ${gzipped} bytes`);
    await window.close();
  }
});

test("the consoles stayed silent", () => {
  assert.ok(windows.length > 0);
  for (const window of windows) assert.deepEqual(window.unexpected(), [], window.browser.name);
});
