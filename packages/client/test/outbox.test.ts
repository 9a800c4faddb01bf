// Publishing: once, in order, bounded, and honest about what nobody can know (guarantees D2, D3).
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { EfirError, passing } from "../src/error.ts";
import { startClock, type Clock } from "./clock.ts";
import { hello, receipt, stage, type Asked, type Command, type Stage } from "./script.ts";

let clock: Clock;
let s: Stage;

beforeEach(() => {
  clock = startClock();
});
afterEach(() => {
  s.client.close();
  clock.stop();
});

/** What became of a promise, once it is known. */
function watch<T>(promise: Promise<T>): { done?: T; code?: string } {
  const outcome: { done?: T; code?: string } = {};
  promise.then(
    (done) => (outcome.done = done),
    (error: EfirError) => (outcome.code = error.code),
  );
  return outcome;
}

/** A client whose socket carries commands, subscribed to `a` at E-0. */
async function socket(): Promise<void> {
  s = stage(["websocket"], { commands: true });
  s.client.channel("a").subscribe(() => undefined);
  hello(s.last("websocket"));
  s.last("websocket").link.joined("a", "E-0");
  await clock.settle();
}
/** One that publishes by requests. */
async function requests(): Promise<void> {
  s = stage(["sse"]);
  s.client.channel("a").subscribe(() => undefined);
  hello(s.last("sse"));
  s.last("sse").link.joined("a", "E-0");
  await clock.settle();
}
const publish = (data: unknown, options = {}) => watch(s.client.channel("a").publish(data, options));
const commands = (): Command[] => s.last("websocket").commands;
const posts = (): Asked[] => s.requests.filter((one) => one.method === "POST");
const heads = (): Asked[] => s.requests.filter((one) => one.url.searchParams.get("last") === "0");
/** The connection is lost; the next one stands. */
async function cut(): Promise<void> {
  for (const { failed } of commands()) failed(passing("connection_lost"));
  s.last("websocket").link.down(new Error("cut"));
  await stand(301);
}
/** After so many ms the next connection that is being tried stands. */
async function stand(ms: number): Promise<void> {
  do await clock.go(ms);
  while (s.last("websocket").isClosed);
  hello(s.last("websocket"));
  await clock.settle();
}

test("what is published while offline leaves in order, each with a key of its own", async () => {
  s = stage(["websocket"], { commands: true });
  const first = publish(1);
  publish(2);
  hello(s.last("websocket"));
  await clock.settle();
  assert.equal(commands().length, 0, "the epoch is not known yet");
  heads()[0]!.reply({ messages: [], cursor: "E-7", more: false });
  await clock.settle();
  assert.deepEqual(
    commands().map(({ name, fields }) => [name, fields.channel, fields.data]),
    [
      ["publish", "a", 1],
      ["publish", "a", 2],
    ],
  );
  assert.notEqual(commands()[0]!.fields.key, commands()[1]!.fields.key);
  commands()[0]!.done(receipt("E", 8));
  await clock.settle();
  assert.deepEqual(first.done, receipt("E", 8));
});

test("an answer that was lost: sent again under the same key, when the epoch is still the same", async () => {
  await socket();
  const outcome = publish({ text: "x" });
  await clock.settle();
  const key = commands()[0]!.fields.key;
  await cut();
  assert.equal(commands().length, 0);
  heads()[0]!.reply({ messages: [], cursor: "E-1", more: false });
  await clock.settle();
  assert.equal(commands()[0]!.fields.key, key);
  commands()[0]!.done(receipt("E", 1, true));
  await clock.settle();
  assert.deepEqual(outcome.done, receipt("E", 1, true));
});

test("an answer that was lost, and the epoch changed: nobody knows; again, where the application says so", async () => {
  await socket();
  const plain = publish(1);
  const again = publish(2, { again: true });
  await clock.settle();
  await cut();
  heads()[0]!.reply({ messages: [], cursor: "F-0", more: false });
  await clock.settle();
  assert.equal(plain.code, "outcome_unknown");
  assert.deepEqual(commands().map(({ fields }) => fields.data), [2]);
  commands()[0]!.done(receipt("F", 1));
  await clock.settle();
  assert.deepEqual(again.done, receipt("F", 1));
});

test("the epoch changes between the question and the answer: nobody knows", async () => {
  await socket();
  const outcome = publish(1);
  await clock.settle();
  await cut();
  heads()[0]!.reply({ messages: [], cursor: "E-1", more: false });
  await clock.settle();
  commands()[0]!.done(receipt("F", 1));
  await clock.settle();
  assert.equal(outcome.code, "outcome_unknown");
});

