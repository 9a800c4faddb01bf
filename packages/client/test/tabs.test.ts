// Tabs of one origin share one connection: clients of one process stand in for tabs, with locks as the browser has them.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { connect, tabs, type Client } from "../src/index.ts";

const binary = process.env["EFIR_BIN"] ?? new URL("../../../../../../target/debug/efir", import.meta.url).pathname;
const skip = !existsSync(binary) && `no server at ${binary}`;

/** Web Locks, as far as they are used: one holder of a name, the others in line. */
class Locks {
  readonly #lines = new Map<string, Promise<unknown>>();

  request(name: string, { signal }: { signal: AbortSignal }, fn: () => Promise<void>): Promise<unknown> {
    const turn = (this.#lines.get(name) ?? Promise.resolve()).then(() => (signal.aborted ? undefined : fn()));
    this.#lines.set(name, turn);
    return turn;
  }
}

let server: ChildProcess;
let url: string;

before(async () => {
  if (skip) return;
  Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true });
  server = spawn(binary, ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  url = await new Promise((done) => {
    const hear = (piece: Buffer): void => {
      said += piece.toString();
      const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
      if (address) done(address);
    };
    server.stdout!.on("data", hear);
    server.stderr!.on("data", hear);
  });
});
after(() => void server?.kill());

async function until(what: () => unknown): Promise<void> {
  const end = Date.now() + 20_000;
  while (!what()) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

test("seven tabs, one connection; the leader goes, another leads, nothing is lost or told twice", { skip }, async () => {
  /** The responses that do not end, by tab. */
  const held: string[] = [];
  const open = (n: number): { client: Client; got: unknown[]; gaps: number } => {
    const client = connect(url, {
      share: tabs(),
      transport: "sse",
      fetch: (input, init) => {
        if ((init?.headers as Record<string, string> | undefined)?.["Accept"]) held.push(`tab ${n}`);
        return fetch(input, init);
      },
    });
    const tab = { client, got: [] as unknown[], gaps: 0 };
    client.channel("shared").subscribe((message) => tab.got.push(message.data));
    client.channel("shared").on("gap", () => (tab.gaps += 1));
    return tab;
  };
  const all = Array.from({ length: 7 }, (_, n) => open(n));
  await until(() => all.every(({ client }) => client.state === "online"));
  const [leader, ...others] = all;
  const writer = others[5]!.client.channel("shared");
  await writer.publish(0);
  await until(() => all.every(({ got }) => got.length));
  assert.deepEqual(new Set(held), new Set(["tab 0"]));
  assert.deepEqual(new Set(all.map(({ client }) => client.transport)), new Set(["sse"]));

  await writer.publish(new Uint8Array([1]) as never);
  leader!.client.close();
  for (let n = 2; n < 20; n += 1) await writer.publish(n);
  await until(() => others.every(({ got }) => got.length === 20));
  for (const { got, gaps } of others) {
    assert.deepEqual(got, [0, new Uint8Array([1]), ...Array.from({ length: 18 }, (_, n) => n + 2)]);
    assert.equal(gaps, 0);
  }
  assert.deepEqual(new Set(held), new Set(["tab 0", "tab 1"]));

  const late: unknown[] = [];
  others[3]!.client.channel("shared").subscribe((message) => late.push(message.data), { last: 2 });
  await until(() => late.length === 2);

  const seen = others[4]!.client.channel("shared").presence;
  seen.subscribe(() => undefined);
  await others[2]!.client.channel("shared").presence.enter({ name: "Аня" });
  await until(() => seen.count === 1);
  await others[2]!.client.channel("shared").presence.leave();
  await until(() => seen.count === 0);
  for (const { client } of others) client.close();
});

test("a sibling that has heard nothing yet loses nothing either when the leader goes", { skip }, async () => {
  const open = (): Client => connect(url, { share: tabs(), transport: "sse" });
  const [leader, sibling] = [open(), open()];
  await until(() => leader!.state === "online" && sibling!.state === "online");
  const got: unknown[] = [];
  const quiet = sibling!.channel("quiet");
  quiet.subscribe((message) => got.push(message.data));
  const ether = new BroadcastChannel(`efir:${leader!.url}`);
  try {
    await new Promise<void>((done) => {
      ether.onmessage = ({ data }: MessageEvent<{ say: string; channel?: string }>) => {
        if (data.say === "joined" && data.channel === "quiet") done();
      };
    });
    leader!.close();
    // By somebody else, while nobody leads.
    await fetch(`${url}/channels/quiet`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "1" });
    await until(() => got.length);
    assert.deepEqual(got, [1]);
  } finally {
    ether.close();
    leader!.close();
    sibling!.close();
  }
});

test("for a tab that crashed nothing is read any more", { skip }, async () => {
  const leader = connect(url, { share: tabs(), transport: "sse" });
  const name = `efir:${leader.url}`;
  const ether = new BroadcastChannel(name);
  let crash = (): void => undefined;
  let taken = 0;
  let joined = 0;
  ether.onmessage = ({ data }: MessageEvent<{ say: string; to?: string }>) => {
    if (data.to !== "ghost") return;
    if (data.say === "take") taken += 1;
    else joined += 1;
  };
  try {
    await until(() => leader.state === "online");
    const { signal } = new AbortController();
    // The browser lets go of a tab's lock, however the tab ends.
    void navigator.locks.request(`${name} ghost`, { signal }, () => new Promise<void>((done) => (crash = done)));
    const wanted = [{ channel: "haunted", reading: 1 }];
    ether.postMessage({ say: "read", from: "ghost", wanted });
    await until(() => joined);
    const own: unknown[] = [];
    leader.channel("haunted").subscribe((message) => own.push(message.data));
    await leader.channel("haunted").publish(1);
    await until(() => taken === 1 && own.length === 1);
    crash();
    await new Promise((done) => setTimeout(done, 50));
    await leader.channel("haunted").publish(2);
    await until(() => own.length === 2);
    await new Promise((done) => setTimeout(done, 50));
    assert.equal(taken, 1);
  } finally {
    ether.close();
    leader.close();
  }
});

test("a leader that crashes without a word: the others go over to the next one, and miss nothing", { skip }, async () => {
  const name = `efir:${url}/`;
  const ether = new BroadcastChannel(name);
  let crash = (): void => undefined;
  const { signal } = new AbortController();
  // A leader that says that it is there, and passes on nothing.
  void navigator.locks.request(name, { signal }, () => new Promise<void>((done) => (crash = done)));
  const { cursor } = (await (await fetch(`${url}/channels/left?last=0`)).json()) as { cursor: string };
  ether.onmessage = ({ data }: MessageEvent<{ say: string; from: string }>) => {
    if (data.say !== "read") return;
    ether.postMessage({ say: "here", leader: "ghost", by: "sse" });
    ether.postMessage({ say: "joined", to: data.from, channel: "left", cursor });
  };
  const got: unknown[][] = [[], [], []];
  const all = got.map((list) => {
    const client = connect(url, { share: tabs(), transport: "sse" });
    client.channel("left").subscribe((message) => list.push(message.data));
    return client;
  });
  try {
    await until(() => all.every(({ state }) => state === "online"));
    await fetch(`${url}/channels/left`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "1" });
    ether.onmessage = null;
    crash();
    await until(() => got.every((list) => list.length));
    await all[2]!.channel("left").publish(2);
    await until(() => got.every((list) => list.length === 2));
    assert.deepEqual(got, [[1, 2], [1, 2], [1, 2]]);
  } finally {
    ether.close();
    for (const client of all) client.close();
  }
});
