// Which transport is used, and when the client comes back.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { EfirError } from "../src/error.ts";
import type { TransportName } from "../src/types.ts";
import { startClock, type Clock } from "./clock.ts";
import { hello, stage, type Stage } from "./script.ts";

const all: TransportName[] = ["websocket", "sse", "http-stream", "long-poll", "short-poll"];
const random = Math.random;
let clock: Clock;
let open: Stage | undefined;

beforeEach(() => {
  clock = startClock();
});
afterEach(() => {
  open?.client.close();
  clock.stop();
  Math.random = random;
  delete (globalThis as { localStorage?: unknown }).localStorage;
});

const begin = (names = all, options = {}): Stage => (open = stage(names, options));
const names = (stage: Stage): string => stage.opened.map((one) => one.name).join(" ");
const failure = (action: "stop" | "retry_later", code = "x", retry_after_ms = 0): EfirError =>
  new EfirError({ code, status: 503, action, retry_after_ms });

test("a WebSocket that speaks at once is alone", async () => {
  const s = begin();
  await clock.go(1_900);
  assert.equal(names(s), "websocket");
  hello(s.last("websocket"));
  await clock.go(15_000);
  assert.equal(names(s), "websocket");
  assert.deepEqual(s.told.slice(0, 2), ["transport:websocket", "state:online"]);
});

test("an open socket is no success: after 2 s without a word the next one races, and wins", async () => {
  const s = begin();
  await clock.go(2_001);
  assert.equal(names(s), "websocket sse");
  assert.equal(s.client.state, "connecting");
  hello(s.last("sse"));
  assert.equal(s.client.transport, "sse");
  assert.equal(s.last("websocket").isClosed, false, "the better one may still come");
});

test("an error lets the next one begin at once", async () => {
  const s = begin();
  s.last("websocket").link.down(new Error("refused"));
  await clock.settle();
  assert.equal(names(s), "websocket sse");
});

test("a better one that comes late takes over, and the worse one is let go", async () => {
  const s = begin();
  await clock.go(2_001);
  hello(s.last("sse"));
  hello(s.last("websocket"));
  assert.equal(s.client.transport, "websocket");
  assert.equal(s.last("sse").isClosed, true);
  assert.deepEqual(
    s.told.filter((one) => one.startsWith("state")),
    ["state:online"],
    "the change is not seen as a loss",
  );
});

test("a worse one that comes late is let go", async () => {
  const s = begin();
  await clock.go(2_001);
  hello(s.last("websocket"));
  assert.equal(s.last("sse").isClosed, true);
  hello(s.last("sse"));
  assert.equal(s.client.transport, "websocket");
});

test("it keeps looking upwards, ever more seldom", async () => {
  const s = begin(["websocket", "sse"]);
  await clock.go(2_001);
  hello(s.last("sse"));
  const tried = async (ms: number): Promise<number> => {
    for (let passed = 0; passed < ms; passed += 5_000) {
      s.last("sse").link.heard();
      await clock.go(5_000);
    }
    return s.opened.filter((one) => one.name === "websocket").length;
  };
  assert.equal(await tried(10_000), 1, "the first is given up after 10 s");
  assert.equal(await tried(20_000), 2);
  assert.equal(await tried(40_000), 3);
  hello(s.last("websocket"));
  assert.equal(s.client.transport, "websocket");
});

test("three mute opens mark a transport as bad: the next round begins with another one", async () => {
  const s = begin(["websocket", "sse"]);
  for (let round = 0; round < 3; round += 1) {
    s.last("websocket").link.down(new Error("mute"));
    await clock.settle();
    hello(s.last("sse"));
    await clock.go(3_000);
    s.last("sse").link.down(new Error("cut"));
    await clock.go(301);
  }
  assert.equal(names(s), "websocket sse websocket sse websocket sse sse");
});