test("an answer that was lost longer ago than the server remembers keys: nobody knows", async () => {
  await socket();
  const outcome = publish(1);
  await clock.settle();
  for (const { failed } of commands()) failed(passing("connection_lost"));
  s.last("websocket").link.down(new Error("cut"));
  await stand(275_000);
  heads()[0]!.reply({ messages: [], cursor: "E-1", more: false });
  await clock.settle();
  assert.equal(outcome.code, "outcome_unknown");
});

test("the server's refusal is told; one that can pass is tried again, later", async () => {
  await socket();
  const refused = publish(1);
  const later = publish(2);
  await clock.settle();
  commands()[0]!.failed(new EfirError({ code: "payload_too_large", status: 413, action: "stop" }));
  commands()[1]!.failed(
    new EfirError({ code: "key_window_full", status: 503, action: "retry_later", retry_after_ms: 5_000 }),
  );
  await clock.settle();
  assert.equal(refused.code, "payload_too_large");
  await clock.go(4_900);
  assert.equal(commands().length, 2);
  await clock.go(1_000);
  assert.equal(commands().length, 3);
  assert.equal(commands()[2]!.fields.key, commands()[1]!.fields.key);
  commands()[2]!.done(receipt("E", 1));
  await clock.settle();
  assert.deepEqual(later.done, receipt("E", 1));
});

test("requests of a channel go one after the other, of two channels side by side", async () => {
  await requests();
  publish(1);
  publish(2);
  s.client.channel("b").publish(3).catch(() => undefined);
  await clock.settle();
  heads()[0]!.reply({ messages: [], cursor: "E-0", more: false });
  await clock.settle();
  assert.deepEqual(posts().map((one) => [one.url.pathname, one.body]), [
    ["/channels/a", "1"],
    ["/channels/b", "3"],
  ]);
  assert.equal(posts()[0]!.headers["Content-Type"], "application/json");
  posts()[0]!.reply(receipt("E", 1));
  await clock.settle();
  assert.equal(posts()[2]!.body, "2");
});

test("a request that fails is sent again under the same key, before those behind it", async () => {
  await requests();
  publish(1);
  publish(2);
  await clock.settle();
  posts()[0]!.fail();
  await clock.go(700);
  heads()[0]!.reply({ messages: [], cursor: "E-1", more: false });
  await clock.settle();
  assert.equal(posts()[1]!.headers["Idempotency-Key"], posts()[0]!.headers["Idempotency-Key"]);
  assert.equal(posts()[1]!.body, "1");
});

test("what is on its way in a socket goes on by requests when the transport changes", async () => {
  s = stage(["websocket", "sse"], { commands: true });
  s.client.channel("a").subscribe(() => undefined);
  hello(s.last("websocket"));
  s.last("websocket").link.joined("a", "E-0");
  const outcome = publish(1);
  await clock.settle();
  const { key } = commands()[0]!.fields;
  s.client.use("sse");
  hello(s.last("sse"));
  await clock.settle();
  heads()[0]!.reply({ messages: [], cursor: "E-0", more: false });
  await clock.settle();
  // The script's transports all carry commands.
  const next = s.last("sse").commands[0]!;
  assert.equal(next.fields.key, key);
  next.done(receipt("E", 1));
  await clock.settle();
  assert.deepEqual(outcome.done, receipt("E", 1));
});

test("the queue is bounded in messages and in bytes, and says so", async () => {
  s = stage(["websocket"], { offline: { messages: 2, bytes: 10 } });
  publish("12345");
  assert.equal((await settled(publish("1234567"))).code, "queue_full");
  publish(1);
  assert.equal((await settled(publish(2))).code, "queue_full");
  const error = await s.client.channel("a").publish(3).catch((thrown: EfirError) => thrown);
  assert.equal((error as EfirError).retryable, true);
  assert.equal((error as EfirError).docs, "docs/reference/codes.md#queue_full");
});
async function settled<T>(outcome: T): Promise<T> {
  await clock.settle();
  return outcome;
}

test("closing rejects what waits, and what comes later", async () => {
  await socket();
  const waiting = publish(1);
  s.client.close();
  assert.equal((await settled(waiting)).code, "closed");
  assert.equal((await settled(publish(2))).code, "closed");
});

test("a long payload goes by a request, and keeps its place", async () => {
  await socket();
  publish(1);
  publish("x".repeat(9_000));
  publish(3);
  await clock.settle();
  assert.deepEqual(commands().map(({ fields }) => fields.data), [1]);
  assert.equal(posts().length, 0);
  commands()[0]!.done(receipt("E", 1));
  await clock.settle();
  assert.equal(posts().length, 1);
  assert.equal(commands().length, 1);
  posts()[0]!.reply(receipt("E", 2));
  await clock.settle();
  assert.deepEqual(commands().map(({ fields }) => fields.data), [1, 3]);
});

