// The transport lab: a run over five transports at once, a cut cable in the middle of one, what can be taken along (table, address,
// picture), the lab switched off, its looks. Screenshots go to artefacts/.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { outage, start } from "../stage/browsers.mjs";
import { ChatPage, held } from "../stage/chat.mjs";
import { LabPage, transports } from "../stage/lab.mjs";
import { Server, root } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

const artefacts = path.join(root, "e2e/artefacts");
const brief = "#rate=10&size=100&burst=1&seconds=10";
const streams = ["sse", "http-stream", "websocket"];

/** What a browser says of a connection that is reset, besides the outages of other tests. */
const resets = [...outage, /^Failed to load resource: net::ERR_/, /^WebSocket connection to /, /^uncaught: The connection to http/];

let server;
let off;
const browsers = {};
/** The address of the first run's results. */
let link;

before(async () => {
  mkdirSync(artefacts, { recursive: true });
  [server, off] = await Promise.all([Server.start(), Server.start({ args: ["--set", "lab=false"] })]);
  [browsers.chromium, browsers.firefox] = await Promise.all([start.chromium(), start.firefox()]);
});

after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await Promise.all([server?.stop(), off?.stop()]);
});

for (const name of ["chromium", "firefox"]) {
  test(`${name}: a run; every transport has every message, and the figures tell them apart`, async () => {
    const window = await browsers[name].window();
    const page = await LabPage.open(window, server.url, brief);
    await page.start();
    await page.hasPublished(20);
    const shown = await until("all five are on the air and show a latency", async () => {
      const report = await page.report();
      return transports.every((one) => report[one].state === "online" && report[one].p50 >= 0) && report;
    }, { seen: () => page.report() });
    assert.ok(shown.websocket.messages > 0, "figures come while the run goes on");
    for (const one of transports) await page.isDrawn(one);

    await page.isIn("done");
    const report = await page.report();
    for (const one of transports) {
      const { messages, missing, gaps = 0, p50, p99, reconnects } = report[one];
      assert.deepEqual({ messages, missing, gaps, reconnects }, { messages: 100, missing: 0, gaps: 0, reconnects: 0 }, one);
      assert.ok(p50 >= 0 && p99 >= p50, one);
    }
    for (const one of streams) assert.deepEqual([report[one].requests, report[one].empty], [1, 0], one);
    assert.ok(report["long-poll"].requests > report["short-poll"].requests, "a long poll asks after each message");
    assert.ok(report["short-poll"].p50 > report.websocket.p50, "a short poll lets messages wait");
    assert.ok(report.websocket.overhead < report["long-poll"].overhead, "headers cost more than frames");
    assert.ok(report["long-poll"].up > 10 * report.websocket.up);
    if (name === "chromium") link = await page.copied("copy-link");
    assert.deepEqual(window.unexpected(), []);
    await window.close();
  });
}

for (const name of ["chromium", "firefox"]) {
  test(`${name}: a cut cable; every transport loses its connection, comes back, and has missed nothing`, async () => {
    const window = await browsers[name].window();
    const page = await LabPage.open(window, server.url, brief);
    await page.start();
    await until("all five are on the air", async () => Object.values(await page.report()).every(({ state }) => state === "online"));
    await page.hasPublished(20);
    await page.click("network-cut");
    await until("all five have lost it", async () => Object.values(await page.report()).every(({ state }) => state !== "online"), {
      seen: () => page.report(),
    });
    const { published } = await page.state();
    await page.hasPublished(Math.min(published + 10, 100));
    await page.click("network-cut");
    await page.isIn("done");
    const report = await page.report();
    for (const one of transports) {
      assert.deepEqual([report[one].messages, report[one].missing], [100, 0], one);
      assert.ok(report[one].reconnects >= 1, `${one}: reconnects are counted`);
      assert.ok(report[one].p99 > 500, `${one}: what waited behind the cut counts with its wait`);
    }
    assert.match(await page.copied("copy-link"), /&faults=cut,/);
    assert.deepEqual(window.unexpected(resets), []);
    await window.close();
  });
}

