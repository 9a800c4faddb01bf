// The transports that are requests, with answers that a test gives.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { connect, type Client, type Options } from "../src/index.ts";
import { startClock, type Clock } from "./clock.ts";

let clock: Clock;
let client: Client;

beforeEach(() => {
  clock = startClock();
});
afterEach(() => {
  client.close();
  clock.stop();
});

interface Asked {
  url: URL;
  method: string;
  signal: AbortSignal;
}

/** A client, and what it asked for; `answer` gives nothing where there is no answer. */
function begin(options: Options, answer: (asked: Asked) => Response | undefined): Asked[] {
  const all: Asked[] = [];
  const fetch = (url: string, init: RequestInit = {}): Promise<Response> =>
    new Promise((done, failed) => {
      const asked = { url: new URL(url), method: init.method ?? "GET", signal: init.signal! };
      all.push(asked);
      init.signal?.addEventListener("abort", () => failed(init.signal!.reason), { once: true });
      const response = answer(asked);
      if (response) done(response);
    });
  client = connect("http://efir.test", { ...options, fetch: fetch as typeof globalThis.fetch });
  return all;
}

const batch = (fields: object = {}): Response =>
  Response.json({ channel: "a", messages: [], cursor: "E-0", more: false, ...fields });
/** An answer that comes in pieces, when the test says so. */
function slow(): { response: Response; piece(text: string): void; end(): void } {
  let out!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (controller) => void (out = controller) });
  return { response: new Response(body), piece: (text) => out.enqueue(new TextEncoder().encode(text)), end: () => out.close() };
}

for (const transport of ["sse", "long-poll", "short-poll"] as const) {
  test(`${transport}: a client that reads nothing notices a server that is gone`, async () => {
    let isThere = true;
    const all = begin({ transport }, () => (isThere ? new Response("{}") : undefined));
    await clock.go(100);
    assert.equal(client.state, "online");
    await clock.go(60_000);
    assert.equal(client.state, "online");
    assert.equal(all.length < 8, true, "not asked all the time");
    isThere = false;
    await clock.go(20_001);
    assert.notEqual(client.state, "online");
  });

  test(`${transport}: a path that is dead when the first channel comes is noticed within 20 s`, async () => {
    let isThere = true;
    begin({ transport }, () => (isThere ? new Response("{}") : undefined));
    await clock.go(3_600_000);
    isThere = false;
    client.channel("a").subscribe(() => undefined);
    await clock.go(20_001);
    assert.notEqual(client.state, "online");
  });
}

for (const transport of ["long-poll", "short-poll"] as const)
  test(`${transport}: an answer that takes a minute, piece by piece, is life`, async () => {
    const { response, piece, end } = slow();
    let polls = 0;
    begin({ transport }, ({ url }) => {
      if (url.pathname === "/info") return new Response("{}");
      return polls++ ? undefined : response;
    });
    const got: unknown[] = [];
    client.channel("a").subscribe((message) => got.push(message.data), { after: "E-0" });
    const text = JSON.stringify({ channel: "a", messages: [{ channel: "a", position: "E-1", time: 1, data: "ы" }], cursor: "E-1", more: false });
    for (let at = 0; at < text.length; at += 10) {
      piece(text.slice(at, at + 10));
      await clock.go(6_000);
    }
    end();
    await clock.settle();
    assert.deepEqual(got, ["ы"]);
    assert.equal(client.state, "online");
  });

test("long-poll: answers without a message that come at once are not asked for without a pause", async () => {
  const all = begin({ transport: "long-poll" }, () => batch());
  client.channel("a").subscribe(() => undefined, { after: "E-0" });
  await clock.go(10_000);
  assert.equal(all.length < 15, true, `${all.length} requests in 10 s`);
});

test("short-poll: listeners do not gather", async () => {
  const all = begin({ transport: "short-poll" }, () => batch());
  client.channel("a").subscribe(() => undefined);
  await clock.go(60_000);
  assert.equal(all.length > 10, true);
  for (const { signal } of all) assert.equal(getEventListeners(signal, "abort").length <= 3, true);
});

test("what is asked for is encoded", async () => {
  const all = begin({ transport: "sse", member: { id: "a&transport=x" } }, () => new Response("{}"));
  await clock.go(100);
  client.channel("a").presence.enter().catch(() => undefined);
  await clock.settle();
  assert.equal(all.at(-1)!.url.searchParams.get("member"), "a&transport=x");
});

test("leaving that has no answer yet is over when the client is closed, which leaves by a request of its own", async () => {
  const all = begin({ transport: "sse" }, ({ method }) => (method === "DELETE" ? undefined : new Response("{}")));
  await clock.go(100);
  const { presence } = client.channel("a");
  await presence.enter();
  const left = presence.leave();
  await clock.settle();
  client.close();
  await left;
  client = connect("http://efir.test", { transport: "sse", fetch: (() => new Promise(() => undefined)) as typeof fetch });
  assert.equal(all.filter(({ method }) => method === "DELETE").length, 1);
});

test("a member that is still in leaves when the client is closed", async () => {
  const all = begin({ transport: "sse" }, () => new Response("{}"));
  await clock.go(100);
  await client.channel("a").presence.enter();
  client.close();
  await clock.settle();
  const last = all.at(-1)!;
  assert.deepEqual([last.method, last.signal.aborted], ["DELETE", false]);
});

test("what a captive portal answers is not the server's word", async () => {
  begin({ transport: "sse" }, () => new Response("<p>Please log in"));
  await clock.go(10_000);
  assert.notEqual(client.state, "online");
});
