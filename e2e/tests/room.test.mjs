// The main room, which runs on the client: from one browser to the other, over each transport, switched while messages come; a cut cable
// and what was written meanwhile; who is here.
import assert from "node:assert/strict";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { outage, start } from "../stage/browsers.mjs";
import { ChatPage, transports } from "../stage/chat.mjs";
import { RoomPage } from "../stage/room.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const greeting = "Привет, 世界 👋";

let server;
const browsers = [];
const windows = [];

before(async () => {
  server = await Server.start();
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server?.stop();
});

/** The room in a window of each browser. */
async function rooms(channel) {
  const pages = [];
  for (const browser of browsers) {
    const window = await browser.window();
    windows.push(window);
    pages.push(await RoomPage.open(window, server.url, channel));
  }
  for (const page of pages) await page.isOnAir();
  return pages;
}

async function leave(pages) {
  for (const page of pages) await page.window.close();
}

test("what is written in one browser appears in the other, both ways, and is known as one's own", async () => {
  const pages = await rooms("room-talk");
  for (const [from, to] of [pages, pages.toReversed()]) {
    const text = `${greeting} ${from.window.browser.name}`;
    await from.say(text);
    const own = await from.hears(text);
    const other = await to.hears(text);
    assert.equal(own.find((line) => line.text === text).isOwn, true);
    assert.equal(other.find((line) => line.text === text).isOwn, false);
  }
  await server.publish("room-talk", "plain text\nin two lines");
  for (const page of pages) {
    const lines = await page.hears("plain text\nin two lines");
    assert.equal(lines.length, 3, "each once, and nothing else");
    assert.equal((await page.air()).transport, "websocket", "the best that gets through is chosen");
  }
  await leave(pages);
});

for (const transport of transports) {
  test(`${transport}: chosen by hand, it carries both ways`, async () => {
    const pages = await rooms(`room-${transport}`);
    for (const page of pages) await page.use(transport);
    for (const [from, to] of [pages, pages.toReversed()]) {
      const text = `by ${transport} from ${from.window.browser.name}`;
      await from.say(text);
      for (const page of [from, to]) await page.hears(text);
    }
    for (const page of pages) {
      assert.deepEqual((await page.lines()).map((line) => line.text), pages.map((one) => `by ${transport} from ${one.window.browser.name}`));
    }
    await leave(pages);
  });
}

test("switched through all transports while messages come: all are shown, in order, once", async () => {
  const pages = await rooms("room-switch");
  const sent = [];
  let isOver = false;
  const speaker = (async () => {
    while (!isOver) {
      sent.push(`message ${sent.length + 1}`);
      await server.publish("room-switch", sent.at(-1));
      await new Promise((next) => setTimeout(next, 20));
    }
  })();
  for (const transport of [...transports, "auto"]) for (const page of pages) await page.use(transport);
  isOver = true;
  await speaker;
  for (const page of pages) {
    await page.hears(sent.at(-1));
    const texts = await page.texts();
    assert.deepEqual(texts, sent.slice(-texts.length), "a contiguous run to the end");
    assert.ok(texts.length >= Math.min(sent.length, 300), `${texts.length} of ${sent.length}`);
    assert.ok((await page.lines()).every((line) => line.gap === undefined), "no gap");
  }
  await leave(pages);
});

test("what is written while the cable is cut waits, is said to, and goes out once; what was missed comes in order", async () => {
  for (const transport of ["auto", "long-poll"]) {
    const channel = `room-cable-${transport}`;
    const [near, far] = await rooms(channel);
    await near.use(transport);
    await near.say("before");
    for (const page of [near, far]) await page.hears("before");
    await near.cut();
    const missed = ["missed 1", "missed 2"];
    for (const text of missed) {
      await far.say(text);
      await far.hears(text);
    }
    const written = ["written 1", "written 2"];
    for (const text of written) await near.say(text);
    for (const text of written) await near.holds(text, "waiting");
    assert.deepEqual(await near.texts(), ["before"], "a cut cable carries nothing");
    await near.plug();
    for (const page of [near, far]) {
      await page.hears("written 2");
      await until("nothing is left unsent", async () => (await page.lines()).every((line) => !line.draft), { seen: () => page.lines() });
      assert.deepEqual((await page.lines()).map((line) => line.text), ["before", ...missed, ...written], "all, in order, once");
    }
    await leave([near, far]);
  }
});

