// Several windows of one browser: over HTTP/1.1 they share six connections to the server. One holds the long requests, the others say
// so and may take over; hidden ones let go.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { ChatPage, held, transports } from "../stage/chat.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const free = transports.filter((name) => !held.includes(name));

/** What waits behind requests that are held waits for longer than this; what does not is far quicker, on a busy machine too. */
const promptly_ms = 5_000;

let server;
let chromium;
let firefox;

before(async () => {
  server = await Server.start();
  [chromium, firefox] = await Promise.all([start.chromium(), start.firefox()]);
});

after(async () => {
  await Promise.all([chromium, firefox].map((browser) => browser?.close()));
  await server?.stop();
});

/** Whether these panes are all in one state. */
async function areIn(page, names, state) {
  for (const name of names) await page.pane(name).isIn(state);
}

/** Waits until the window does without held requests and says so. */
async function standsBack(page) {
  const banner = await until("the window says why it holds no long requests", () => page.banner());
  assert.match(banner, /six connections/);
  await areIn(page, held, "paused");
  await areIn(page, free, "online");
}

const positions = async (pane) => (await pane.lines()).map((line) => line.position);

async function holds(page) {
  await page.isOnAir();
  assert.equal(await page.banner(), undefined);
}

test("three visible windows of Chromium: one holds the long requests, publishing waits for none of them, taking over works", async () => {
  const windows = [];
  for (let index = 0; index < 3; index += 1) windows.push(await ChatPage.open(await chromium.window(), server.url, "windows"));
  const [first, second, third] = windows;
  await holds(first);
  await standsBack(second);
  await standsBack(third);

  for (const [index, page] of windows.entries()) {
    const text = `from window ${index + 1}`;
    await page.pane("short-poll").say(text);
    await first.pane("sse").hears(text, promptly_ms);
  }

  await second.takeOver();
  await holds(second);
  await standsBack(first);
  await standsBack(third);
  // What came while it stood back is there now, once.
  for (const name of held) {
    await second.pane(name).hears("from window 3");
    assert.deepEqual(await second.pane(name).texts(), ["from window 1", "from window 2", "from window 3"]);
  }

  await second.window.close();
  const heir = await until("one of the two that are left holds the long requests", async () => {
    const banners = await Promise.all([first.banner(), third.banner()]);
    return banners.filter(Boolean).length === 1 && (banners[0] ? third : first);
  });
  await holds(heir);
  await heir.pane("long-poll").say("from the heir");
  for (const pane of heir.panes) await pane.hears("from the heir", promptly_ms);
  for (const page of windows) assert.deepEqual(page.window.unexpected(), []);
  for (const page of [first, third]) await page.window.close();
});

test("tabs of Firefox: a hidden one lets go of its long requests; shown again, it resumes with nothing missing", async () => {
  const windows = [];
  for (let index = 0; index < 3; index += 1) windows.push(await ChatPage.open(await firefox.window(), server.url, "tabs"));
  const [first, second, third] = windows;
  await holds(third);
  for (const page of [first, second]) {
    await areIn(page, free, "online");
    await areIn(page, held, "paused");
  }
  await until("the server has three sockets and the held requests of one tab", async () => {
    const { subscribers } = await server.publish("tabs", "how many hear?");
    return subscribers === windows.length + held.length;
  });
  const texts = ["one", "two", "three"];
  for (const text of texts) {
    await third.pane("long-poll").say(text);
    for (const pane of third.panes) await pane.hears(text, pane.name === "short-poll" ? undefined : promptly_ms);
  }
  // Its socket went on, hidden as it was.
  await first.pane("websocket").hears("three");

  await first.window.show();
  await holds(first);
  for (const name of held) {
    await first.pane(name).hears("three");
    assert.deepEqual((await first.pane(name).texts()).slice(-texts.length), texts);
    assert.deepEqual(await positions(first.pane(name)), await positions(first.pane("websocket")), "what the socket has, in its order");
  }
  await first.pane("sse").say("from the tab that was hidden");
  for (const pane of first.panes) await pane.hears("from the tab that was hidden");
  for (const page of windows) assert.deepEqual(page.window.unexpected(), []);
  for (const page of windows) await page.window.close();
});
