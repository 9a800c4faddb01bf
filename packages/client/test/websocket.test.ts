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
