// How the page looks: language and theme, as the browser wants them and as switched; a phone's width; the lines by hand that it offers.
// Screenshots go to artefacts/.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { BarePage } from "../stage/bare.mjs";
import { start } from "../stage/browsers.mjs";
import { ChatPage, transports } from "../stage/chat.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const artefacts = fileURLToPath(new URL("../artefacts/", import.meta.url));
const pages = fileURLToPath(new URL("../pages", import.meta.url));
const desktop = { width: 1440, height: 900 };
const phone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let server;
/** Lets nobody do anything. */
let closed;
let folder;
let chromium;
let firefox;
const windows = [];

before(async () => {
  mkdirSync(artefacts, { recursive: true });
  folder = mkdtempSync(path.join(tmpdir(), "efir-looks-"));
  const file = path.join(folder, "efir.toml");
  writeFileSync(file, '[[rules]]\nchannels = "**"\nsubscribe = "nobody"\n');
  server = await Server.start({ args: ["--static", pages] });
  closed = await Server.start({ args: ["--config", file] });
  [chromium, firefox] = await Promise.all([start.chromium(), start.firefox({ language: "ru, en" })]);
});

after(async () => {
  await Promise.all([chromium, firefox].map((browser) => browser?.close()));
  await Promise.all([server, closed].map((one) => one?.stop()));
  rmSync(folder, { recursive: true });
});

/** Language of the document, and the words of the button that leads to the other one. */
const language = (window) => window.evaluate(() => [document.documentElement.lang, document.querySelector('[data-testid="lang"]').textContent.trim()]);

/** How light the page's ground is, 0 to 255. */
const lightness = (window) =>
  window.evaluate(() => {
    const ground = getComputedStyle(document.body).backgroundColor;
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    pen.fillStyle = ground;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pen.getImageData(0, 0, 1, 1).data;
    return (red + green + blue) / 3;
  });

async function opened(window, channel) {
  windows.push(window);
  return ChatPage.open(window, server.url, channel);
}

async function visitor(options, channel = "looks") {
  const page = await opened(await chromium.visitor(options), channel);
  return page.isOnAir();
}

const wanted = { "ru-RU": "ru", "en-GB": "en", "de-DE": "en" };
for (const [locale, expected] of Object.entries(wanted)) {
  test(`a browser that asks for ${locale} gets ${expected}, and the switch is kept`, async () => {
    const other = expected === "ru" ? "en" : "ru";
    const { window } = await visitor({ locale, viewport: desktop });
    assert.deepEqual(await language(window), expected === "ru" ? ["ru", "English"] : ["en", "Русский"]);
    await window.click('[data-testid="lang"]');
    await until(`the page speaks ${other}`, async () => (await language(window))[0] === other);
    await window.reload();
    assert.equal((await language(window))[0], other);
    await window.close();
  });
}

test("a Firefox that asks for Russian gets it", async () => {
  const page = await opened(await firefox.window(), "общий-чат");
  assert.deepEqual(await language(page.window), ["ru", "English"]);
  await talk("общий-чат", true);
  for (const pane of page.panes) await pane.hears("Просто текст из терминала");
  await page.window.screenshot(`${artefacts}firefox-ru.png`);
  await page.window.close();
});

for (const [colorScheme, isLight] of [["light", true], ["dark", false]]) {
  test(`the theme follows a ${colorScheme} system, until it is chosen`, async () => {
    const { window } = await visitor({ locale: "en-US", colorScheme, viewport: desktop });
    const is = (theme, light) =>
      until(`theme ${theme}, ${light ? "light" : "dark"} ground`, async () => {
        const shown = await window.evaluate(() => document.querySelector('[data-testid="theme"]').dataset.value);
        return shown === theme && (await lightness(window)) > 128 === light;
      });
    await is("auto", isLight);
    for (const [theme, light] of [["light", true], ["dark", false]]) {
      await window.click('[data-testid="theme"]');
      await is(theme, light);
    }
    await window.reload();
    await is("dark", false);
    await window.close();
  });
}

