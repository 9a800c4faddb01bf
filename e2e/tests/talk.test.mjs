// Two browsers in one channel: over each transport a message typed in one appears in the other, and what a cut cable held back comes
// afterwards, in order and once.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { ChatPage, transports } from "../stage/chat.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const greeting = "Привет, 世界 👋";
const count = (texts, text) => texts.filter((one) => one === text).length;

let server;
const browsers = [];
let chromium;
let firefox;

before(async () => {
  server = await Server.start();
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
  [chromium, firefox] = await Promise.all(
    browsers.map(async (browser) => (await ChatPage.open(await browser.window(), server.url, "chat")).isOnAir()),
  );
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server?.stop();
});

for (const transport of transports) {
  describe(transport, () => {
    test(`${transport}: what is typed in one browser appears in the other, both ways`, async () => {
      await Promise.all([chromium, firefox].map((page) => page.visit(`talk-${transport}`)));
      for (const [from, to] of [[chromium, firefox], [firefox, chromium]]) {
        const text = `${greeting} ${from.window.browser.name}`;
        await from.pane(transport).say(text);
        for (const page of [to, from]) {
          const lines = await page.pane(transport).hears(text);
          assert.equal(count(lines.map((line) => line.text), text), 1, "shown once");
          assert.equal(lines.at(-1).text, text, "the newest stands first");
        }
      }
      const bytes = await server.read(`talk-${transport}`);
      assert.ok(bytes.includes(Buffer.from(greeting, "utf8")), "the server gives the text out byte for byte");
    });

    test(`${transport}: a cut cable; plugged in again, what was missed comes in order, once, and is marked`, async () => {
      await Promise.all([chromium, firefox].map((page) => page.visit(`cable-${transport}`)));
      const cut = [chromium.pane(transport), firefox.pane(transport)];
      const others = [chromium, firefox].flatMap((page) => page.panes.filter(({ name }) => name !== transport));
      const speaker = chromium.pane(transport === "websocket" ? "sse" : "websocket");
      await cut[0].say("before");
      for (const pane of [...cut, ...others]) await pane.hears("before");
      for (const pane of cut) await pane.cut();
      const missed = ["missed 1", "missed 2", "missed 3"];
      for (const text of missed) {
        await speaker.say(text);
        // One after the other: what is published by requests of their own may overtake.
        await speaker.hears(text);
      }
      for (const pane of others) await pane.hears("missed 3");
      for (const pane of cut) {
        assert.deepEqual(await pane.texts(), ["before"], "a cut cable carries nothing");
        await pane.plug();
        const lines = await pane.hears("missed 3");
        assert.deepEqual(
          lines.map(({ text, isCaughtUp }) => [text, isCaughtUp]),
          [["before", false], ...missed.map((text) => [text, true])],
        );
      }
      await cut[1].say("after");
      for (const pane of [...cut, ...others]) {
        const lines = await pane.hears("after");
        assert.deepEqual(lines.map((line) => line.text ?? line.gap), ["before", ...missed, "after"], `${pane.name}: all, in order, once, without a gap`);
        assert.equal(lines.at(-1).isCaughtUp, false, "what comes live is not marked");
      }
    });
  });
}

test("what a program publishes appears in all five panes of both browsers", async () => {
  const channel = "общий-чат";
  await Promise.all([chromium, firefox].map((page) => page.visit(channel)));
  const { position } = await server.publish(channel, { text: greeting, from: "a program" });
  await server.publish(channel, "plain text\nin two lines");
  for (const page of [chromium, firefox]) {
    for (const pane of page.panes) {
      await pane.hears(greeting);
      const lines = await pane.hears("plain text\nin two lines");
      assert.equal(lines[0].position, position);
      assert.equal(lines.length, 2);
    }
  }
});

test("what is typed in any pane is shown by all five, with its latency", async () => {
  await Promise.all([chromium, firefox].map((page) => page.visit("all")));
  const texts = transports.map((name) => `typed in ${name}`);
  for (const [index, pane] of chromium.panes.entries()) await pane.say(texts[index]);
  for (const pane of [...chromium.panes, ...firefox.panes]) {
    for (const text of texts) await pane.hears(text);
    assert.equal((await pane.texts()).length, texts.length, `${pane.name} shows each once`);
  }
  for (const pane of chromium.panes) {
    await until(`${pane.name} shows a latency`, async () => (await pane.figures()).latency >= 0);
  }
});

test("the consoles stay silent", () => {
  for (const page of [chromium, firefox]) assert.deepEqual(page.window.unexpected(), [], page.window.browser.name);
});
