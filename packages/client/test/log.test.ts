// Exactly once, in order, with every hole mended or told (guarantees D4, D5).
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { Gap } from "../src/types.ts";
import { startClock, type Clock } from "./clock.ts";
import { hello, say, stage, type Stage } from "./script.ts";

let clock: Clock;
let s: Stage;

beforeEach(() => {
  clock = startClock();
  s = stage(["websocket"]);
  hello(s.last("websocket"));
});
afterEach(() => {
  s.client.close();
  clock.stop();
});

const server = () => s.last("websocket");
const wanted = (channel = "a") => server().link.wanted().find((one) => one.channel === channel);
function listen(options = {}, channel = "a"): { got: string[]; gaps: Gap[]; stop: () => void } {
  const got: string[] = [];
  const gaps: Gap[] = [];
  const one = s.client.channel(channel);
  one.on("gap", (gap) => gaps.push(gap));
  return { got, gaps, stop: one.subscribe((message) => got.push(message.position), options) };
}

test("each message once, whatever comes twice", () => {
  const { got } = listen();
  server().link.joined("a", "E-4");
  const reading = wanted()?.reading;
  for (const offset of [5, 4, 5, 6, 5, 6, 7]) say(server(), "a", `E-${offset}`);
  assert.equal(wanted()?.reading, reading, "what comes twice is no hole");
  assert.deepEqual(got, ["E-5", "E-6", "E-7"]);
  assert.equal(wanted()?.after, "E-7");
});

test("a hole has the channel read again after the cursor, and nothing behind it is told before", async () => {
  const { got, gaps } = listen();
  server().link.joined("a", "E-4");
  const reading = wanted()?.reading;
  for (let offset = 6; offset < 20; offset += 1) say(server(), "a", `E-${offset}`);
  await clock.go(1);
  assert.deepEqual(got, []);
  assert.deepEqual(gaps, []);
  assert.notEqual(wanted()?.reading, reading);
  assert.equal(wanted()?.after, "E-4");
  assert.equal(server().syncs > 0, true);
  server().link.joined("a", "E-4");
  for (const offset of [5, 6, 7]) say(server(), "a", `E-${offset}`);
  assert.deepEqual(got, ["E-5", "E-6", "E-7"]);
  assert.deepEqual(gaps, []);
});

test("a hole that stays is told as a gap", () => {
  const { got, gaps } = listen();
  server().link.joined("a", "E-4");
  for (let reading = 0; reading < 5; reading += 1) {
    say(server(), "a", "E-6");
    server().link.joined("a", wanted()!.after!);
  }
  say(server(), "a", "E-6");
  assert.deepEqual(gaps, [{ channel: "a", reason: "hole", after: "E-4", resume_from: "E-5" }]);
  assert.deepEqual(got, ["E-6"]);
});

test("a hole in a poll's answer is no larger a gap than it is", async () => {
  const { got, gaps } = listen();
  server().link.joined("a", "E-4");
  for (let reading = 0; reading < 6 && got.length < 3; reading += 1) {
    for (const offset of [6, 7, 8]) say(server(), "a", `E-${offset}`);
    server().link.joined("a", "E-8");
    await clock.go(1);
  }
  assert.deepEqual(gaps, [{ channel: "a", reason: "hole", after: "E-4", resume_from: "E-5" }]);
  assert.deepEqual(got, ["E-6", "E-7", "E-8"]);
});

test("a message of another epoch that no gap has announced is not taken", () => {
  const { got } = listen();
  server().link.joined("a", "E-4");
  say(server(), "a", "F-1");
  assert.deepEqual(got, []);
  assert.equal(wanted()?.after, "E-4");
});

test("a gap is told before what follows it, once", () => {
  const { got, gaps } = listen({ after: "E-4" });
  const gap = { channel: "a", reason: "epoch_changed", after: "E-4", resume_from: "F-0", epoch: "F" };
  server().link.take({ gap });
  say(server(), "a", "F-1");
  server().link.take({ gap });
  say(server(), "a", "F-2");
  assert.deepEqual(gaps, [gap]);
  assert.deepEqual(got, ["F-1", "F-2"]);
});

test("a cursor from ahead is set back, and what comes then is told", () => {
  const { got, gaps } = listen({ after: "E-50" });
  server().link.joined("a", "E-50");
  say(server(), "a", "E-51");
  server().link.take({ gap: { channel: "a", reason: "position_ahead", after: "E-51", resume_from: "E-3" } });
  say(server(), "a", "E-4");
  assert.equal(gaps.length, 1);
  assert.deepEqual(got, ["E-51", "E-4"]);
});

