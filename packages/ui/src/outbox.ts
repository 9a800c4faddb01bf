// What this page has sent, so that it knows its own messages again and can say how long they took. Shared by all panes: what is typed
// in one is timed in all five.

const kept_max = 200;

export class Outbox {
  /** The stamp in the payload → when it was handed over (`performance.now()`). */
  readonly #sent = new Map<number, number>();
  #last = 0;

  /** A stamp for a payload that leaves now: milliseconds since 1970 with fractions, never the same twice. */
  stamp(): number {
    const now = performance.now();
    const stamp = Math.max(Math.round((performance.timeOrigin + now) * 1000) / 1000, this.#last + 0.001);
    this.#last = stamp;
    this.#sent.set(stamp, now);
    const oldest = this.#sent.keys().next();
    if (this.#sent.size > kept_max && !oldest.done) this.#sent.delete(oldest.value);
    return stamp;
  }

  /** Milliseconds from handing over to `at`; undefined for what this page did not send. */
  latency(stamp: number | undefined, at: number): number | undefined {
    const sent = stamp === undefined ? undefined : this.#sent.get(stamp);
    return sent === undefined ? undefined : Math.max(0, at - sent);
  }
}
