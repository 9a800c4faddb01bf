// The demos as pages: their source as it runs, both languages and themes, three widths, what a screen reader gets (axe), nothing inline;
// and the two modules that can be tested without a page: QR codes and the rules of the game.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import axe from "axe-core";
import jsqr from "jsqr";
import { qr } from "../../examples/demos/qr.js";
import { play } from "../../examples/demos/game/rules.js";
import { start } from "../stage/browsers.mjs";
import { Server, root } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const folder = path.join(root, "examples/demos");
const artefacts = path.join(root, "e2e/artefacts");
const demos = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);

let server;
let chromium;

before(async () => {
  mkdirSync(artefacts, { recursive: true });
  server = await Server.start();
  chromium = await start.chromium();
});

after(async () => {
  await chromium?.close();
  await server?.stop();
});

/** A demo (or the list, "") in a window of a visitor of its own, drawn and on the air. */
async function open(name, options, room = "looks") {
  const window = await chromium.visitor({ locale: "en-GB", ...options });
  await window.goto(`${server.url}/demos/${name && `${name}/`}#${room}`);
  await until(`${name || "the list"} is there`, () =>
    window.evaluate(() => (document.querySelector(".state")?.dataset.state ?? "online") === "online" && document.querySelector(".masthead") !== null),
  );
  const sources = name ? await until("its source is shown", () => window.evaluate(() => document.querySelectorAll("#source pre").length)) : 0;
  return { window, sources };
}

async function leave(window) {
  assert.deepEqual(window.unexpected(), []);
  await window.close();
}

test("the list leads to every demo", async () => {
  const { window } = await open("");
  const links = await window.evaluate(() => Array.from(document.querySelectorAll(".cards a"), (link) => link.getAttribute("href")));
  assert.deepEqual(links.toSorted(), demos.map((name) => `${name}/`).toSorted());
  await window.click(`.cards a[href="game/"]`);
  await until("the game opens", () => window.evaluate(() => document.querySelector("#board") !== null));
  await leave(window);
});

for (const name of demos) {
  test(`${name}: the source shown is the file that runs, and short`, async () => {
    const { window } = await open(name);
    const files = await window.evaluate(() => document.querySelector("#source").dataset.files.split(" "));
    const shown = await until("all files are shown", async () => {
      const texts = await window.evaluate(() => Array.from(document.querySelectorAll("#source pre"), (pre) => pre.textContent));
      return texts.length === files.length && texts;
    });
    for (const [index, file] of files.entries()) {
      assert.equal(shown[index], readFileSync(path.join(folder, name, file), "utf8"), file);
      assert.ok(shown[index].split("\n").length <= 135, `${file} is short`);
    }
    const ran = await window.evaluate(() => performance.getEntriesByType("resource").map((entry) => new URL(entry.name).pathname));
    for (const file of files) assert.ok(ran.includes(`/demos/${name}/${file}`), `${file} was loaded`);
    await window.click("#source .quiet");
    await until("the button says that it copied or selected", () => window.evaluate(() => /Copied|Selected/.test(document.querySelector("#source .quiet").textContent)));
    await leave(window);
  });
}

for (const name of ["", ...demos]) {
  for (const [colorScheme, locale] of [["light", "en-GB"], ["dark", "ru-RU"]]) {
    test(`${name || "list"}, ${colorScheme}, ${locale}: axe finds nothing serious`, async () => {
      const { window } = await open(name, { colorScheme, locale, viewport: { width: 1_440, height: 900 } });
      await window.evaluate(axe.source);
      const { violations } = await window.evaluate(() => globalThis.axe.run());
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target }) => target.join(" ")) })), []);
      assert.equal(await window.evaluate(() => document.documentElement.lang), locale.slice(0, 2));
      await leave(window);
    });
  }

  for (const [width, colorScheme, locale] of [[390, "light", "ru-RU"], [820, "dark", "ru-RU"], [1_440, "light", "en-GB"], [1_440, "dark", "en-GB"]]) {
    test(`${name || "list"}, ${width} wide, ${colorScheme}: nothing scrolls sideways; screenshot`, async () => {
      const { window } = await open(name, { colorScheme, locale, viewport: { width, height: 800 } });
      assert.ok((await window.evaluate(() => document.documentElement.scrollWidth)) <= width);
      await window.screenshot(path.join(artefacts, `demo-${name || "list"}-${width}-${colorScheme}.png`));
      await leave(window);
    });
  }
}

test("language and theme are switched by the page's own buttons, kept, and the same ones as on efir's page", async () => {
  const { window } = await open("news", { colorScheme: "light" });
  await window.click('[data-switch="language"]');
  await window.click('[data-switch="theme"]');
  await window.click('[data-switch="theme"]');
  await window.reload();
  const seen = await until("the page is back", () =>
    window.evaluate(() => document.querySelector("#notify span") && [document.documentElement.lang, document.documentElement.dataset.theme, document.title, localStorage.getItem("efir.language"), localStorage.getItem("efir.theme")]),
  );
  assert.deepEqual(seen, ["ru", "dark", "Лента новостей · efir", "ru", "dark"]);
  await leave(window);
});

test("nothing is inline, so that a strict content security policy changes nothing", () => {
  for (const name of ["", ...demos]) {
    const html = readFileSync(path.join(folder, name, "index.html"), "utf8");
    assert.doesNotMatch(html, /<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=/, name);
  }
});

