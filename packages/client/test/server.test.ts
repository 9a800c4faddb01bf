// The client and a real server (binary.ts). Skipped where there is none.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { EventSource, WebSocket } from "undici";
import { connect, eventSource, type Client, type Gap, type Message, type Options, type TransportName } from "../src/index.ts";
import { serve, skip, type Server } from "./binary.ts";

const names: TransportName[] = ["websocket", "sse", "http-stream", "long-poll", "short-poll"];

let server: Server;
let url: string;

/** Starts a server; port 0 lets it choose one. */
async function start(port = 0): Promise<void> {
  server = await serve(["--set", "times.poll_interval=1s"], { port });
  url = server.url;
}

before(async () => {
  if (!skip) await start();
});
after(async () => {
  if (!skip) await server.kill();
});

const opened: Client[] = [];
const open = (options: Options = {}): Client => {
  const client = connect(url, { WebSocket, ...options });
  opened.push(client);
  return client;
};
// Also of a test that failed: a client goes on trying, and keeps the process.
afterEach(() => {
  for (const client of opened.splice(0)) client.close();
});

async function until(what: () => unknown): Promise<void> {
  const end = Date.now() + 20_000;
  while (!what()) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}
const count = (n: number): number[] => Array.from({ length: n }, (_, at) => at);

for (const transport of names) {
  test(`${transport}: several channels, in order, each message once; bytes; history`, { skip }, async () => {
    const client = open({ transport });
    const [one, other] = [client.channel(`one ${transport}`), client.channel<Uint8Array>(`другой:${transport}`)];
    const got: unknown[] = [];
    const bytes: Uint8Array[] = [];
    one.subscribe((message) => got.push(message.data));
    other.subscribe((message) => bytes.push(message.data));
    await until(() => client.state === "online");
    await one.publish(-1);
    await until(() => got.length === 1);
    const receipts = await Promise.all(count(40).map((n) => one.publish(n)));
    await other.publish(new Uint8Array([0, 255]));
    await until(() => got.length === 41 && bytes.length === 1);
    assert.deepEqual(got, [-1, ...count(40)]);
    assert.deepEqual(receipts.map(({ offset }) => offset), count(40).map((n) => n + 2));
    assert.deepEqual(bytes, [new Uint8Array([0, 255])]);
    const history = await one.history({ last: 3 });
    assert.deepEqual(history.messages.map(({ data }) => data), [37, 38, 39]);
    const rest = await one.history({ after: receipts[35]!.position });
    assert.deepEqual(rest.messages.map(({ data }) => data), [36, 37, 38, 39]);
    client.close();
  });

  test(`${transport}: publishing, leaving and coming back from inside the callback`, { skip }, async () => {
    const client = open({ transport });
    const channel = client.channel<number>(`inside ${transport}`);
    const got: number[] = [];
    const errors: unknown[] = [];
    // Each message answers the one before, and is the last that this subscriber hears: the next one goes on behind it.
    const hear = (message: Message<number>): void => {
      got.push(message.data);
      if (message.data < 4) void channel.publish(message.data + 1);
      leave();
      leave = channel.subscribe(hear, { after: message.position });
    };
    let leave = channel.subscribe(hear);
    client.on("error", (error) => errors.push(error));
    await until(() => client.state === "online");
    await channel.publish(0);
    await until(() => got.length >= 5);
    assert.deepEqual(got, count(5));
    const { messages } = await channel.history({ after: "start" });
    assert.deepEqual(messages.map(({ data }) => data), count(5));
    assert.deepEqual(errors, []);
    client.close();
  });

  test(`${transport}: who is here, under what name, and who left`, { skip }, async () => {
    const [watcher, guest] = [open(), open({ transport, member: { id: `g-${transport}` } })];
    const seen = watcher.channel(`room ${transport}`).presence;
    seen.subscribe(() => undefined);
    const own = guest.channel(`room ${transport}`).presence;
    await own.enter({ name: "Аня" });
    await until(() => seen.members.get(`g-${transport}`)?.name === "Аня");
    await own.update({ name: "Яна", data: { colour: "red" } });
    await until(() => seen.members.get(`g-${transport}`)?.name === "Яна");
    assert.deepEqual(seen.members.get(`g-${transport}`)?.data, { colour: "red" });
    await own.leave();
    await until(() => seen.count === 0);
    await own.enter();
    await until(() => seen.count === 1);
    guest.close();
    await until(() => seen.count === 0);
    watcher.close();
  });
}