test("who is here: both, by name and transport; a changed name, a switch, the five panes of the same visitor, leaving", async () => {
  const pages = await rooms("room-company");
  for (const page of pages) await page.sees("two are here", (company) => company.length === 2 && company.every(({ transports }) => transports.includes("websocket")));
  const [chromium, firefox] = pages;
  await chromium.rename("Анна");
  await firefox.sees("the new name", (company) => company.some(({ name }) => name === "Анна"));
  await chromium.use("sse");
  await firefox.sees("the new transport", (company) => company.find(({ name }) => name === "Анна")?.transports.join() === "sse");

  const panes = await ChatPage.open(await browsers[0].window(), server.url, "room-company");
  windows.push(panes.window);
  await panes.isOnAir();
  await firefox.sees("one visitor over all five", (company) => company.length === 2 && company.find(({ name }) => name === "Анна")?.transports.length === transports.length);
  await panes.window.close();
  await firefox.sees("its panes are gone", (company) => company.find(({ name }) => name === "Анна")?.transports.join() === "sse");
  await chromium.window.close();
  await firefox.sees("one is left", (company) => company.length === 1);
  await firefox.window.close();
});

test("another channel: gone from the first for others, and what is said there is not shown here", async () => {
  const pages = await rooms("room-first");
  for (const page of pages) await page.sees("two are here", (company) => company.length === 2);
  const [chromium, firefox] = pages;
  await chromium.say("in the first");
  for (const page of pages) await page.hears("in the first");
  await chromium.visit("room-second");
  await firefox.sees("one is left", (company) => company.length === 1);
  await firefox.say("still in the first");
  await firefox.hears("still in the first");
  await chromium.say("in the second");
  assert.deepEqual((await chromium.hears("in the second")).map((line) => line.text), ["in the second"]);
  await chromium.visit("room-first");
  assert.deepEqual((await chromium.hears("still in the first")).map((line) => line.text), ["in the first", "still in the first"]);
  await leave(pages);
});

test("more than the server lists: the number alone; a server that lets nobody enter: the talk goes on", async () => {
  const crowd = await Server.start({ args: ["--set", "limits.presence_members_max=1"] });
  const full = await Server.start({ args: ["--set", "limits.presence_leases_max=1"] });
  for (const own of [crowd, full]) {
    const pages = [];
    for (const browser of browsers) pages.push(await RoomPage.open(await browser.window(), own.url, "crowd"));
    for (const page of pages) await page.isOnAir();
    if (own === crowd) for (const page of pages) await until("two are counted, none is named", async () => (await page.count()) === 2 && !(await page.company()), { seen: () => page.count() });
    for (const [from, to] of [pages, pages.toReversed()]) {
      await from.say(`hello from ${from.window.browser.name}`);
      await to.hears(`hello from ${from.window.browser.name}`);
    }
    await leave(pages);
    await own.stop();
  }
});

test("what the server refuses says why, and goes when it is discarded", async () => {
  const strict = await Server.start({ args: ["--set", "limits.message_bytes_max=400"] });
  const window = await browsers[0].window();
  const page = await (await RoomPage.open(window, strict.url, "strict")).isOnAir();
  const long = "long ".repeat(100).trim();
  await page.say(long);
  await page.holds(long, "refused");
  assert.match(await window.evaluate(() => document.querySelector("[data-draft] .fate").textContent), /not sent: .*bytes/);
  await window.click("[data-draft] .choices button:last-child");
  await page.say("short");
  assert.deepEqual((await page.hears("short")).map((line) => line.text), ["short"]);
  await window.close();
  await strict.stop();
});

test("the server is killed and started again: a gap is told, and what waited goes out", async () => {
  const own = await Server.start({ isAlone: true });
  const window = await browsers[0].window();
  const page = await RoomPage.open(window, own.url, "room-restart");
  await page.isOnAir();
  await page.say("before");
  await page.hears("before");
  await own.kill();
  await until("the room is off the air", async () => (await page.air()).state !== "online", { seen: () => page.air() });
  await page.tells("offline");
  await page.say("meanwhile");
  await page.holds("meanwhile", "waiting");
  await own.launch();
  const lines = await page.hears("meanwhile");
  await page.tells(undefined);
  assert.deepEqual(lines.map((line) => line.gap ?? line.text), ["before", "epoch_changed", "meanwhile"]);
  assert.deepEqual(window.unexpected(outage), []);
  await window.close();
  await own.stop();
});

test("the consoles stay silent", () => {
  assert.ok(windows.length > 0);
  for (const window of windows) assert.deepEqual(window.unexpected(), [], window.browser.name);
});

test("a channel that is closed to the visitor says so, and another one beside it is open", async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "efir-closed-"));
  const config = path.join(folder, "efir.toml");
  await fs.writeFile(config, '[[rules]]\nchannels = "open"\nsubscribe = "anyone"\npublish = "anyone"\n');
  const closed = await Server.start({ args: ["--config", config], page: "any" });
  for (const browser of browsers) {
    const window = await browser.window();
    const page = await RoomPage.open(window, closed.url, "shut");
    const said = () => window.evaluate(() => document.body.innerText);
    await until("the refusal is told", async () => (await said()).includes("no_rule"), { seen: said });
    await page.isOnAir();
    await window.evaluate(() => (location.hash = "#open"));
    await page.say(greeting);
    await page.hears(greeting);
    assert.equal((await said()).includes("no_rule"), false);
    await window.close();
  }
  await closed.stop();
  await fs.rm(folder, { recursive: true });
});
