import assert from "node:assert/strict";
import { test } from "node:test";
import { Reader, type Audience, type State } from "../src/reader.ts";
import { Fault, type Link, type Transport } from "../src/transports/transport.ts";
import type { Batch, Message } from "../src/wire.ts";

const message = (position: string): Message => ({ channel: "chat", position, time: 0, data: position });
const push = (position: string) => ({ kind: "message", message: message(position) }) as const;

/** A transport played by hand: each run hands out its link and ends when told. */
class Stage {
  readonly log: string[] = [];
  readonly runs: Array<{ link: Link; end: () => void; fail: (error: Error) => void; signal: AbortSignal }> = [];
  head: Promise<string | undefined> = Promise.resolve(undefined);
  state: State = { kind: "connecting" };
  readonly reader: Reader;
  #arrived: () => void = () => undefined;

  constructor() {
    const transport: Transport = {
      isHeld: true,
      run: (link, signal) =>
        new Promise((end, fail) => {
          signal.addEventListener("abort", () => end());
          this.runs.push({ link, end, fail, signal });
          this.#arrived();
        }),
    };
    const audience: Audience = {
      state: (state) => (this.state = state),
      message: ({ message: { position }, isCaughtUp }) => this.log.push(isCaughtUp ? `${position}*` : position),
      gap: ({ reason }) => this.log.push(`gap ${reason}`),
      refused: ({ code }) => this.log.push(`refused ${code}`),
      heartbeat: () => undefined,
      begin: () => ({ end: () => undefined }),
    };
    const address = (query: Record<string, string>): string => new URLSearchParams(query).toString();
    this.reader = new Reader(transport, { address, head: () => this.head }, audience);
    this.reader.start();
  }

  get link(): Link {
    return this.runs.at(-1)!.link;
  }

  /** Waits until the transport runs for the `count`th time; no waiting between attempts. */
  async run(count: number): Promise<void> {
    while (this.runs.length < count) {
      const arrived = new Promise<void>((done) => (this.#arrived = done));
      await Promise.resolve();
      this.reader.hurry();
      await Promise.race([arrived, new Promise((next) => setImmediate(next))]);
    }
  }
}

test("the first read asks for the newest, every later one for what is after the cursor", async () => {
  const stage = new Stage();
  assert.equal(stage.link.address(), "last=50");
  stage.link.up();
  stage.link.push(push("E-5"));
  stage.runs[0]?.fail(new Error("lost"));
  await stage.run(2);
  assert.equal(stage.link.address(), "after=E-5");
});

test("cut, missed, plugged in: in order, once, marked; what comes later is not", async () => {
  const stage = new Stage();
  stage.link.up();
  stage.link.push(push("E-1"));
  stage.reader.stop({ kind: "cut" });
  assert.equal(stage.runs[0]?.signal.aborted, true);
  assert.equal(stage.state.kind, "cut");

  stage.head = Promise.resolve("E-3");
  stage.reader.start();
  stage.link.up();
  for (const position of ["E-1", "E-2", "E-3", "E-4"]) stage.link.push(push(position));
  assert.deepEqual(stage.log, ["E-1"], "the marks wait for the head");
  await stage.head.then(() => undefined);
  stage.link.push(push("E-5"));
  assert.deepEqual(stage.log, ["E-1", "E-2*", "E-3*", "E-4", "E-5"]);
});

test("when nobody knows the head, what came meanwhile counts as missed", async () => {
  const stage = new Stage();
  stage.link.up();
  stage.reader.stop({ kind: "cut" });
  stage.reader.start();
  stage.link.up();
  stage.link.push(push("E-1"));
  await stage.head.then(() => undefined);
  stage.link.push(push("E-2"));
  assert.deepEqual(stage.log, ["E-1*", "E-2"]);
});

test("history at the first sight is not marked", () => {
  const stage = new Stage();
  stage.link.up();
  stage.link.push(push("E-1"));
  assert.deepEqual(stage.log, ["E-1"]);
});

test("a late word of a connection that was let go is not heard", () => {
  const stage = new Stage();
  stage.link.up();
  stage.reader.stop({ kind: "cut" });
  stage.runs[0]?.link.push(push("E-1"));
  stage.runs[0]?.link.up();
  assert.deepEqual(stage.log, []);
  assert.equal(stage.state.kind, "cut");
});

test("a batch: its gap first, then its messages, then its cursor", () => {
  const stage = new Stage();
  const batch: Batch = {
    channel: "chat",
    messages: [message("F-1"), message("F-2")],
    cursor: "F-2",
    more: false,
    gap: { reason: "epoch_changed", resume_from: "F-0" },
  };
  stage.link.up();
  stage.link.push(push("E-9"));
  stage.link.batch(batch);
  stage.link.batch({ channel: "chat", messages: [], cursor: "F-7", more: false });
  assert.deepEqual(stage.log, ["E-9", "gap epoch_changed", "F-1", "F-2"]);
  assert.equal(stage.link.address(), "after=F-7");
});

test("a hole that nobody announced is shown", () => {
  const stage = new Stage();
  stage.link.up();
  stage.link.push(push("E-1"));
  stage.link.push(push("E-3"));
  assert.deepEqual(stage.log, ["E-1", "gap unannounced", "E-3"]);
});

test("a server that says stop is not asked again", async () => {
  const stage = new Stage();
  stage.runs[0]?.fail(new Fault({ code: "invalid_channel", action: "stop" }));
  await new Promise((next) => setImmediate(next));
  assert.equal(stage.state.kind, "stopped");
  stage.reader.hurry();
  await new Promise((next) => setImmediate(next));
  assert.equal(stage.runs.length, 1);
});

test("a refused frame is told and ends nothing", () => {
  const stage = new Stage();
  stage.link.up();
  stage.link.push({ kind: "problem", problem: { code: "payload_too_large", ordinal: 1, action: "stop" } });
  assert.deepEqual(stage.log, ["refused payload_too_large"]);
  assert.equal(stage.state.kind, "online");
});
