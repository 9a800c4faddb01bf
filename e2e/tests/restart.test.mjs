// The server goes away under two open browsers and comes back on the same port: both go on by themselves and tell what was lost.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { outage, start } from "../stage/browsers.mjs";
import { ChatPage, transports } from "../stage/chat.mjs";
import { Server } from "../stage/server.mjs";

let server;
const browsers = [];
const pages = [];

before(async () => {
  server = await Server.start();
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
  for (const browser of browsers) pages.push(await ChatPage.open(await browser.window(), server.url, "restart"));
  for (const page of pages) await page.isOnAir();
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server?.stop();
});

const ends = { "killed without a word": () => server.kill(), "ended in good order": () => server.terminate() };

for (const [how, end] of Object.entries(ends)) {
  test(`the server is ${how} and started again: every pane of both browsers shows a gap and goes on`, async () => {
    const last = `before: ${how}`;
    await server.publish("restart", last);
    for (const page of pages) for (const pane of page.panes) await pane.hears(last);
    await end();
    for (const page of pages) for (const pane of page.panes) await pane.isIn("reconnecting", "connecting");
    await server.launch();
    const first = `first: ${how}`;
    await server.publish("restart", first);
    for (const page of pages) {
      for (const pane of page.panes) {
        const lines = await pane.hears(first);
        const news = lines.slice(lines.findIndex((line) => line.text === last) + 1);
        assert.deepEqual(news.map((line) => line.gap ?? line.text), ["epoch_changed", first], `${page.window.browser.name}, ${pane.name}: the gap, then the message`);
        await pane.isIn("online");
      }
    }
    const spoken = transports.flatMap((transport) => [pages, pages.toReversed()].map(([from, to]) => ({ transport, from, to, text: `${how}, ${from.window.browser.name} by ${transport}` })));
    for (const { transport, from, text } of spoken) await from.pane(transport).say(text);
    for (const { transport, to, text } of spoken) await to.pane(transport).hears(text);
  });
}

test("the consoles name nothing but the outages", () => {
  for (const page of pages) assert.deepEqual(page.window.unexpected(outage), [], page.window.browser.name);
});
