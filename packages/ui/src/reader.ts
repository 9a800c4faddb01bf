// Keeps one client on the air: runs its transport, comes back after a loss, holds the cursor, drops duplicates, and tells which
// messages were caught up. The same for every transport; knows nothing of the document. panes.ts owns one reader a pane.
import { backoff, pause } from "./backoff.ts";
import { Cursor, parsePosition } from "./cursor.ts";
import { Fault, type Link, type Span, type Transport } from "./transports/transport.ts";
import type { Batch, Gap, Message, Problem, Push } from "./wire.ts";

/** What a reader does just now. Times are `performance.now()`. */
export type State =
  | { kind: "connecting" }
  | { kind: "online" }
  /** `at`: when it tries again; undefined while the browser itself decides. */
  | { kind: "reconnecting"; at: number | undefined }
  /** The server said that coming back is of no use. */
  | { kind: "stopped"; problem: Problem }
  | { kind: "cut" }
  /** Another window of this page holds the long requests. */
  | { kind: "paused" };

export interface Arrived {
  message: Message;
  /** When it came in, before any waiting for `isCaughtUp`. */
  at: number;
  /** It was published while this client was away. */
  isCaughtUp: boolean;
}

/** Whom a reader tells. */
export interface Audience {
  state(state: State): void;
  message(arrived: Arrived): void;
  gap(gap: Gap): void;
  /** A payload sent in the transport's own connection was refused. */
  refused(problem: Problem): void;
  heartbeat(): void;
  begin(): Span;
}

/** Where a reader reads. */
export interface Source {
  address(query: Record<string, string>): string;
  /** The cursor of the channel's newest message; undefined when there is no answer. */
  head(): Promise<string | undefined>;
}

const history_first = "50";
/** A connection that ends sooner counts as a failure, or a server that hangs up at once would be asked without pause. */
const lasting_ms = 2_000;

export class Reader {
  readonly #transport: Transport;
  readonly #source: Source;
  readonly #audience: Audience;
  readonly #cursor = new Cursor();
  /** Aborted when the client is to let go. Undefined while it does not run. */
  #running: AbortController | undefined;
  /** Aborted to end a wait between two attempts early. */
  #hurry = new AbortController();
  #isUp = false;
  /** The connection was lost after it had stood: what comes next was missed, up to the head at the return. */
  #isAway = false;
  /** What waits for the answer to "where was the head when we came back"; undefined when nobody asked. */
  #waiting: Array<(head: string | undefined) => void> | undefined;
  #problem: Problem | undefined;

  constructor(transport: Transport, source: Source, audience: Audience) {
    this.#transport = transport;
    this.#source = source;
    this.#audience = audience;
  }

  start(): void {
    if (this.#running) return;
    this.#running = new AbortController();
    void this.#live(this.#running.signal);
  }

  /** Lets go of the connection; the cursor stays, so that `start` resumes after it. */
  stop(why: State): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#lost();
    this.#audience.state(why);
  }

  /** The network is back, or the window is visible again: try now. */
  hurry(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
  }

  async #live(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#audience.state({ kind: "connecting" });
      const begun = performance.now();
      const problem = await this.#attempt(signal);
      if (signal.aborted) return;
      const lasted = this.#isUp && performance.now() - begun > lasting_ms;
      failures = lasted ? 0 : failures + 1;
      this.#lost();
      if (problem?.action === "stop") return this.#audience.state({ kind: "stopped", problem });
      const wait_ms = backoff(failures, Math.random(), problem?.retry_after_ms);
      this.#audience.state({ kind: "reconnecting", at: performance.now() + wait_ms });
      await pause(wait_ms, signal, this.#hurry.signal);
    }
  }

  /** One run of the transport; gives the server's reason for its end, where it gave one. */
  async #attempt(signal: AbortSignal): Promise<Problem | undefined> {
    this.#problem = undefined;
    try {
      await this.#transport.run(this.#link(signal), signal);
    } catch (error) {
      if (error instanceof Fault) return error.problem;
    }
    return this.#problem;
  }

  #link(signal: AbortSignal): Link {
    // What still trickles in after an abort belongs to a connection that is no longer ours.
    const live = (step: () => void): void => {
      if (!signal.aborted) step();
    };
    return {
      address: (query = {}) => {
        const cursor = this.#cursor.resume;
        return this.#source.address({
          ...query,
          ...(cursor === undefined ? { last: history_first } : { after: cursor }),
        });
      },
      cursor: () => this.#cursor.resume,
      up: () => live(() => this.#up()),
      down: () =>
        live(() => {
          this.#lost();
          this.#audience.state({ kind: "reconnecting", at: undefined });
        }),
      push: (push) => live(() => this.#push(push)),
      batch: (batch) => live(() => this.#batch(batch)),
      begin: () => this.#audience.begin(),
    };
  }

  #up(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.#audience.state({ kind: "online" });
    if (this.#isAway) this.#askHead();
    this.#isAway = false;
  }

  #lost(): void {
    if (this.#isUp) this.#isAway = true;
    this.#isUp = false;
  }

  /** Asks once where the head is, and holds back what arrives until the answer is there: up to it, everything was missed. */
  #askHead(): void {
    const waiting: Array<(head: string | undefined) => void> = [];
    this.#waiting = waiting;
    void this.#source.head().then((head) => {
      if (this.#waiting === waiting) this.#waiting = undefined;
      for (const step of waiting) step(head);
    });
  }

  #push(push: Push): void {
    switch (push.kind) {
      case "message":
        return this.#take(push.message);
      case "hello":
        return this.#cursor.join(push.hello.cursor);
      case "heartbeat":
        if (push.cursor !== undefined) this.#cursor.beat(push.cursor);
        return this.#audience.heartbeat();
      case "gap":
        return this.#gap(push.gap);
      case "problem":
        if (push.problem.ordinal !== undefined) return this.#audience.refused(push.problem);
        this.#problem = push.problem;
        return;
      case "other":
        return;
    }
  }

  #batch(batch: Batch): void {
    if (batch.gap) this.#gap(batch.gap);
    for (const message of batch.messages) this.#take(message);
    this.#cursor.settle(batch.cursor);
  }

  #take(message: Message): void {
    const before = this.#cursor.resume;
    const arrival = this.#cursor.accept(message.position);
    if (arrival === "duplicate") return;
    // A server that keeps its promise never gets here; a page that shows promises must not hide a broken one.
    if (arrival === "hole")
      this.#show(() =>
        this.#audience.gap({
          reason: "unannounced",
          ...(before ? { after: before } : {}),
          resume_from: message.position,
        }),
      );
    const at = performance.now();
    const isHeldBack = this.#waiting !== undefined;
    this.#show((head) =>
      this.#audience.message({ message, at, isCaughtUp: isHeldBack && isUpTo(message.position, head) }),
    );
  }

  #gap(gap: Gap): void {
    this.#cursor.skip(gap);
    this.#show(() => this.#audience.gap(gap));
  }

  #show(step: (head: string | undefined) => void): void {
    if (this.#waiting) this.#waiting.push(step);
    else step(undefined);
  }
}

/** Whether a message was there already when the head was asked for. No answer: all that came meanwhile counts as missed. */
function isUpTo(position: string, head: string | undefined): boolean {
  const at = parsePosition(position);
  const top = parsePosition(head);
  if (!at || !top) return true;
  return at.epoch === top.epoch && at.offset <= top.offset;
}