test("a key that no server takes is refused at once", async () => {
  await requests();
  for (const key of ["", "заказ-17", "two words", "x".repeat(129)])
    assert.equal((await settled(publish(1, { key }))).code, "invalid_key");
  assert.equal(posts().length, 0);
});

test("bytes are published as they were, whatever becomes of them", async () => {
  s = stage(["websocket"], { commands: true });
  const bytes = new Uint8Array([1, 2, 3]);
  const away = s.client.channel("a").publish(bytes);
  bytes.fill(9);
  hello(s.last("websocket"));
  await clock.settle();
  heads()[0]!.reply({ messages: [], cursor: "E-0", more: false });
  await clock.settle();
  assert.equal((commands()[0]!.fields as { bytes?: string }).bytes, "AQID");
  commands()[0]!.done(receipt("E", 1));
  await away;
});

test("many answers that were lost at once are one question", async () => {
  await socket();
  for (let n = 0; n < 10; n += 1) publish(n);
  await clock.settle();
  for (const { failed } of commands()) failed(passing("connection_lost"));
  await clock.settle();
  assert.equal(heads().length, 1);
  heads()[0]!.reply({ messages: [], cursor: "E-0", more: false });
  await clock.settle();
  assert.deepEqual(commands().slice(10).map(({ fields }) => fields.data), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a clock that is set back does not lengthen the server's memory of keys", async () => {
  await socket();
  const outcome = publish(1);
  await clock.settle();
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  await cut();
  heads()[0]!.reply({ messages: [], cursor: "E-0", more: false });
  assert.equal((await settled(outcome)).code, "outcome_unknown");
});

test("without a key it is sent once, and a lost answer says so", async () => {
  await socket();
  const outcome = publish(1, { key: null });
  await clock.settle();
  assert.equal(commands()[0]!.fields.key, null);
  await cut();
  heads()[0]!.reply({ messages: [], cursor: "E-1", more: false });
  assert.equal((await settled(outcome)).code, "outcome_unknown");
  assert.equal(commands().length, 0);
});

test("what a captive portal answers is neither a receipt nor an epoch", async () => {
  await requests();
  const outcome = publish(1);
  await clock.settle();
  posts()[0]!.reply({ please: "log in" });
  await clock.go(700);
  assert.deepEqual(outcome, {});
  heads()[0]!.reply({ please: "log in" });
  await clock.settle();
  assert.equal(heads().length, 1, "asked again, but not at once");
  await clock.go(1_300);
  heads()[1]!.reply({ messages: [], cursor: "E-0", more: false });
  await clock.settle();
  posts()[1]!.reply(receipt("E", 1));
  await clock.settle();
  assert.deepEqual(outcome.done, receipt("E", 1));
});

test("what is no JSON is refused", async () => {
  await socket();
  assert.equal((await settled(publish(undefined))).code, "invalid_json");
});

test("who may not read may publish; what became of a lost answer nobody can know then", async () => {
  s = stage(["websocket"], { commands: true });
  hello(s.last("websocket"));
  const [first, second] = [publish(1), publish(2)];
  await clock.settle();
  const forbidden = { code: "forbidden", status: 403, action: "stop", channel: "a" };
  heads()[0]!.reply(forbidden, 403);
  await clock.settle();
  commands()[0]!.done(receipt("E", 1));
  await clock.settle();
  assert.equal(first.done?.offset, 1);
  commands()[1]!.failed(passing("connection_lost"));
  await clock.settle();
  heads()[1]!.reply(forbidden, 403);
  await clock.settle();
  assert.equal(second.code, "outcome_unknown");
});

test("a token that is over is no reason to give a message up; a right that is missing is", async () => {
  await requests();
  const outcome = publish(1);
  await clock.settle();
  const key = posts()[0]!.headers["Idempotency-Key"];
  posts()[0]!.reply({ code: "token_expired", status: 401, action: "refresh_token" }, 401);
  await clock.go(301);
  assert.equal(posts()[1]!.headers["Idempotency-Key"], key);
  posts()[1]!.reply(receipt("E", 1));
  await clock.settle();
  assert.equal(outcome.done?.offset, 1);
  const stranger = publish(2);
  await clock.settle();
  posts()[2]!.reply({ code: "unauthorized", status: 401, action: "refresh_token", channel: "a" }, 401);
  await clock.settle();
  assert.equal(stranger.code, "unauthorized");
});
