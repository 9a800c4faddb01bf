// What a socket says, and in which order, where there is a token.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { connect, type Client, type Options } from "../src/index.ts";
import { startClock, type Clock } from "./clock.ts";

/** A socket as the server sees it. */
class Scripted {
  static all: Scripted[] = [];
  onmessage!: (event: { data: string }) => void;
  onclose!: () => void;
  onerror!: () => void;
  readonly url: string;
  readonly frames: Array<Record<string, unknown>> = [];
  isClosed = false;
  constructor(url: string) {
    this.url = url;
    Scripted.all.push(this);
  }
  send(text: string): void {
    this.frames.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.isClosed = true;
  }
  say(word: object): void {
    this.onmessage({ data: JSON.stringify(word) });
  }
  commands(): string[] {
    return this.frames.map((frame) => Object.keys(frame)[1]!);
  }
}

let clock: Clock;
let client: Client;
let told: string[];
let requests: number;
const hello = { hello: { heartbeat_ms: 15_000, channels_max: 10 } };
const refused = { code: "token_expired", status: 401, action: "refresh_token" };

beforeEach(() => {
  clock = startClock();
  Scripted.all = [];
});
afterEach(() => {
  client.close();
  clock.stop();
});

/** A client with all transports that reads `a`; whatever it asks for by a request fails. */
async function begin(options: Options): Promise<Scripted> {
  requests = 0;
  told = [];
  const fetch = (): Promise<Response> => {
    requests += 1;
    return Promise.reject(new TypeError("network"));
  };
  client = connect("http://efir.test", { WebSocket: Scripted, fetch, ...options });
  client.on("error", ({ code }) => told.push(code));
  client.channel("a").subscribe(() => undefined);
  await clock.settle();
  return Scripted.all[0]!;
}

test("nothing goes out before the token, and what follows does not wait for the answer", async () => {
  let give!: (token: string) => void;
  const socket = await begin({ token: () => new Promise((done) => (give = done)) });
  socket.say(hello);
  await clock.go(1_000);
  assert.deepEqual(socket.frames, []);
  give("T");
  await clock.settle();
  assert.deepEqual(socket.frames[0], { id: 1, authorize: { token: "T" } });
  assert.deepEqual(socket.commands(), ["authorize", "subscribe"]);
  assert.equal(client.state, "connecting", "who is there is not known yet");
  socket.say({ id: 1, reply: { user: "anna", expires: 1 } });
  assert.equal(client.state, "online");
  assert.ok(!socket.url.includes("T"));
});

test("without a token none is shown", async () => {
  const socket = await begin({ token: () => "" });
  socket.say(hello);
  await clock.settle();
  assert.deepEqual(socket.commands(), ["subscribe"]);
  assert.equal(client.state, "online");
});

test("a token that is refused again and again is told, and asked for at longer and longer intervals", async () => {
  let tokens = 0;
  const socket = await begin({ token: () => `T${++tokens}` });
  const refuse = async (one: Scripted): Promise<void> => {
    one.say(hello);
    await clock.settle();
    one.say({ id: 1, problem: refused });
    // Of what came behind it, too: it is nobody's any more.
    one.say({ id: 2, problem: { ...refused, channel: "a" } });
    await clock.settle();
  };
  await refuse(socket);
  for (let passed = 0; passed < 120_000; passed += 100) {
    await clock.go(100);
    const last = Scripted.all.at(-1)!;
    if (!last.isClosed) await refuse(last);
  }
  assert.ok(tokens >= 5 && tokens < 60, `${tokens} attempts in 2 min`);
  assert.equal(Scripted.all.length, tokens);
  assert.deepEqual(new Set(told), new Set(["token_expired"]));
  assert.equal(told.length, tokens);
  assert.equal(requests, 0, "the token would be no better by another transport");
});

test("a token that fails to come ends the attempt, and nothing is asked without it", async () => {
  const socket = await begin({ transport: "websocket", token: () => Promise.reject(new Error("no session")) });
  socket.say(hello);
  await clock.settle();
  assert.deepEqual([socket.frames, socket.isClosed, told], [[], true, ["callback_failed"]]);
});