for (const [width, what] of [[360, "a phone"], [768, "a tablet"], [1440, "a desk"], [2560, "a wide desk"]]) {
  test(`${what}, ${width} wide: nothing scrolls sideways but the panes`, async () => {
    await server.publish(`wide-${width}`, "a-very-long-word-without-any-place-to-break-it-".repeat(8));
    const page = await visitor({ locale: "ru-RU", viewport: { width, height: 800 } }, `wide-${width}`);
    for (const pane of page.panes) await pane.hears("a-very-long-word-without-any-place-to-break-it-".repeat(8));
    const [inner, scrolled, within] = await page.window.evaluate(() => [
      innerWidth,
      Math.max(document.documentElement.scrollWidth, document.body.scrollWidth),
      Array.from(document.querySelectorAll(".pane"), (pane) => pane.scrollWidth <= pane.clientWidth + 1),
    ]);
    assert.equal(inner, width);
    assert.ok(scrolled <= width, `the page is ${scrolled} wide`);
    assert.deepEqual(within, transports.map(() => true), "what stands in a pane stays in it");
    await page.window.close();
  });
}

/** A talk as it would be, so that there is something to see. */
async function talk(channel, isRussian) {
  const lines = isRussian
    ? [["Анна", "Всем привет! Слышно на всех транспортах?", "sse"], ["Борис", "Да, отлично слышно 👋", "websocket"], ["Ελένη", "Γειά σου, κόσμε!", "long-poll"]]
    : [["Anna", "Hello, everybody! Does it reach every transport?", "sse"], ["Boris", "Yes, loud and clear 👋", "websocket"], ["Ελένη", "Γειά σου, κόσμε!", "long-poll"]];
  for (const [from, text, via] of lines) await server.publish(channel, { text, from, via });
  await server.publish(channel, isRussian ? "Просто текст из терминала" : "Plain text from a terminal");
}

for (const locale of ["ru", "en"]) {
  for (const [name, options] of Object.entries({
    light: { colorScheme: "light", viewport: desktop },
    dark: { colorScheme: "dark", viewport: desktop },
    phone: { colorScheme: "light", ...phone },
    "phone-dark": { colorScheme: "dark", ...phone },
  })) {
    test(`screenshot ${name}-${locale}.png`, async () => {
      const channel = `${locale === "ru" ? "общий-чат" : "chat"}-${name}`;
      await talk(channel, locale === "ru");
      const page = await visitor({ locale, ...options }, channel);
      const text = locale === "ru" ? "А это было сказано, пока кабель был отрезан" : "And this was said while the cable was cut";
      const cut = options.isMobile ? page.pane("short-poll") : page.pane("http-stream");
      await cut.cut();
      await server.publish(channel, { text, from: locale === "ru" ? "Ада" : "Ada", via: "sse" });
      await page.pane("websocket").hears(text);
      await cut.plug();
      await page.pane("short-poll").say(locale === "ru" ? "Пишу отсюда" : "Typed here");
      for (const pane of page.panes) await pane.hears(locale === "ru" ? "Пишу отсюда" : "Typed here");
      await until("figures are shown", async () => (await page.pane("websocket").figures()).down > 0);
      await page.window.screenshot(`${artefacts}${name}-${locale}.png`);
      await page.window.close();
    });
  }
}

/** The lines of the panes that stick out of them, or of which something is cut off. */
const cutOff = (window) =>
  window.evaluate(() => {
    const lines = [...document.querySelectorAll(".pane-about, .state, .refusal")];
    const sticksOut = (line) => {
      const text = document.createRange();
      text.selectNodeContents(line);
      const [inner, outer] = [text, line.closest(".pane")].map((box) => box.getBoundingClientRect());
      return inner.right > outer.right || inner.left < outer.left || line.scrollWidth > line.clientWidth;
    };
    return lines.filter(sticksOut).map((line) => line.textContent);
  });

for (const width of [1280, 390])
  for (const colorScheme of ["light", "dark"])
    test(`${width} wide, ${colorScheme}: a pane tells the whole of why it is refused`, async () => {
      const window = await chromium.visitor({ locale: "en-US", colorScheme, viewport: { width, height: 844 } });
      const page = await ChatPage.open(window, closed.url, "secret");
      // An EventSource is not told, and tries again and again.
      for (const pane of page.panes.filter(({ name }) => name !== "sse")) await pane.isIn("stopped");
      await page.pane("long-poll").say("hello");
      await until("the refusal is shown", () => window.evaluate(() => /no user/.test(document.querySelector(".refusal")?.textContent)));
      assert.deepEqual(await cutOff(window), []);
      await window.screenshot(`${artefacts}refused-${width}-${colorScheme}.png`);
      await window.close();
    });

