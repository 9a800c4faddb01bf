// The client and a real server that is closed to strangers (docs/protocol.md §11), by every transport.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { EventSource, WebSocket } from "undici";
import {
  connect,
  eventSource,
  httpStream,
  longPoll,
  shortPoll,
  sse,
  websocket,
  type Client,
  type EfirError,
  type Options,
} from "../src/index.ts";
import { serve, skip, type Server } from "./binary.ts";

const secret = "a secret of the tests that is long enough";
const configuration = `
token_leeway = "0s"

[[rules]]
channels = "open:*"
subscribe = "anyone"
publish = "anyone"

[[rules]]
channels = "chat:*"
subscribe = "authenticated"
publish = "grant"

[[rules]]
channels = "secret:*"
subscribe = "grant"
publish = "grant"

[[rules]]
channels = "now:*"
subscribe = "authenticated"
publish = "grant"
history = "nobody"

[[token_keys]]
name = "tests"
algorithms = "HS256"
secret = "${secret}"
`;
const ways = { websocket, sse, httpStream, longPoll, shortPoll, eventSource };

/** A token of this user that ends so many seconds from now. */
function tokenFor(user: string, seconds: number, key = secret): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const efir = user === "writer" ? [{ channels: ["**"], may: ["publish"] }] : [];
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + seconds, efir };
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

const folder = mkdtempSync(join(tmpdir(), "efir-access-"));
let server: Server;
before(async () => {
  Object.assign(globalThis, { EventSource });
  writeFileSync(join(folder, "efir.toml"), configuration);
  if (!skip) server = await serve(["--set", "times.poll_interval=1s"], { cwd: folder });
});
after(async () => {
  if (!skip) await server.kill();
  rmSync(folder, { recursive: true });
  delete (globalThis as { EventSource?: unknown }).EventSource;
});