test("beside a window with five raw panes a run takes the long requests over, and gives them back", async () => {
  const panes = await ChatPage.open(await browsers.chromium.window(), server.url, "lab-neighbour");
  await panes.isOnAir();
  const window = await browsers.chromium.window();
  const page = await LabPage.open(window, server.url, brief);
  await page.start();
  await until("all five are on the air", async () => Object.values(await page.report()).every(({ state }) => state === "online"), {
    seen: () => page.report(),
  });
  for (const one of held) await panes.pane(one).isIn("paused");
  await page.isIn("done");
  for (const one of transports) assert.equal((await page.figures(one)).missing, 0, one);
  await panes.isOnAir();
  for (const one of [panes.window, window]) {
    assert.deepEqual(one.unexpected(), []);
    await one.close();
  }
});

test("bytes that vanish: no browser notices, the missing heartbeat tells; afterwards nothing is missing", async () => {
  const window = await browsers.chromium.window();
  const page = await LabPage.open(window, server.url, brief);
  await page.start();
  await until("all five are on the air", async () => Object.values(await page.report()).every(({ state }) => state === "online"));
  await page.hasPublished(10);
  await page.click("network-drop");
  const lost = async () => {
    const report = await page.report();
    return streams.every((one) => report[one].state !== "online") && report;
  };
  await until("the streams and the socket have noticed", lost, { within_ms: 30_000, seen: () => page.report() });
  await page.click("network-drop");
  await page.isIn("done");
  const report = await page.report();
  for (const one of transports) assert.deepEqual([report[one].messages, report[one].missing], [100, 0], one);
  for (const one of streams) assert.ok(report[one].reconnects >= 1, one);
  assert.deepEqual(window.unexpected(resets), []);
  await window.close();
});

test("a proxy that buffers: streams starve, polls and the socket do not; afterwards nothing is missing", async () => {
  const window = await browsers.chromium.window();
  const page = await LabPage.open(window, server.url, brief);
  await page.click("network-buffer");
  await page.start();
  await page.hasPublished(40);
  const report = await page.report();
  for (const one of ["short-poll", "long-poll", "websocket"]) assert.ok(report[one].messages >= 10, `${one} has ${report[one].messages}`);
  for (const one of ["sse", "http-stream"]) assert.equal(report[one].messages, 0, one);
  await page.click("network-mend");
  await page.isIn("done");
  for (const one of transports) assert.equal((await page.figures(one)).missing, 0, one);
  assert.deepEqual(window.unexpected(resets), []);
  await window.close();
});

