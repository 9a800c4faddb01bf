// One connection through the proxy: two ways for bytes, each of which can be limited, muted, delayed, held back or rewritten. Knows no
// fault by name; `faults.mjs` makes them of these parts.
import { RequestReader } from "./requests.mjs";

/** One direction of a cable. */
export class Way {
  /** Bytes that went on so far. */
  bytes = 0;
  /** Swallows everything. */
  isMute = false;
  delay_ms = 0;
  /** What becomes of each piece, step by step. */
  #steps = [];
  #from;
  #to;
  #held;
  #limit = Number.POSITIVE_INFINITY;
  #reached;
  /** Delayed pieces in flight: the next one may not overtake them. */
  #flight = 0;
  #due = 0;
  #isEnding = false;

  constructor(from, to) {
    this.#from = from;
    this.#to = to;
    to.on("drain", () => from.resume());
  }

  /** Calls `then` once exactly `count` bytes went on; what it does decides about the rest. */
  at(count, then) {
    this.#limit = this.bytes + count;
    this.#reached = then;
    if (count === 0) this.#reach();
  }

  /** Every piece passes `step` first, which gives what goes on instead of it; undefined swallows it. */
  through(step) {
    this.#steps.push(step);
  }

  take(bytes) {
    let out = bytes;
    for (const step of this.#steps) out = out && step(out);
    if (out && out.length > 0) this.#forward(out);
  }

  /** Sends bytes of the proxy's own. */
  put(bytes) {
    this.#pass(bytes);
  }

  /** Holds back everything from here on, as a buffering proxy does. */
  hold() {
    this.#held ??= [];
  }

  get isHolding() {
    return this.#held !== undefined;
  }

  get heldBytes() {
    return (this.#held ?? []).reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** Lets go what was held back; holds on if `again`. */
  release(again = false) {
    const held = this.#held ?? [];
    this.#held = again ? [] : undefined;
    for (const bytes of held) this.#send(bytes);
  }

  /** Forgets limit, delay and rewriting, and lets go what it holds. */
  calm() {
    this.#limit = Number.POSITIVE_INFINITY;
    this.#reached = undefined;
    this.delay_ms = 0;
    this.#steps = [];
    this.release();
  }

  /** FIN behind everything that is still under way. */
  end() {
    if (this.isMute || this.#isEnding) return;
    this.#isEnding = true;
    this.release();
    if (this.#flight === 0) this.#to.end();
  }

  #forward(bytes) {
    if (this.isMute) return;
    const room = this.#limit - this.bytes;
    if (bytes.length < room) return this.#pass(bytes);
    this.#pass(bytes.subarray(0, room));
    this.#reach();
    if (bytes.length > room) this.#forward(bytes.subarray(room));
  }

  #reach() {
    const reached = this.#reached;
    this.#limit = Number.POSITIVE_INFINITY;
    this.#reached = undefined;
    reached?.();
  }

  #pass(bytes) {
    this.bytes += bytes.length;
    if (this.#held) this.#held.push(bytes);
    else this.#send(bytes);
  }

  #send(bytes) {
    if (this.delay_ms === 0 && this.#flight === 0) return this.#write(bytes);
    this.#flight += 1;
    // Timers of one length keep their order; a shorter one later on waits for those before it.
    this.#due = Math.max(this.#due, performance.now() + this.delay_ms);
    setTimeout(() => {
      this.#flight -= 1;
      this.#write(bytes);
      if (this.#isEnding && this.#flight === 0) this.#to.end();
    }, this.#due - performance.now());
  }

  #write(bytes) {
    if (bytes.length === 0 || this.#to.destroyed || this.#to.writableEnded) return;
    if (!this.#to.write(bytes)) this.#from.pause();
  }
}

/** A connection of a client (`near`) and the one to the server that stands for it (`far`). */
export class Cable {
  isOver = false;
  #timers = new Set();
  #note;

  /** `note(kind)`: called when a fault takes effect. */
  constructor(near, far, { begun, note }) {
    [this.near, this.far, this.#note] = [near, far, note];
    this.requests = new RequestReader(begun);
    this.up = new Way(near, far);
    this.down = new Way(far, near);
    near.on("data", (bytes) => {
      this.requests.take(bytes);
      this.up.take(bytes);
    });
    far.on("data", (bytes) => {
      this.requests.answered(bytes);
      this.down.take(bytes);
    });
    near.on("end", () => this.up.end());
    far.on("end", () => this.down.end());
    near.on("close", () => this.#close());
    // Muted, the client does not learn that the server is gone.
    far.on("close", () => this.down.isMute || (this.down.end(), near.destroySoon()));
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
    }
  }

  /** Tells that a fault took effect. */
  note(kind) {
    this.#note(kind);
  }

  /** Calls it later unless the connection is over. */
  later(ms, then) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  /** FIN to both sides. */
  end() {
    this.up.end();
    this.down.end();
    this.mute();
    this.near.destroySoon();
    this.far.destroySoon();
  }

  /** RST to both sides. */
  reset() {
    this.mute();
    this.near.resetAndDestroy();
    this.far.resetAndDestroy();
  }

  /** Swallows everything both ways; neither side learns it. */
  mute() {
    this.up.isMute = true;
    this.down.isMute = true;
  }

  /** From here on an honest wire; one that swallowed something can only break. */
  calm() {
    this.#clear();
    if (this.up.isMute || this.down.isMute) return this.reset();
    this.up.calm();
    this.down.calm();
  }

  #close() {
    this.isOver = true;
    this.#clear();
    this.far.destroy();
  }

  #clear() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