const opened: Client[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

/** A client, and the errors that it told: code, and the channel where there is one. */
function open(options: Options): { client: Client; errors: string[] } {
  const client = connect(server.url, { WebSocket, ...options });
  opened.push(client);
  const errors: string[] = [];
  client.on("error", ({ code, problem }) => errors.push([code, problem.channel].join(" ").trim()));
  return { client, errors };
}

async function until(what: () => unknown): Promise<void> {
  const end = Date.now() + 20_000;
  while (!what()) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

function read(client: Client, channel: string): unknown[] {
  const got: unknown[] = [];
  client.channel(channel).subscribe(({ data }) => got.push(data));
  return got;
}

/** Publishes until it is read: "from now on" begins with the first response. */
async function heard(writer: Client, channel: string, got: unknown[]): Promise<void> {
  const before = got.length;
  const end = Date.now() + 20_000;
  for (; got.length === before; await new Promise((done) => setTimeout(done, 20))) {
    assert.ok(Date.now() < end, `nothing comes in ${channel}`);
    await writer.channel(channel).publish("is anybody there?");
  }
}

const writing = (): Client => open({ token: () => tokenFor("writer", 60) }).client;

for (const [name, transport] of Object.entries(ways)) {
  const transports = [transport];

  test(`${name}: with a good token`, { skip }, async () => {
    const { client, errors } = open({ transports, token: tokenFor("writer", 60) });
    const from: unknown[] = [];
    client.channel(`chat:${name} a`).subscribe((message) => from.push(message.from));
    const got = read(client, `chat:${name} a`);
    await heard(client, `chat:${name} a`, got);
    // A second channel, whose subscription goes out on a connection that stands.
    await heard(client, `chat:${name} b`, read(client, `chat:${name} b`));
    assert.deepEqual([...new Set(from)], ["writer"]);
    assert.equal((await client.channel(`chat:${name} a`).history({ last: 1 })).messages.length, 1);
    assert.deepEqual(errors, []);
  });

  test(`${name}: without a token what everybody may goes on`, { skip }, async () => {
    const { client, errors } = open({ transports });
    const [closed, free] = [`chat:${name} none`, `open:${name}`];
    const denied = read(client, closed);
    const got = read(client, free);
    await heard(client, free, got);
    await until(() => errors.length);
    await writing().channel(closed).publish("not for strangers");
    await assert.rejects(client.channel(closed).publish(1), ({ code }: EfirError) => code === "unauthorized");
    await heard(client, free, got);
    assert.deepEqual([errors, denied], [[`unauthorized ${closed}`], []]);
  });

  test(`${name}: a refused token is told, and asked for anew without haste`, { skip }, async () => {
    const channel = `chat:${name} refused`;
    let bad = 0;
    const token = (): string => {
      if (errors.length > 1) return tokenFor("anna", 60);
      bad += 1;
      return errors.length ? tokenFor("anna", -60) : tokenFor("anna", 60, "somebody else's secret, long enough");
    };
    const { client, errors } = open({ transports, token: () => token() });
    const got = read(client, channel);
    await heard(writing(), channel, got);
    assert.deepEqual(errors, ["unauthorized", "token_expired"]);
    // Without a channel nothing is judged, and one refusal comes to a connection that stood for that.
    assert.ok(bad <= 4, `${bad} attempts`);
  });

  test(`${name}: one forbidden channel among allowed ones`, { skip }, async () => {
    const { client, errors } = open({ transports, token: () => tokenFor("anna", 60) });
    const names = [`chat:${name} 1`, `secret:${name}`, `chat:${name} 2`];
    const lists = names.map((channel) => read(client, channel));
    const writer = writing();
    for (const at of [0, 2, 0]) await heard(writer, names[at]!, lists[at]!);
    await writer.channel(names[1]!).publish("secret");
    await heard(writer, names[2]!, lists[2]!);
    assert.deepEqual([errors, lists[1]], [[`forbidden ${names[1]}`], []]);
  });

  test(`${name}: who is here, where that takes a token`, { skip }, async () => {
    const channel = `chat:${name} presence`;
    const watcher = open({ transports: [websocket], token: () => tokenFor("anna", 60) });
    const guest = open({ transports, token: () => tokenFor("boris", 60), member: { id: "boris" } });
    const seen = watcher.client.channel(channel).presence;
    seen.subscribe(() => undefined);
    read(guest.client, channel);
    await guest.client.channel(channel).presence.enter({ name: "Борис" });
    await until(() => seen.members.get("boris")?.name === "Борис");
    await guest.client.channel(channel).presence.leave();
    await until(() => seen.count === 0);
    assert.deepEqual([watcher.errors, guest.errors], [[], []]);
  });

  // A poll begins with `last=0`, for which the server wants the right to what was.
  if (!name.endsWith("Poll"))
    test(`${name}: reading what comes, without the right to what was`, { skip }, async () => {
      const { client, errors } = open({ transports, token: () => tokenFor("anna", 60) });
      const channel = `now:${name}`;
      await heard(writing(), channel, read(client, channel));
      assert.deepEqual(errors, []);
    });

  test(`${name}: publishing with the right to it, and without`, { skip }, async () => {
    const reader = open({ transports, token: () => tokenFor("anna", 60) });
    const writer = open({ transports, token: () => tokenFor("writer", 60) });
    const channel = `chat:${name} rights`;
    const isForbidden = ({ code }: EfirError): boolean => code === "forbidden";
    await assert.rejects(reader.client.channel(channel).publish(1), isForbidden);
    assert.equal((await writer.client.channel(channel).publish(2)).offset, 1);
    // Whoever may not read may publish all the same.
    assert.equal((await writer.client.channel(`secret:${name} rights`).publish(3)).offset, 1);
    assert.deepEqual([reader.errors, writer.errors], [[], []]);
  });
}

test("tokens that end while messages come: each once, in order, by every transport", { skip }, async () => {
  const writer = writing();
  const readers = Object.values(ways).map((transport) => {
    let tokens = 0;
    const { client, errors } = open({ transports: [transport], token: () => (tokens++, tokenFor("anna", 2)) });
    return { name: transport.name, client, errors, got: read(client, "chat:live"), tokens: () => tokens };
  });
  for (const { got } of readers) await heard(writer, "chat:live", got);
  await writer.channel("chat:live").publish("begin");
  let isOver = false;
  let sent = 0;
  const done = (async () => {
    for (; !isOver; await new Promise((wake) => setTimeout(wake, 5))) await writer.channel("chat:live").publish(sent++);
  })();
  const losses = readers.map(() => 0);
  readers.forEach(({ client }, at) => client.on("transport", (by) => void (by || (losses[at]! += 1))));
  // Whoever only asks now and then shows a fresh token each time.
  await until(() => readers.every(({ name, tokens }, at) => losses[at]! >= 2 || (/poll/.test(name) && tokens() > 5)));
  isOver = true;
  await done;
  for (const { name, got, errors } of readers) {
    await until(() => got.at(-1) === sent - 1);
    assert.deepEqual(got.slice(got.indexOf("begin") + 1), Array.from({ length: sent }, (_, at) => at), name);
    assert.deepEqual(errors, [], name);
  }
});

test("a WebSocket goes on with the next token, and others come back with it", { skip }, async () => {
  const writer = writing();
  const readers = [websocket, sse].map((transport) => {
    let tokens = 0;
    const { client, errors } = open({ transports: [transport], token: () => (tokens++, tokenFor("anna", 12)) });
    return { client, errors, got: read(client, "chat:renewed"), tokens: () => tokens };
  });
  const [socket, stream] = readers as [(typeof readers)[0], (typeof readers)[0]];
  for (const { got } of readers) await heard(writer, "chat:renewed", got);
  const losses = [0, 0];
  readers.forEach(({ client }, at) => client.on("transport", (by) => void (by || (losses[at]! += 1))));
  // The first token of the stream is over, and so would be that of the socket, which began before it.
  await until(() => losses[1]! >= 1 && stream.client.state === "online");
  await heard(writer, "chat:renewed", socket.got);
  assert.deepEqual([losses[0], socket.errors], [0, []]);
  assert.ok(socket.tokens() >= 2);
});

test("a request that publishes with a token that is over goes again, under its key, with a fresh one", { skip }, async () => {
  let stale = 0;
  const posts: Array<string | undefined> = [];
  const { client } = open({
    transports: [sse],
    token: () => tokenFor("writer", stale-- > 0 ? -60 : 60),
    fetch: (input, init) => {
      if (init?.method === "POST") posts.push((init.headers as Record<string, string>)["Idempotency-Key"]);
      return fetch(input, init);
    },
  });
  const got = read(client, "chat:stale");
  await heard(client, "chat:stale", got);
  const before = posts.length;
  stale = 1;
  await client.channel("chat:stale").publish("once");
  await until(() => got.includes("once"));
  const [first, second, ...more] = posts.slice(before);
  assert.ok(first);
  assert.deepEqual([second, more], [first, []]);
  assert.equal(got.filter((data) => data === "once").length, 1);
});