test("results are taken along: the address shows them again, the table copies as it stands, the picture is one", async () => {
  const first = await LabPage.open(await browsers.chromium.window(), server.url, new URL(link).hash);
  const again = await LabPage.open(await browsers.chromium.window(), server.url, new URL(link).hash);
  const table = await first.table();
  assert.equal(table.length, 6);
  assert.deepEqual(await again.table(), table);
  for (const one of transports) assert.equal((await again.figures(one)).messages, 100);
  assert.equal((await again.state()).phase, "done");

  assert.deepEqual((await again.copied("copy-table")).split("\n").map((row) => row.split("\t")), table);
  const markdown = (await again.copied("copy-markdown")).split("\n");
  assert.equal(markdown.length, 7);
  assert.equal(markdown[0], `| ${table[0].join(" | ")} |`);
  assert.equal(await again.copied("copy-link"), link);

  const picture = await again.picture();
  assert.deepEqual([...picture.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  assert.ok(picture.length > 20_000, `${picture.length} bytes`);
  writeFileSync(path.join(artefacts, "lab-results.png"), picture);
  for (const { window } of [first, again]) {
    assert.deepEqual(window.unexpected(), []);
    await window.close();
  }
});

test("a question sets the network, starts the run and says what to look at; the network is this visitor's alone", async () => {
  const window = await browsers.chromium.window();
  const page = await LabPage.open(window, server.url);
  await page.click("question-hole");
  await page.isIn("running");
  assert.ok((await page.text("answer")).length > 80);
  await until("the delay is felt", async () => (await page.figures("websocket")).p50 > 300, { within_ms: 30_000, seen: () => page.figures("websocket") });
  const direct = () =>
    window.evaluate(async () => {
      const asked = performance.now();
      await fetch("../lab/clock");
      return performance.now() - asked;
    });
  // A delay would be felt each time, however often one asks.
  await until("the server itself answers without it", async () => (await direct()) < 300, { seen: direct });
  await page.click("network-mend");
  await page.click("question-oneway");
  await page.isIn("running");
  await page.click("say");
  await until("what is said here is read over every transport and is no message of the run", async () => {
    const report = await page.report();
    return transports.every((one) => report[one].down > 0 && report[one].messages <= 2);
  });
  await page.click("go");
  await page.isIn("done");
  await window.close();
});

test("a refusal of the server is shown in its own words", async () => {
  const runs = await Promise.all(
    Array.from({ length: 10 }, async (_, at) => {
      const body = JSON.stringify({ visitor: `other-${at}`, rate: 1, seconds: 30 });
      return (await fetch(`${server.url}/lab/runs`, { method: "POST", body })).json();
    }),
  );
  const window = await browsers.chromium.window();
  const page = await LabPage.open(window, server.url, brief);
  await page.click("go");
  const said = await until("the refusal is shown", () => window.evaluate(() => document.querySelector('[role="alert"]')?.textContent));
  assert.match(said, /10/);
  assert.equal((await page.state()).phase, "idle");
  for (const { run } of runs) await fetch(`${server.url}/lab/runs/${run}`, { method: "DELETE" });
  await page.start();
  await page.click("go");
  await page.isIn("done");
  await window.close();
});

test("where the lab is off the page says how to switch it on, and still shows results that a link brings", async () => {
  const window = await browsers.chromium.window();
  await window.goto(`${off.url}/lab/`);
  const told = await until("the page explains", () => window.evaluate(() => document.querySelector('[data-testid="lab-off"]')?.textContent));
  assert.match(told, /efir --lab/);
  assert.match(told, /lab = true/);
  assert.equal(await window.evaluate(() => document.querySelector('[data-testid="go"]')), null);
  await window.goto(`${off.url}/blank`);
  await window.goto(`${off.url}/lab/${new URL(link).hash}`);
  const page = new LabPage(window);
  const table = await until("the results are shown", async () => (await page.has("results-table")) && page.table());
  assert.equal(table.length, 6);
  await window.close();
});

for (const [width, colorScheme, locale] of [
  [390, "light", "ru-RU"],
  [390, "dark", "en-GB"],
  [820, "light", "en-GB"],
  [820, "dark", "ru-RU"],
  [1_440, "light", "ru-RU"],
  [1_440, "dark", "en-GB"],
]) {
  test(`${width} wide, ${colorScheme}, ${locale}: axe finds nothing serious, nothing scrolls sideways; screenshot`, async () => {
    const window = await browsers.chromium.visitor({ locale, colorScheme, viewport: { width, height: 900 } });
    const page = await LabPage.open(window, server.url, brief);
    await page.start();
    await page.hasPublished(30);
    for (const one of [...transports].reverse()) await page.isDrawn(one);
    await window.evaluate(axe.source);
    const { violations } = await window.evaluate(() => globalThis.axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(serious.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ target }) => target.join(" ")) })), []);
    assert.ok((await window.evaluate(() => document.documentElement.scrollWidth)) <= width);
    assert.equal(await window.evaluate(() => document.documentElement.lang), locale.slice(0, 2));
    await window.screenshot(path.join(artefacts, `lab-${width}-${colorScheme}-${locale.slice(0, 2)}.png`));
    await page.click("go");
    await page.isIn("done");
    assert.deepEqual(window.unexpected(), []);
    await window.close();
  });
}
