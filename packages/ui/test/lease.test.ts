import assert from "node:assert/strict";
import { test } from "node:test";
import { Lease, type LeaseState, type Word } from "../src/lease.ts";

/** Some windows on virtual time; words arrive one step later, as they do over a BroadcastChannel. */
class Windows {
  now = 1_000;
  readonly states: Record<string, LeaseState> = {};
  readonly leases: Record<string, Lease> = {};
  readonly #busy_until: Record<string, number> = {};
  #steps: Array<{ id: string; at: number; run: () => void; isOff: boolean }> = [];

  open(id: string): Lease {
    this.states[id] = "none";
    const lease = new Lease(
      id,
      {
        post: (word) => this.#tell(word),
        now: () => this.now,
        later: (ms, run) => this.#after(id, ms, run),
        random: () => 0.5,
      },
      (state) => (this.states[id] = state),
    );
    this.leases[id] = lease;
    return lease;
  }

  /** A crash: it hears and says nothing any more. */
  crash(id: string): void {
    delete this.leases[id];
    delete this.states[id];
  }

  /** For so long it hears nothing and does nothing; then it catches up. */
  isBusy(id: string, ms: number): void {
    this.#busy_until[id] = this.now + ms;
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.#steps.filter((step) => !step.isOff && step.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.now = next.at;
      const busy_until = this.#busy_until[next.id] ?? 0;
      if (busy_until > this.now) {
        next.at = busy_until;
        continue;
      }
      next.isOff = true;
      next.run();
    }
    this.now = end;
  }

  #tell(word: Word): void {
    const listeners = Object.keys(this.leases).filter((id) => id !== word.id);
    for (const id of listeners) this.#after(id, 1, () => this.leases[id]?.hear(word));
  }

  #after(id: string, ms: number, run: () => void): () => void {
    const step = { id, at: this.now + ms, run, isOff: false };
    this.#steps.push(step);
    return () => (step.isOff = true);
  }
}

test("one window gets the lease, the second does without", () => {
  const windows = new Windows();
  windows.open("a").want();
  windows.pass(500);
  assert.equal(windows.states["a"], "held");
  windows.open("b").want();
  windows.pass(500);
  assert.deepEqual(windows.states, { a: "held", b: "elsewhere" });
});

test("three windows opened at the same moment: one has it in the end", () => {
  const windows = new Windows();
  for (const id of ["a", "b", "c"]) windows.open(id).want();
  windows.pass(10_000);
  assert.deepEqual(Object.values(windows.states).sort(), ["elsewhere", "elsewhere", "held"]);
});

test("taking over makes the other give it up", () => {
  const windows = new Windows();
  windows.open("a").want();
  windows.pass(500);
  const b = windows.open("b");
  b.want();
  windows.pass(500);
  b.take();
  windows.pass(500);
  assert.deepEqual(windows.states, { a: "elsewhere", b: "held" });
  windows.pass(60_000);
  assert.deepEqual(windows.states, { a: "elsewhere", b: "held" }, "and it stays so");
});

test("a holder that is too busy to answer keeps it, and one that a visitor chose does too", () => {
  const windows = new Windows();
  const a = windows.open("a");
  a.want();
  windows.pass(500);
  const b = windows.open("b");
  b.want();
  windows.pass(500);
  windows.isBusy("a", 2_000);
  windows.open("c").want();
  windows.pass(1_000);
  assert.equal(windows.states["c"], "held", "nobody answered");
  windows.pass(1_500);
  assert.deepEqual(windows.states, { a: "held", b: "elsewhere", c: "elsewhere" });
  b.take();
  windows.pass(500);
  windows.isBusy("b", 6_000);
  windows.pass(60_000);
  assert.deepEqual(windows.states, { a: "elsewhere", b: "held", c: "elsewhere" });
});

test("a hidden window lets go, and the next one has it at once", () => {
  const windows = new Windows();
  const a = windows.open("a");
  a.want();
  windows.pass(500);
  windows.open("b").want();
  windows.open("c").want();
  windows.pass(500);
  a.release();
  windows.pass(1_000);
  assert.deepEqual(Object.values(windows.states).sort(), ["elsewhere", "held", "none"]);
  a.want();
  windows.pass(1_000);
  assert.equal(windows.states["a"], "elsewhere");
});

test("a crashed window keeps it for some seconds at most", () => {
  const windows = new Windows();
  windows.open("a").want();
  windows.pass(500);
  windows.open("b").want();
  windows.pass(500);
  windows.crash("a");
  windows.pass(5_000);
  assert.deepEqual(windows.states, { b: "held" });
});