test("from one transport to the next and back, while messages come: nothing lost, nothing twice", { skip }, async () => {
  const [reader, writer] = [open(), open()];
  const got: unknown[] = [];
  reader.channel("switch").subscribe((message) => got.push(message.data));
  await until(() => reader.state === "online" && writer.state === "online");
  await writer.channel("switch").publish(0);
  await until(() => got.length === 1);
  let sent = 1;
  let isOver = false;
  const writing = (async () => {
    for (; !isOver; await new Promise((done) => setTimeout(done, 2))) await writer.channel("switch").publish(sent++);
  })();
  for (const name of [...names.slice(1), ...names]) {
    reader.use(name);
    await until(() => reader.transport === name);
    const before = got.length;
    await until(() => got.length > before);
  }
  isOver = true;
  await writing;
  await until(() => got.length === sent);
  assert.deepEqual(got, count(sent));
  for (const client of [reader, writer]) client.close();
});

test("subscribers of one channel that begin in different places", { skip }, async () => {
  const client = open();
  const channel = client.channel<number>("places");
  const positions = (await Promise.all(count(20).map((n) => channel.publish(n)))).map(({ position }) => position);
  const lists: number[][] = [[], [], [], []];
  const into = (at: number) => (message: { data: number }) => lists[at]!.push(message.data);
  channel.subscribe(into(0), { last: 5 });
  channel.subscribe(into(1), { after: "start" });
  channel.subscribe(into(2), { after: positions[9] });
  await until(() => lists[0]!.length === 5);
  channel.subscribe(into(3), { last: 2 });
  await until(() => lists[3]!.length === 2);
  await channel.publish(20);
  await until(() => lists.every((list) => list.at(-1) === 20));
  const from = (first: number): number[] => count(21).slice(first);
  assert.deepEqual(lists, [from(15), from(0), from(10), from(18)]);
  client.close();
});

test("a server that is killed and loses its memory: one gap a cursor, and reading goes on", { skip }, async () => {
  const { port } = new URL(url);
  const clients = names.map((transport) => open({ transport }));
  const lists = clients.map((client) => {
    const list: { got: unknown[]; gaps: Gap[] } = { got: [], gaps: [] };
    client.channel("killed").subscribe((message) => list.got.push(message.data));
    client.channel("killed").on("gap", (gap) => list.gaps.push(gap));
    return list;
  });
  await until(() => clients.every((client) => client.state === "online"));
  const [first] = clients;
  await first!.channel("killed").publish("before");
  await until(() => lists.every(({ got }) => got.length));
  await server.kill();
  await until(() => clients.every((client) => client.state !== "online"));
  const publishing = first!.channel("killed").publish("after");
  await start(Number(port));
  await publishing;
  await until(() => lists.every(({ got }) => got.length === 2));
  for (const { got, gaps } of lists) {
    assert.deepEqual(got, ["before", "after"]);
    assert.deepEqual(gaps.map(({ reason }) => reason), ["epoch_changed"]);
  }
  for (const client of clients) client.close();
});

test("a name that the server refuses is this channel's error only", { skip }, async () => {
  for (const transport of names) {
    const client = open({ transport });
    const errors: string[] = [];
    const got: unknown[] = [];
    client.on("error", (error) => errors.push(`${error.code} ${error.problem.channel}`));
    client.channel("bad e\u0301").subscribe(() => undefined);
    await until(() => errors.length);
    client.channel("fine").subscribe((message) => got.push(message.data));
    await until(() => client.state === "online");
    client.channel("fine").publish(transport).catch(() => undefined);
    await client.channel("fine").publish(transport);
    assert.deepEqual(errors, ["invalid_channel bad e\u0301"], transport);
    client.close();
  }
});

test("the browser's own EventSource: several channels, resumed after their cursors", { skip }, async () => {
  Object.assign(globalThis, { EventSource });
  try {
    const client = open({ transports: [eventSource], member: { id: "native" } });
    const writer = open();
    await until(() => client.state === "online");
    const lists: unknown[][] = [[], []];
    client.channel("native 1").subscribe((message) => lists[0]!.push(message.data));
    client.channel("native 2").subscribe((message) => lists[1]!.push(message.data));
    await client.channel("native 1").presence.enter();
    // "From now on" begins with the first stream that stands.
    for (; !lists.every((list) => list.length); await new Promise((done) => setTimeout(done, 50)))
      for (const name of ["native 1", "native 2"]) await writer.channel(name).publish(0);
    for (const n of count(10)) {
      await writer.channel("native 1").publish(n);
      await writer.channel("native 2").publish(-n);
      // A third channel has the response opened anew.
      client.channel(`native ${n}`).subscribe(() => undefined);
    }
    await until(() => lists.every((list) => list.at(-1) === 9 || list.at(-1) === -9));
    for (const list of lists) assert.deepEqual(list.slice(-9).map((n) => Math.abs(n as number)), count(10).slice(1));
    assert.equal(client.transport, "sse");
  } finally {
    delete (globalThis as { EventSource?: unknown }).EventSource;
  }
});