test("the colours are those of efir's page", () => {
  const read = (file) => readFileSync(path.join(root, file), "utf8");
  assert.equal(read("examples/demos/tokens.css"), read("packages/ui/src/style/tokens.css"), "cp packages/ui/src/style/tokens.css examples/demos/");
});

/** What a camera reads in a code: rows of booleans drawn three pixels a module, with the quiet zone. */
function scanned(rows, scale = 3) {
  const size = (rows.length + 8) * scale;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      if (rows[Math.floor(y / scale) - 4]?.[Math.floor(x / scale) - 4]) pixels.fill(0, (y * size + x) * 4, (y * size + x) * 4 + 3);
    }
  }
  return jsqr(pixels, size, size)?.data;
}

test("QR codes of every version, with every mask, are read back; a longer text is refused", () => {
  const fullest = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213];
  const letters = "https://efir.example/демо/#";
  for (const [index, bytes] of fullest.entries()) {
    let text = letters.repeat(10);
    while (new TextEncoder().encode(text).length > bytes) text = text.slice(0, -1);
    text = text.padEnd(text.length + bytes - new TextEncoder().encode(text).length, "x");
    assert.equal(qr(text).length, 17 + 4 * (index + 1), `${bytes} bytes fill version ${index + 1}`);
    assert.equal(scanned(qr(text)), text, `version ${index + 1}`);
  }
  for (let mask = 0; mask < 8; mask += 1) assert.equal(scanned(qr("http://192.168.1.5:8080/demos/cursors/#a", mask)), "http://192.168.1.5:8080/demos/cursors/#a", `mask ${mask}`);
  assert.throws(() => qr("x".repeat(214)), RangeError);
});

test("cursors: the code on the page leads to it, and follows the address that is typed; a loopback address comes with advice", async () => {
  const { window } = await open("cursors", {}, "phone");
  const read = async () => {
    const { size, path } = await window.evaluate(() => ({ size: document.querySelector(".qr svg").viewBox.baseVal.width, path: document.querySelector(".qr path").getAttribute("d") }));
    const rows = Array.from({ length: size - 8 }, () => Array(size - 8).fill(false));
    for (const [, x, y] of path.matchAll(/M(\d+) (\d+)/g)) rows[y - 4][x - 4] = true;
    return scanned(rows);
  };
  assert.equal(await read(), `${server.url}/demos/cursors/#phone`);
  assert.match(await window.evaluate(() => document.querySelector("#phone").innerText), /--listen 0\.0\.0\.0:8080/);
  await window.type("#phone input", "192.168.1.5:8080");
  assert.equal(await read(), "http://192.168.1.5:8080/demos/cursors/#phone");
  await leave(window);
});

/** Plays messages, given as data, at one a second. */
function played(...all) {
  return all.reduce((state, data, index) => play(state, { data, time: 1_000 * index, position: `E-${index + 1}` }), null);
}

const move = (who, step) => ({ who, name: who, hue: "poll", step });

test("game: before a round there is no state; what comes before the latest round does not matter", () => {
  assert.equal(played(move("a", "up"), move("b", "down")), null);
  const old = play(played({ round: true }, move("a", "up"), move("b", "left")), { data: { round: true }, time: 9_000, position: "E-9" });
  const fresh = play(null, { data: { round: true }, time: 9_000, position: "E-9" });
  assert.deepEqual(old, fresh);
});

test("game: whose move to a cell stands first in the log has it; the other stays", () => {
  const race = (...order) => {
    const state = played({ round: true });
    // Two beside one free cell, with the star on it.
    state.moves = 1;
    state.star = 17;
    state.players = { a: { cell: 16, stars: 0, seen: 0 }, b: { cell: 18, stars: 0, seen: 0 } };
    return order.reduce((state, who, index) => play(state, { data: move(who, who === "a" ? "right" : "left"), time: index, position: `E-${index + 10}` }), state);
  };
  const [first, second] = [race("a", "b"), race("b", "a")];
  assert.deepEqual([first.players.a.cell, first.players.a.stars, first.players.b.cell, first.players.b.stars], [17, 1, 18, 0]);
  assert.deepEqual([second.players.a.cell, second.players.a.stars, second.players.b.cell, second.players.b.stars], [16, 0, 17, 1]);
});

test("game: seven stars win, and then nothing moves before the next round; nonsense changes nothing", () => {
  let state = played({ round: true }, move("a", "up"));
  for (let star = 0; star < 7; star += 1) {
    const side = state.players.a.cell % 12 === 11 ? -1 : 1;
    state.star = state.players.a.cell + side;
    state = play(state, { data: move("a", side === 1 ? "right" : "left"), time: 1_000, position: `E-${star + 3}` });
  }
  assert.equal(state.winner, "a");
  const { cell } = state.players.a;
  state = play(state, { data: move("a", "up"), time: 2_000, position: "E-20" });
  assert.equal(state.players.a.cell, cell);
  for (const data of [null, "text", 7, {}, { who: "b", step: "sideways" }]) assert.deepEqual(Object.keys(play(state, { data, time: 3_000, position: "E-21" }).players), ["a"]);
});

test("game: who makes no move for a minute of the log's time leaves the board", () => {
  const state = played({ round: true }, move("a", "up"), move("b", "up"));
  const later = play(state, { data: move("b", "left"), time: 1_000 + 60_001, position: "E-9" });
  assert.deepEqual(Object.keys(later.players), ["b"]);
});