test("a server that is not there makes no transport bad", async () => {
  const s = begin(["websocket", "sse"]);
  Math.random = () => 0.5;
  for (let round = 0; round < 5; round += 1) {
    s.last("websocket").link.down(new Error("refused"));
    await clock.settle();
    s.last("sse").link.down(new Error("refused"));
    await clock.go(20_000);
  }
  assert.match(names(s), /^(websocket sse ?)+(websocket)?$/);
  assert.equal(s.opened.length > 10, true);
});

test("the winner is remembered for half an hour", async () => {
  (globalThis as { localStorage?: unknown }).localStorage = {};
  const s = begin();
  await clock.go(2_001);
  hello(s.last("sse"));
  s.client.close();
  assert.equal(names(begin()), "sse");
  open!.client.close();
  await clock.go(30 * 60_000 + 1);
  assert.equal(names(begin()), "websocket");
});

test("it comes back with full jitter, from 0.3 s doubling to 20 s, from the first attempt on", async () => {
  Math.random = () => 0.999;
  const s = begin(["websocket"]);
  const delays: number[] = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    const count = s.opened.length;
    s.last("websocket").link.down(new Error("refused"));
    const from = clock.now();
    while (s.opened.length === count) await clock.go(50);
    delays.push(Math.round((clock.now() - from) / 300));
  }
  assert.deepEqual(delays, [1, 2, 4, 8, 16, 32, 64, 67, 67]);
});

test("the server's delay is a floor", async () => {
  Math.random = () => 0;
  const s = begin(["websocket"]);
  s.last("websocket").link.down(failure("retry_later", "overloaded", 7_000));
  await clock.go(6_990);
  assert.equal(s.opened.length, 1);
  assert.equal(s.client.state, "offline");
  await clock.go(20);
  assert.equal(s.opened.length, 2);
});

test("what the server says before it ends a connection holds: drain", async () => {
  Math.random = () => 0;
  const s = begin(["websocket"]);
  hello(s.last("websocket"));
  s.last("websocket").link.take({ problem: { code: "draining", action: "retry_later", retry_after_ms: 3_000 } });
  s.last("websocket").link.down(new Error("1001"));
  await clock.go(2_990);
  assert.equal(s.opened.length, 1);
  await clock.go(20);
  assert.equal(s.opened.length, 2);
});

test("the server's stop is the end", async () => {
  const s = begin(["sse", "long-poll"]);
  s.last("sse").link.down(failure("stop", "forbidden"));
  await clock.settle();
  s.last("long-poll").link.down(failure("stop", "forbidden"));
  await clock.go(60_000);
  assert.equal(s.client.state, "closed");
  assert.deepEqual(s.told.slice(-2), ["error:forbidden", "state:closed"]);
  assert.equal(s.opened.length, 2);
});

test("more channels than one transport carries is not the end", async () => {
  const s = begin(["sse", "websocket"]);
  s.last("sse").link.down(failure("stop", "too_many_channels"));
  await clock.settle();
  s.last("websocket").link.down(new Error("refused"));
  await clock.settle();
  assert.equal(s.client.state, "offline");
  assert.deepEqual(s.told.slice(-2), ["error:too_many_channels", "state:offline"], "the application can do something about it");
});

test("one channel more than the transport in use carries is not the end either", async () => {
  const s = begin(["sse"]);
  hello(s.last("sse"));
  s.last("sse").link.down(failure("stop", "too_many_channels"));
  await clock.go(1_000);
  assert.equal(s.told.includes("error:too_many_channels"), true);
  assert.notEqual(s.client.state, "closed");
  hello(s.last("sse"));
  assert.equal(s.client.state, "online");
});

test("no transport that may and can be used: that is told", async () => {
  const s = begin(["sse"], { transport: "websocket" });
  s.client.use("websocket");
  assert.equal(s.told[0], "error:no_transport");
  s.client.use("sse");
  hello(s.last("sse"));
  assert.equal(s.client.state, "online");
});