test("screenshots of the dialog and of a window that stands back", async () => {
  const [first, second] = [await visitor({ locale: "en", viewport: desktop }, "dialog"), await visitor({ locale: "ru", viewport: desktop }, "dialog")];
  await openByHand(first.window, "long-poll");
  await first.window.screenshot(`${artefacts}by-hand-en.png`);
  await openByHand(second.window, "websocket");
  await second.window.screenshot(`${artefacts}by-hand-ru.png`);
  for (const page of [first, second]) await page.window.close();
  const holder = await opened(await chromium.window(), "banner");
  await holder.isOnAir();
  const further = await opened(await chromium.window(), "banner");
  await until("the banner is shown", () => further.banner());
  await further.pane("sse").isIn("paused");
  await further.window.screenshot(`${artefacts}stands-back-en.png`);
  for (const page of [holder, further]) await page.window.close();
});

function openByHand(window, transport) {
  return window.click(`[data-testid="pane-${transport}"] [data-testid="by-hand"]`);
}

/** The lines that the page offers for a transport. */
async function offered(window, transport) {
  await openByHand(window, transport);
  const read = () =>
    window.evaluate((transport) => {
      const dialog = document.querySelector('[data-testid="by-hand-dialog"]');
      const text = (name) => dialog.querySelector(`[data-testid="${name}"]`)?.textContent;
      return dialog.open && { transport, javascript: text("javascript"), curl: text("curl") };
    }, transport);
  const lines = await until("the dialog is open", read);
  await window.press("Escape");
  await until("the dialog is closed", () => window.evaluate(() => !document.querySelector('[data-testid="by-hand-dialog"]').open));
  return lines;
}

test("the JavaScript and the curl lines that the page offers run as they stand", async () => {
  const channel = "общий чат";
  const page = await visitor({ locale: "ru", viewport: desktop }, channel);
  const shown = [];
  for (const transport of transports) shown.push(await offered(page.window, transport));
  await page.window.close();
  await server.publish(channel, "there already");

  for (const { transport, javascript, curl } of shown) {
    const bare = await BarePage.open(await chromium.visitor({ locale: "ru" }), `${server.url}/blank.html`);
    await bare.window.evaluate((javascript) => {
      globalThis.logged = [];
      console.log = (...words) => globalThis.logged.push(JSON.stringify(words));
      const script = Object.assign(document.createElement("script"), { type: "module", textContent: javascript });
      document.head.append(script);
    }, javascript);
    const text = `for the ${transport} lines`;
    await until(`${transport}: the JavaScript logs a message`, async () => {
      await server.publish(channel, text);
      return (await bare.window.evaluate(() => globalThis.logged)).some((line) => line.includes(text));
    }, { seen: () => bare.window.evaluate(() => globalThis.logged) });
    assert.deepEqual(bare.window.unexpected(), [], transport);
    await bare.window.close();
    // Debian's curl speaks WebSocket from 8.11 on only.
    if (transport !== "websocket" || (await curlSpeaksWebSocket())) await runCurl(transport, curl, channel);
  }
});

test("the consoles stayed silent", () => {
  assert.ok(windows.length > 0);
  for (const window of windows) assert.deepEqual(window.unexpected(), [], window.browser.name);
});

function curlSpeaksWebSocket() {
  return new Promise((known) => execFile("curl", ["--version"], (_, said) => known(/^Protocols:.*\bws\b/m.test(said ?? ""))));
}

/** Runs the line in a shell until it has printed a message that is published meanwhile. */
async function runCurl(transport, line, channel) {
  const shell = spawn("sh", ["-c", `exec ${line}`], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  shell.stdout.on("data", (data) => (printed += data));
  const gone = new Promise((close) => shell.once("close", close));
  try {
    const text = `for the ${transport} curl line`;
    await until(`${transport}: curl prints a message`, async () => {
      await server.publish(channel, text);
      return printed.includes(transport === "short-poll" ? "there already" : text);
    }, { seen: () => printed.slice(-500) });
  } finally {
    shell.kill();
    await gone;
  }
}
