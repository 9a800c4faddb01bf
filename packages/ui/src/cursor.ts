// Where a reader stands in the log: what to ask for next, and what of the answer is new (guarantee D4: exactly once a message).
// Knows nothing of transports; positions come in as text and are compared only here.
import type { Gap } from "./wire.ts";

export interface Position {
  epoch: string;
  offset: number;
}

/** `<epoch>-<offset>`; undefined for anything else (the token of several channels, for one). */
export function parsePosition(text: string | undefined): Position | undefined {
  const parts = /^([A-Za-z0-9._~]+)-(0|[1-9][0-9]{0,15})$/.exec(text ?? "");
  if (!parts) return undefined;
  return { epoch: parts[1] ?? "", offset: Number(parts[2]) };
}

/** How a message stands to what was read before; `hole`: something between is missing and no gap announced it. */
export type Arrival = "new" | "duplicate" | "hole";

export class Cursor {
  /** What to give as `after`. The server's text, handed back as it came. */
  #resume: string | undefined;
  /** The last message taken, or the place where a gap said that reading goes on. Never moved by hello or heartbeat. */
  #seen: Position | undefined;

  get resume(): string | undefined {
    return this.#resume;
  }

  /** Takes a message's position. A duplicate leaves the cursor where it is. */
  accept(position: string): Arrival {
    const at = parsePosition(position);
    if (!at) return "duplicate";
    const seen = this.#seen;
    if (seen && seen.epoch === at.epoch && at.offset <= seen.offset) return "duplicate";
    this.#seen = at;
    this.#resume = position;
    if (!seen) return "new";
    return seen.epoch === at.epoch && at.offset === seen.offset + 1 ? "new" : "hole";
  }

  /** A gap was announced: reading goes on from `resume_from`, which may lie in another epoch or before what was seen. */
  skip(gap: Gap): void {
    this.#resume = gap.resume_from ?? this.#resume;
    this.#seen = parsePosition(gap.resume_from);
  }

  /** The join cursor of a hello: counts only while there is none, since on a resume the messages after ours are still to come. */
  join(cursor: string): void {
    this.#resume ??= cursor;
  }

  /** The cursor of a heartbeat: everything up to it was sent. Moves forward within the epoch only. */
  beat(cursor: string): void {
    const at = parsePosition(cursor);
    const own = parsePosition(this.#resume);
    if (!at || !own || (own.epoch === at.epoch && at.offset > own.offset)) this.#resume = cursor;
  }

  /** The cursor of a poll's batch, after its gap and messages were taken: the server's word on where to go on. */
  settle(cursor: string): void {
    this.#resume = cursor;
  }
}
