// The client in a worker, which has no window, no document and no storage: each transport carries both ways, in Chromium and Firefox.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { start } from "../stage/browsers.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const pages = fileURLToPath(new URL("../pages", import.meta.url));
const transports = ["websocket", "http-stream", "sse", "long-poll", "short-poll"];

let server;
const browsers = [];

before(async () => {
  server = await Server.start({ args: ["--static", pages], page: "any" });
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server?.stop();
});

test("the client runs in a worker, over each transport", async () => {
  for (const browser of browsers) {
    const window = await browser.window();
    await window.goto(`${server.url}/blank.html`);
    await window.evaluate(() => {
      globalThis.told = [];
      globalThis.worker = new Worker("/worker.js", { type: "module" });
      worker.onmessage = ({ data }) => told.push(data);
      worker.onerror = ({ message }) => told.push({ failed: message });
    });
    const told = () => window.evaluate(() => told);
    for (const by of transports) {
      const say = `Привет, ${by}, ${browser.name}`;
      await window.evaluate((order) => worker.postMessage(order), { say, by });
      await until(`the worker hears itself over ${by}`, async () => (await told()).some(({ heard }) => heard === say), { seen: told });
      await until(`it has gone over to ${by}`, async () => {
        await server.publish("из воркера", "ping");
        return (await told()).at(-1)?.by === by;
      }, { seen: told });
    }
    assert.deepEqual((await told()).filter(({ failed }) => failed !== undefined), []);
    await window.close();
  }
});