test("a connection that joined further on than the cursor leaves nothing out", async () => {
  const { got } = listen();
  server().link.joined("a", "E-4");
  // Opened before we had a cursor, so it was asked for "from now on".
  server().link.joined("a", "E-6");
  await clock.go(1);
  assert.equal(wanted()?.after, "E-4");
  server().link.joined("a", "E-4");
  for (const offset of [5, 6, 7]) say(server(), "a", `E-${offset}`);
  assert.deepEqual(got, ["E-5", "E-6", "E-7"]);
});

test("a callback that throws is reported and harms nobody", () => {
  const { got } = listen();
  s.client.channel("a").subscribe(() => {
    throw new Error("mine");
  });
  const after = listen();
  server().link.joined("a", "E-0");
  say(server(), "a", "E-1");
  say(server(), "a", "E-2");
  assert.deepEqual(got, ["E-1", "E-2"]);
  assert.deepEqual(after.got, got);
  assert.deepEqual(
    s.told.filter((one) => one.startsWith("error")),
    ["error:callback_failed", "error:callback_failed"],
  );
});

test("a callback that fails later is reported, too", async () => {
  s.client.channel("a").subscribe(async () => {
    await Promise.resolve();
    throw new Error("mine");
  });
  say(server(), "a", "E-1");
  await clock.settle();
  assert.equal(s.told.at(-1), "error:callback_failed");
});

test("the same name is the same object, read as long as somebody listens", async () => {
  assert.equal(s.client.channel("a"), s.client.channel("a"));
  const first = listen();
  const second = listen();
  server().link.joined("a", "E-1");
  first.stop();
  first.stop();
  assert.notEqual(wanted(), undefined);
  second.stop();
  assert.equal(wanted(), undefined);
  const third = listen();
  assert.equal(wanted()?.after, undefined, "from now on, not from where others left");
  third.stop();
});

test("leaving and coming back in one go reads once more, at the place that was asked for", () => {
  listen({ last: 5 }).stop();
  listen({ last: 5 });
  assert.deepEqual([wanted()?.last, wanted()?.after], [5, undefined]);
});

test("a second subscriber that begins earlier catches up, then hears with the others, each once", async () => {
  const live = listen();
  server().link.joined("a", "E-4");
  say(server(), "a", "E-5");
  const late = listen({ after: "E-2" });
  await clock.settle();
  say(server(), "a", "E-6");
  const asked = s.requests.at(-1)!;
  assert.equal(asked.url.searchParams.get("after"), "E-2");
  const message = (offset: number) => ({ channel: "a", position: `E-${offset}`, time: 1, data: 1 });
  asked.reply({ channel: "a", messages: [3, 4, 5].map(message), cursor: "E-5", more: true });
  await clock.settle();
  assert.equal(s.requests.at(-1)!.url.searchParams.get("after"), "E-5", "the channel is further");
  s.requests.at(-1)!.reply({ channel: "a", messages: [6, 7].map(message), cursor: "E-7", more: false });
  await clock.settle();
  say(server(), "a", "E-7");
  say(server(), "a", "E-8");
  assert.deepEqual(late.got, ["E-3", "E-4", "E-5", "E-6", "E-7", "E-8"]);
  assert.deepEqual(live.got, ["E-5", "E-6", "E-7", "E-8"]);
});

test("what is no name is refused at once", () => {
  // The last ones would spoil the request in which other channels are asked for, too.
  for (const name of [".", "..", "a/b", "", "a\n", "\ud800", "ы".repeat(128)])
    assert.throws(() => s.client.channel(name), { code: "invalid_channel" });
  assert.equal(s.client.channel("ы".repeat(127) + "s").name.length, 128);
});

test("what is no place to begin is refused at once", () => {
  for (const begin of [{ after: "nonsense" }, { last: -1 }, { last: 1.5 }, { last: NaN }])
    assert.throws(() => listen(begin), { code: "invalid_cursor" });
});

