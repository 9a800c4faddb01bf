// The demos as every efir serves them: each in two windows, as two people would use it. What they look like is in demos_looks.test.mjs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const fake_camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--allow-loopback-in-peer-connection"];

let server;
let chromium;
let firefox;

before(async () => {
  server = await Server.start();
  [chromium, firefox] = await Promise.all([start.chromium({ flags: fake_camera }), start.firefox()]);
});

after(async () => {
  await Promise.all([chromium, firefox].map((browser) => browser?.close()));
  await server?.stop();
});

/** A demo in a window, on the air. */
class Demo {
  constructor(window) {
    this.window = window;
  }

  static async open(window, name, room, ready = isOnAir) {
    const demo = new Demo(window);
    await window.goto(`${server.url}/demos/${name}/#${room}`);
    await demo.sees("it is on the air", ready);
    return demo;
  }

  /** Waits until `look`, run in the page, gives something truthy, and gives that. */
  sees(what, look, argument) {
    return until(`${this.window.browser.name}: ${what}`, () => this.window.evaluate(look, argument), { within_ms: 30_000, seen: () => this.words() });
  }

  words() {
    return this.window.evaluate(() => document.querySelector(".stage").innerText.slice(0, 600));
  }

  /** Where an element is in the window: `[x, y]` of a point in it, given in parts of its width and height. */
  async place(selector, x, y) {
    const box = await this.window.evaluate((selector) => {
      const element = document.querySelector(selector);
      element.scrollIntoView({ block: "center" });
      const { left, top, width, height } = element.getBoundingClientRect();
      return { left, top, width, height };
    }, selector);
    return [box.left + box.width * x, box.top + box.height * y];
  }

  async leave() {
    assert.deepEqual(this.window.unexpected(), []);
    await this.window.close();
  }
}

const isOnAir = () => document.querySelector(".state")?.dataset.state === "online";

/** The same demo in both browsers. */
async function inBoth(name, room) {
  const demos = [];
  for (const browser of [chromium, firefox]) demos.push(await Demo.open(await browser.window(), name, room));
  return demos;
}

test("cursors: a pointer moved in one browser moves in the other, and goes when its window is closed", async () => {
  const [here, there] = await inBoth("cursors", "pointers");
  await here.window.point(await here.place("#arena", 0.2, 0.2), await here.place("#arena", 0.75, 0.4));
  await there.sees("the other's cursor, where it is", () => {
    const cursor = document.querySelector(".cursor:not(.own)");
    return cursor && Math.abs(Number.parseFloat(cursor.style.left) - 75) < 2 && Math.abs(Number.parseFloat(cursor.style.top) - 40) < 2;
  });
  await here.sees("two are here", () => document.querySelector("#here").textContent.includes("2"));
  await there.window.evaluate(() => document.querySelector("#arena").focus());
  for (const key of ["ArrowLeft", "ArrowLeft", "Enter"]) await there.window.press(key);
  await here.sees("the cursor that keys moved", () => Number.parseFloat(document.querySelector(".cursor:not(.own)")?.style.left) === 44);
  await here.leave();
  await there.sees("the cursor is gone", () => !document.querySelector(".cursor:not(.own)"));
  await there.leave();
});

/** Stands for the browser's notifications: nobody asked yet, who is asked agrees, and what is shown is kept in the page. */
function notifications() {
  globalThis.shown = [];
  globalThis.asked = 0;
  globalThis.Notification = class {
    static permission = "default";
    static async requestPermission() {
      globalThis.asked += 1;
      return (this.permission = "granted");
    }
    constructor(title, options) {
      globalThis.shown.push({ title, body: options.body });
    }
  };
  document.hasFocus = () => false;
}

test("news: an item is everywhere at once, over SSE, and is notified where that was asked for by a click", async () => {
  const [reader, writer] = await inBoth("news", "daily");
  await reader.window.preload(notifications);
  await reader.window.reload();
  await reader.sees("it is on the air by SSE", () => document.querySelector(".state").dataset.transport === "sse" && document.querySelector(".state").dataset.state === "online");
  assert.equal(await reader.window.evaluate(() => globalThis.asked), 0, "nobody is asked before a click");

  await publish(writer, "Before the click");
  await reader.sees("the item", hasItem, "Before the click");
  assert.deepEqual(await reader.window.evaluate(() => globalThis.shown), []);

  await reader.window.click("#notify");
  await reader.sees("permission was asked for, once", () => globalThis.asked === 1 && document.querySelector("#notify").disabled);
  await publish(writer, "Привет, 世界 👋");
  for (const demo of [reader, writer]) await demo.sees("the item", hasItem, "Привет, 世界 👋");
  await server.publish("demo:news:daily", "from a terminal");
  await reader.sees("the item of a terminal", hasItem, "from a terminal");
  await publish(reader, "My own");
  await reader.sees("my own item", hasItem, "My own");
  assert.deepEqual(await reader.window.evaluate(() => globalThis.shown), [
    { title: "Привет, 世界 👋", body: "the text" },
    { title: "from a terminal", body: "" },
  ]);

  await reader.window.reload();
  const titles = await reader.sees("all of it after a reload", () => {
    const titles = Array.from(document.querySelectorAll("#news h3"), (title) => title.textContent);
    return titles.length === 4 && titles;
  });
  assert.deepEqual(titles, ["My own", "from a terminal", "Привет, 世界 👋", "Before the click"]);
  for (const demo of [reader, writer]) await demo.leave();
});

async function publish(demo, title) {
  await demo.window.type("[name=title]", title);
  await demo.window.type("[name=text]", "the text");
  await demo.window.click("#editor button");
}

