// What a pane's strip shows: the requests and messages of the last seconds. Times are `performance.now()` of this page.
// Knows nothing of canvas or document; view/strip.tsx draws it.
import type { Span } from "./transports/transport.ts";

export const window_ms = 26_000;

export type Outcome = "open" | "messages" | "empty" | "ended" | "failed";

export interface Bar {
  begin: number;
  /** Undefined while it is open. */
  end: number | undefined;
  outcome: Outcome;
}

export type MarkKind = "message" | "caught-up" | "sent" | "heartbeat" | "gap";

export interface Mark {
  at: number;
  kind: MarkKind;
}

export interface Tally {
  requests: number;
  empty: number;
  messages: number;
}

export class Timeline {
  #bars: Bar[] = [];
  #marks: Mark[] = [];
  /** While the cable is cut. */
  #cuts: Bar[] = [];

  get bars(): readonly Bar[] {
    return this.#bars;
  }

  get marks(): readonly Mark[] {
    return this.#marks;
  }

  get cuts(): readonly Bar[] {
    return this.#cuts;
  }

  begin(now: number): Span {
    const bar: Bar = { begin: now, end: undefined, outcome: "open" };
    this.#bars.push(bar);
    return {
      end(outcome) {
        if (bar.end !== undefined) return;
        bar.end = performance.now();
        bar.outcome = outcome;
      },
    };
  }

  mark(kind: MarkKind, now: number): void {
    this.#marks.push({ at: now, kind });
  }

  cut(now: number): void {
    this.#cuts.push({ begin: now, end: undefined, outcome: "open" });
  }

  plug(now: number): void {
    const last = this.#cuts.at(-1);
    if (last && last.end === undefined) last.end = now;
  }

  /** Forgets what has left the window. */
  trim(now: number): void {
    const start = now - window_ms;
    const isSeen = (bar: Bar): boolean => bar.end === undefined || bar.end > start;
    if (this.#bars.some((bar) => !isSeen(bar))) this.#bars = this.#bars.filter(isSeen);
    if (this.#cuts.some((bar) => !isSeen(bar))) this.#cuts = this.#cuts.filter(isSeen);
    const first = this.#marks[0];
    if (first && first.at < start) this.#marks = this.#marks.filter((mark) => mark.at >= start);
  }

  /** The strip in three numbers, for who cannot see it. */
  tally(now: number): Tally {
    this.trim(now);
    return {
      requests: this.#bars.length,
      empty: this.#bars.filter((bar) => bar.outcome === "empty").length,
      messages: this.#marks.filter((mark) => mark.kind === "message" || mark.kind === "caught-up").length,
    };
  }
}
