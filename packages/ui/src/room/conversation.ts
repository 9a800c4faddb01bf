// The lines of the room: messages and gaps in the order of the log, and below them what was typed here and is not in the log yet.
// Knows neither the client nor the document: room.ts feeds it, view/ shows it.
import type { Readable } from "../payload.ts";

export interface MessageLine {
  kind: "message";
  key: string;
  position: string;
  /** Milliseconds since 1970, the server's clock. */
  time: number;
  readable: Readable;
  isOwn: boolean;
  /** The line before is by the same sender and not long ago: its name need not be said again. */
  isContinued: boolean;
}

export interface GapLine {
  kind: "gap";
  key: string;
  reason: string;
}

/**
 * How far something typed has come. `sending`: handed to the client; `accepted`: the server has it, and it will come back as a
 * message; `refused`: it will not be sent by itself again; `unknown`: whether the server has it cannot be said any more.
 */
export type Fate =
  | { kind: "sending" }
  | { kind: "accepted" }
  | { kind: "refused"; why: string; isRetryable: boolean }
  | { kind: "unknown" };

export interface Draft {
  /** The idempotency key, the same in every attempt. */
  key: string;
  text: string;
  /** The stamp in the payload, by which the message is known again. */
  sent: number;
  fate: Fate;
}

export type Line = MessageLine | GapLine;

/** More than that nobody scrolls back; older ones are in the log. */
const lines_max = 400;
const continued_ms_max = 5 * 60_000;

export interface Spoken {
  position: string;
  time: number;
  readable: Readable;
  isOwn: boolean;
}

/** Values only: each step gives a new one. */
export class Conversation {
  readonly lines: readonly Line[];
  readonly drafts: readonly Draft[];

  constructor(lines: readonly Line[] = [], drafts: readonly Draft[] = []) {
    this.lines = lines;
    this.drafts = drafts;
  }

  /** A message of the log; a draft that it is the arrival of goes. */
  take({ position, time, readable, isOwn }: Spoken): Conversation {
    const last = this.lines.at(-1);
    const isContinued = last?.kind === "message" && isSameSender(last, readable) && time - last.time < continued_ms_max;
    const line: Line = { kind: "message", key: position, position, time, readable, isOwn, isContinued };
    const drafts = isOwn ? this.drafts.filter((draft) => draft.sent !== readable.sent) : this.drafts;
    return new Conversation(this.#with(line), drafts);
  }

  /** Messages are gone. What was accepted before and has not come back may be among them. */
  gap(reason: string): Conversation {
    const line: Line = { kind: "gap", key: `gap-${this.lines.at(-1)?.key ?? "first"}`, reason };
    const drafts = this.drafts.map((draft): Draft =>
      draft.fate.kind === "accepted" ? { ...draft, fate: { kind: "unknown" } } : draft,
    );
    return new Conversation(this.#with(line), drafts);
  }

  /** Something was typed, or is tried again: it stands last. */
  draft(draft: Draft): Conversation {
    return new Conversation(this.lines, [...this.drafts.filter(({ key }) => key !== draft.key), draft]);
  }

  /** What became of a draft; nothing, where its message has arrived already. */
  settle(key: string, fate: Fate): Conversation {
    return new Conversation(
      this.lines,
      this.drafts.map((draft) => (draft.key === key ? { ...draft, fate } : draft)),
    );
  }

  discard(key: string): Conversation {
    return new Conversation(
      this.lines,
      this.drafts.filter((draft) => draft.key !== key),
    );
  }

  #with(line: Line): Line[] {
    return [...this.lines.slice(-lines_max + 1), line];
  }
}

/** Two who say no name are not known to be one. */
function isSameSender(last: MessageLine, next: Readable): boolean {
  const { from, member } = last.readable;
  return from !== undefined && from === next.from && member === next.member;
}