const hasItem = (title) => Array.from(document.querySelectorAll("#news h3")).some((item) => item.textContent === title);

test("game: moves made at once in two browsers give the same board in both, and to who comes later", async () => {
  const players = await inBoth("game", "arena");
  const keys = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown", "ArrowRight"];
  for (const round of [1, 2]) {
    for (const key of keys) await Promise.all(players.map((player) => step(player, key)));
    const latest = await sameBoard(players, 2);
    const later = await Demo.open(await chromium.window(), "game", "arena");
    assert.equal(await sameBoard([later], 2), latest, `after round ${round}, who comes later has the same state`);
    await later.leave();
    await players[round - 1].window.click("#again");
    await Promise.all(players.map((player) => player.sees("a new round: nobody has moved", () => document.querySelectorAll("#score li").length === 0)));
  }
  for (const player of players) await player.leave();
});

/** Presses a key and waits until this move is in the log: two of one hand closer than a step's rest are one. */
async function step(player, key) {
  const before = await proof(player);
  await until("the move counts", async () => {
    await player.window.press(key);
    return (await proof(player)) !== before;
  });
}

const proof = (player) => player.window.evaluate(() => document.querySelector("#proof").dataset.proof);

/** Waits until all show the same position and state, with so many players, and gives it. */
function sameBoard(players, count) {
  const board = (player) =>
    player.window.evaluate(() => [document.querySelector("#proof").dataset.proof, document.querySelectorAll(".piece:not(.star)").length]);
  return until("the boards agree", async () => {
    const boards = await Promise.all(players.map(board));
    const [[first]] = boards;
    return boards.every(([proof, pieces]) => proof === first && pieces === count) && first;
  }, { seen: () => Promise.all(players.map(board)) });
}

test("call: two windows see each other's camera; mute, camera off and leaving work", async () => {
  const callers = [];
  for (let index = 0; index < 2; index += 1) callers.push(await Demo.open(await chromium.window(), "call", "room-1"));
  for (const caller of callers) await caller.window.click("#join");
  for (const caller of callers) await caller.sees("the other's picture moves", hasFrames);
  const [first, second] = callers;
  await first.window.click("#video");
  await second.sees("black: the camera of the other is off", isBlack);
  await first.window.click("#video");
  await second.sees("the picture is back", () => document.querySelector(".face:not(.own) video") && !globalThis.isBlack?.());
  await first.window.click("#audio");
  assert.equal(await first.window.evaluate(() => document.querySelector(".own video").srcObject.getAudioTracks()[0].enabled), false);
  await first.leave();
  await second.sees("the other has left", () => document.querySelectorAll(".face").length === 1);
  await second.leave();
});

const hasFrames = () => {
  const video = document.querySelector(".face:not(.own) video");
  return video?.videoWidth > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 3;
};

const isBlack = () => {
  globalThis.isBlack = () => {
    const pen = Object.assign(document.createElement("canvas"), { width: 8, height: 8 }).getContext("2d");
    pen.drawImage(document.querySelector(".face:not(.own) video"), 0, 0, 8, 8);
    return pen.getImageData(0, 0, 8, 8).data.every((value, at) => at % 4 === 3 || value < 24);
  };
  return globalThis.isBlack();
};

test("call: without a camera it says why, and one may watch all the same", async () => {
  const caller = await Demo.open(await chromium.window(), "call", "room-2");
  const watcher = await Demo.open(await chromium.window(), "call", "room-2");
  await watcher.window.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
  });
  await watcher.window.click("#join");
  await watcher.sees("the reason", () => document.querySelector(".said").innerText.includes("no camera or microphone"));
  await watcher.window.click("#watch");
  await caller.window.click("#join");
  await watcher.sees("the other's picture moves", hasFrames);
  for (const demo of [caller, watcher]) await demo.leave();
});

test("whiteboard: a stroke is seen in the other browser, also after a reload; undo and wiping hold for all", async () => {
  const [here, there] = await inBoth("whiteboard", "sketch");
  await here.window.drag(await here.place("#strokes", 0.1, 0.2), await here.place("#strokes", 0.3, 0.6), await here.place("#strokes", 0.5, 0.3));
  const drawn = await here.sees("the stroke is in the log", strokes, 1);
  await showsAlso(there, drawn);

  await there.window.evaluate(() => document.querySelector("#sheet").focus());
  for (const key of [" ", "ArrowRight", "ArrowDown", " "]) await there.window.press(key);
  const both = await there.sees("the stroke that keys drew is in the log", strokes, 2);
  await showsAlso(here, both);

  await here.window.reload();
  await showsAlso(here, both);
  await there.window.click("#undo");
  await showsAlso(here, drawn);
  await here.window.click("#wipe");
  for (const demo of [here, there]) await demo.sees("a clean sheet", strokes, 0);
  for (const demo of [here, there]) await demo.leave();
});

/** The points of all strokes, once there are so many of them and none of this hand is still on its way to the log. */
const strokes = (count) => {
  const lines = Array.from(document.querySelectorAll("#strokes polyline"), (line) => line.getAttribute("points").trim()).filter(Boolean);
  const said = Number.parseInt(document.querySelector("#here").textContent.replace(/\D+/, ""), 10);
  return lines.length === count && said === count && lines;
};

/** Waits until a window shows these strokes, which come piece by piece. */
function showsAlso(demo, drawn) {
  const look = async () => JSON.stringify(await demo.window.evaluate(strokes, drawn.length)) === JSON.stringify(drawn);
  return until(`${demo.window.browser.name}: the same strokes`, look, { within_ms: 30_000, seen: () => demo.words() });
}