test("a page that is looked at again asks no sooner than the server wishes", async () => {
  const target = new EventTarget();
  Object.assign(globalThis, { addEventListener: target.addEventListener.bind(target) });
  try {
    const s = begin(["websocket"]);
    s.last("websocket").link.down(failure("retry_later", "overloaded", 60_000));
    await clock.go(30_000);
    target.dispatchEvent(new Event("visibilitychange"));
    assert.equal(s.opened.length, 1);
    await clock.go(30_500);
    assert.equal(s.opened.length, 2);
    s.last("websocket").link.down(new Error("refused"));
    await clock.settle();
    target.dispatchEvent(new Event("visibilitychange"));
    assert.equal(s.opened.length, 3, "nobody wished anything");
    s.client.close();
    target.dispatchEvent(new Event("visibilitychange"));
    s.client.use(null);
    assert.equal(s.opened.length, 3, "closed is closed");
  } finally {
    delete (globalThis as { addEventListener?: unknown }).addEventListener;
  }
});

test("a dead path is noticed within 20 s, and any byte keeps it alive", async () => {
  const s = begin(["websocket"]);
  hello(s.last("websocket"));
  await clock.go(19_000);
  s.last("websocket").link.heard();
  await clock.go(19_000);
  assert.equal(s.client.state, "online");
  await clock.go(1_001);
  assert.notEqual(s.client.state, "online");
  assert.equal(s.last("websocket").isClosed || s.opened.length > 1, true);
});

test("a transport that was asked for is gone over to without a loss, and null lets it choose again", async () => {
  const s = begin();
  hello(s.last("websocket"));
  s.client.use("long-poll");
  assert.equal(s.client.transport, "websocket", "until the other one speaks");
  hello(s.last("long-poll"));
  assert.equal(s.client.transport, "long-poll");
  assert.equal(s.last("websocket").isClosed, true);
  s.client.use(null);
  hello(s.last("websocket"));
  assert.equal(s.client.transport, "websocket");
  assert.equal(s.told.includes("state:offline"), false);
});

test("a transport that cannot work here is passed over", async () => {
  const { websocket } = await import("../src/transports/websocket.ts");
  const { sse } = await import("../src/transports/sse.ts");
  const { connect } = await import("../src/core.ts");
  const urls: string[] = [];
  const client = connect("http://efir.test/lab/via/x", {
    transports: [websocket, sse],
    fetch: ((url: string) => {
      urls.push(url);
      return new Promise(() => undefined);
    }) as typeof fetch,
    WebSocket: undefined,
  });
  await clock.settle();
  assert.match(urls[0]!, /^http:\/\/efir\.test\/lab\/via\/x\/info\?client=/);
  client.close();
});

test("the network's return ends a wait, and has a path looked after that may be dead", async () => {
  const target = new EventTarget();
  Object.assign(globalThis, {
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
  });
  try {
    Math.random = () => 0.999;
    const s = begin(["websocket"]);
    s.last("websocket").link.down(failure("retry_later", "overloaded", 60_000));
    await clock.settle();
    target.dispatchEvent(new Event("online"));
    assert.equal(s.opened.length, 2);
    hello(s.last("websocket"));
    await clock.go(1_000);
    target.dispatchEvent(new Event("online"));
    assert.equal(s.last("websocket").wakes, 1);
    await clock.go(1_000);
    s.last("websocket").link.heard();
    await clock.go(5_001);
    assert.equal(s.client.state, "online", "it has answered");
    target.dispatchEvent(new Event("online"));
    await clock.go(5_001);
    assert.notEqual(s.client.state, "online", "no answer within 5 s");
    s.client.close();
  } finally {
    delete (globalThis as { addEventListener?: unknown }).addEventListener;
    delete (globalThis as { removeEventListener?: unknown }).removeEventListener;
  }
});

test("what a connection says after another one took over does not count", async () => {
  const s = begin();
  const got: unknown[] = [];
  s.client.channel("a").subscribe((message) => got.push(message.data));
  await clock.go(2_001);
  hello(s.last("sse"));
  s.last("sse").link.joined("a", "E-1");
  hello(s.last("websocket"));
  s.last("sse").link.take({ channel: "a", position: "E-2", time: 1, data: "old" });
  s.last("websocket").link.take({ channel: "a", position: "E-2", time: 1, data: "new" });
  assert.deepEqual(got, ["new"]);
});