test("from now on is from now on, also beside one who begins earlier", async () => {
  const early = listen({ after: "start" });
  const late = listen();
  await clock.settle();
  s.requests.at(-1)!.reply({ channel: "a", messages: [], cursor: "E-3", more: false });
  server().link.joined("a", "E-0");
  for (const offset of [1, 2, 3]) say(server(), "a", `E-${offset}`);
  await clock.settle();
  say(server(), "a", "E-4");
  assert.deepEqual(early.got, ["E-1", "E-2", "E-3", "E-4"]);
  assert.deepEqual(late.got, ["E-4"]);
});

test("who catches up over a path that is too slow for a large answer asks for less", async () => {
  listen();
  server().link.joined("a", "E-4");
  listen({ after: "E-2" });
  await clock.go(10_000);
  for (const asked of s.requests) asked.fail();
  await clock.go(600);
  assert.deepEqual(s.requests.map(({ url }) => url.searchParams.get("limit")), ["1000", "500"]);
});

test("closing rejects a history that has no answer, and leaves no timer behind", async () => {
  const history = s.client.channel("a").history();
  listen();
  server().link.joined("a", "E-4");
  listen({ after: "E-2" });
  await clock.settle();
  s.requests.at(-1)!.fail();
  server().link.take({ problem: { code: "overloaded", channel: "a", action: "retry_later", retry_after_ms: 60_000 } });
  await clock.settle();
  s.client.close();
  await assert.rejects(history, { code: "closed" });
  await clock.go(1);
  assert.equal(clock.waiting(), 0);
  assert.deepEqual(s.told.filter((word) => word === "error:closed"), []);
});

test("a token that cannot be had is reported", async () => {
  s.client.close();
  s = stage(["websocket"], {
    token: () => {
      throw new Error("no session");
    },
  });
  await assert.rejects(s.client.channel("a").history(), { code: "no_answer" });
  assert.deepEqual(s.told, ["error:callback_failed"]);
});

test("bytes come as bytes", () => {
  const got: unknown[] = [];
  s.client.channel("a").subscribe((message) => got.push(message));
  server().link.take({ channel: "a", position: "E-1", time: 7, bytes: "AP8=" });
  assert.deepEqual(got, [{ channel: "a", position: "E-1", time: 7, data: new Uint8Array([0, 255]) }]);
});

test("a refused channel is reported, and leaves the others alone", async () => {
  listen();
  const other = listen({}, "b");
  server().link.take({ problem: { code: "forbidden", channel: "a", action: "stop", status: 403 } });
  await clock.go(1);
  assert.equal(wanted("a"), undefined);
  say(server(), "b", "E-1");
  assert.deepEqual(other.got, ["E-1"]);
  assert.deepEqual(s.told.at(-1), "error:forbidden");
  assert.equal(s.client.state, "online");
});

test("an iterator gets every message, also what came while it was not asked, and ends with the client", async () => {
  const got: string[] = [];
  const loop = (async () => {
    for await (const message of s.client.channel("a")) {
      got.push(message.position);
      if (message.position === "E-1") await new Promise((done) => setTimeout(done, 1_000));
    }
    return "over";
  })();
  await clock.settle();
  server().link.joined("a", "E-0");
  for (const offset of [1, 2, 3]) say(server(), "a", `E-${offset}`);
  await clock.go(1_000);
  await clock.settle();
  assert.deepEqual(got, ["E-1", "E-2", "E-3"]);
  s.client.close();
  assert.equal(await loop, "over");
});

test("a slow iterator keeps a bounded number of messages and reads the others again", async () => {
  const iterator = s.client.channel("a")[Symbol.asyncIterator]();
  const first = iterator.next();
  server().link.joined("a", "E-0");
  for (let offset = 1; offset <= 1_500; offset += 1) say(server(), "a", `E-${offset}`);
  assert.equal((await first).value?.position, "E-1");
  for (let offset = 2; offset <= 1_000; offset += 1)
    assert.equal((await iterator.next()).value?.position, `E-${offset}`);
  assert.equal(wanted(), undefined, "nothing is read while so much waits");
  const next = iterator.next();
  assert.equal(wanted()?.after, "E-1000");
  server().link.joined("a", "E-1000");
  for (let offset = 1_001; offset <= 1_500; offset += 1) say(server(), "a", `E-${offset}`);
  assert.equal((await next).value?.position, "E-1001");
  for (let offset = 1_002; offset <= 1_500; offset += 1)
    assert.equal((await iterator.next()).value?.position, `E-${offset}`);
  await iterator.return?.();
  assert.equal(wanted(), undefined);
});