test("a token that ends while the socket stands: the next one begins after the cursor", async () => {
  let tokens = 0;
  const socket = await begin({ transport: "websocket", token: () => `T${++tokens}` });
  socket.say(hello);
  await clock.settle();
  socket.say({ id: 1, reply: { user: "anna" } });
  socket.say({ id: 2, reply: { channel: "a", cursor: "E-4" } });
  socket.say({ channel: "a", position: "E-5", time: 1, data: 5 });
  await clock.go(10_000);
  socket.say({ problem: refused });
  await clock.go(301);
  const next = Scripted.all[1]!;
  next.say(hello);
  await clock.settle();
  assert.deepEqual(next.frames, [
    { id: 1, authorize: { token: "T2" } },
    { id: 2, subscribe: { channel: "a", after: "E-5" } },
  ]);
  assert.deepEqual(told, []);
});

/** A socket that stands with a token of so many ms. */
async function stands(socket: Scripted, lasts_ms: number): Promise<void> {
  socket.say(hello);
  await clock.settle();
  socket.say({ id: 1, reply: { user: "anna", expires: clock.now() + lasts_ms } });
  socket.say({ id: 2, reply: { channel: "a", cursor: "E-4" } });
  await clock.settle();
}

/** Lets time pass, with heartbeats. */
async function pass(socket: Scripted, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10_000) {
    await clock.go(Math.min(10_000, ms - passed));
    if (!socket.isClosed) socket.say({ heartbeat: { time: clock.now() } });
  }
}

test("the next token is shown on the same socket, when half of the time is over", async () => {
  let tokens = 0;
  const socket = await begin({ transport: "websocket", token: () => `T${++tokens}` });
  await stands(socket, 60_000);
  await pass(socket, 29_990);
  assert.equal(tokens, 1);
  for (let turn = 2; turn < 6; turn += 1) {
    await pass(socket, 20);
    assert.deepEqual(socket.frames.slice(turn), [{ id: turn + 1, authorize: { token: `T${turn}` } }]);
    socket.say({ id: turn + 1, reply: { user: "anna", expires: clock.now() + 60_000 } });
    await pass(socket, 29_980);
  }
  assert.deepEqual([Scripted.all.length, client.state, told], [1, "online", []]);
  const { length } = socket.frames;
  client.close();
  await clock.go(120_000);
  assert.deepEqual([tokens, socket.frames.length], [5, length], "nothing is asked for behind the end");
});

test("a token that the application keeps is shown anew, and the next socket comes when it is over", async () => {
  let token = "T1";
  let asked = 0;
  const socket = await begin({ transport: "websocket", token: () => ((asked += 1), token) });
  const expires = clock.now() + 60_000;
  await stands(socket, 60_000);
  for (let passed = 0; passed < 59_000; passed += 1_000) {
    await pass(socket, 1_000);
    const { id, authorize } = socket.frames.at(-1) as { id: number; authorize?: object };
    if (authorize) socket.say({ id, reply: { user: "anna", expires } });
  }
  assert.ok(asked > 2 && asked < 6, `asked ${asked} times`);
  token = "T2";
  socket.say({ problem: refused });
  await clock.go(301);
  assert.equal(Scripted.all.length, 2);
  assert.deepEqual(told, []);
});

test("a renewal that is refused, or for which there is no token, leaves the socket to its time", async () => {
  const ends: Array<(socket: Scripted) => void> = [
    (socket) => socket.say({ id: 3, problem: { code: "forbidden", status: 403, action: "stop" } }),
    () => undefined,
  ];
  for (const [turn, end] of ends.entries()) {
    Scripted.all = [];
    let tokens = 0;
    const give = (): string => {
      tokens += 1;
      if (turn && tokens === 2) throw new Error("no session");
      return `T${tokens}`;
    };
    const socket = await begin({ transport: "websocket", token: give });
    await stands(socket, 60_000);
    await pass(socket, 30_000);
    end(socket);
    await pass(socket, 29_000);
    assert.deepEqual([Scripted.all.length, socket.isClosed, client.state], [1, false, "online"]);
    assert.deepEqual(told, turn ? ["callback_failed"] : []);
    socket.say({ problem: refused });
    await clock.go(301);
    assert.equal(Scripted.all.length, 2);
    client.close();
  }
});

test("no timer is set by tokens that are nearly over, by clocks that are wrong, or beyond what timers can wait", async () => {
  for (const [lasts_ms, renewals] of [
    [9_000, 0],
    [-3_600_000, 0],
    [400 * 86_400_000, 0],
    [Number.NaN, 0],
  ] as const) {
    Scripted.all = [];
    let tokens = 0;
    const socket = await begin({ transport: "websocket", token: () => `T${++tokens}` });
    await stands(socket, lasts_ms);
    await pass(socket, 120_000);
    assert.equal(tokens, 1 + renewals, `${lasts_ms}`);
    client.close();
  }
});
