// What went between client and server over one transport, for the sequence view: requests with their ends, messages on their way,
// what the client sent itself. Times are `performance.now()` of this page, the server's turned into it. Knows no canvas.
import type { Span } from "../transports/transport.ts";

export type Outcome = "open" | "messages" | "empty" | "ended" | "failed";

/** A request, or for a socket the connection. */
export interface Ask {
  begin: number;
  /** Undefined while it is open. */
  end: number | undefined;
  outcome: Outcome;
  /** How many messages its answer brought; a stream's come one by one and are not counted here. */
  messages: number;
  /** How long a way took about then, in milliseconds. */
  way_ms: number;
}

export interface Flight {
  /** When it was to be published. */
  planned: number;
  /** When it was here. */
  at: number;
  way_ms: number;
}

/** A payload from this page: over HTTP a request of its own with an end, in a socket a frame without. */
export interface Sent {
  begin: number;
  end: number | undefined;
  isFrame: boolean;
  way_ms: number;
}

export const kept_ms = 60_000;
/** So that a fast run cannot fill the memory of a phone; at 200 messages a second it is 40 s. */
const flights_max = 8_000;

export class Track {
  asks: Ask[] = [];
  flights: Flight[] = [];
  sent: Sent[] = [];
  /** Messages that came since the last answer ended. */
  #batch = 0;
  #way_ms: () => number;

  constructor(way_ms: () => number) {
    this.#way_ms = way_ms;
  }

  begin(): Span {
    const ask: Ask = {
      begin: performance.now(),
      end: undefined,
      outcome: "open",
      messages: 0,
      way_ms: this.#way_ms(),
    };
    this.asks.push(ask);
    this.#batch = 0;
    return {
      end: (outcome) => {
        if (ask.end !== undefined) return;
        ask.end = performance.now();
        ask.outcome = outcome;
        ask.messages = outcome === "messages" ? this.#batch : 0;
        this.#batch = 0;
      },
    };
  }

  arrive(planned: number, at: number): void {
    this.#batch += 1;
    this.flights.push({ planned, at, way_ms: this.#way_ms() });
    if (this.flights.length > flights_max) this.flights.splice(0, flights_max / 4);
  }

  /** Gives how to say that the server has answered. */
  send(isFrame: boolean): () => void {
    const sent: Sent = { begin: performance.now(), end: undefined, isFrame, way_ms: this.#way_ms() };
    this.sent.push(sent);
    return () => (sent.end = performance.now());
  }

  /** Forgets what is older than anybody can look back. */
  trim(now: number): void {
    const start = now - kept_ms;
    if ((this.asks[0]?.end ?? now) < start)
      this.asks = this.asks.filter(({ end }) => end === undefined || end >= start);
    if ((this.flights[0]?.at ?? now) < start) this.flights = this.flights.filter(({ at }) => at >= start);
    if ((this.sent[0]?.begin ?? now) < start) this.sent = this.sent.filter(({ begin }) => begin >= start);
  }

  clear(): void {
    this.asks = [];
    this.flights = [];
    this.sent = [];
    this.#batch = 0;
  }
}

/** The messages of a run that any lane has seen, by ordinal, with the time at which they were to be published. */
export class Plans {
  readonly #planned = new Map<number, number>();

  note(ordinal: number, planned: number): void {
    if (!this.#planned.has(ordinal)) this.#planned.set(ordinal, planned);
  }

  /** Those planned in a span of time that a lane has not got. */
  missing(from: number, to: number, has: (ordinal: number) => boolean): number[] {
    const times: number[] = [];
    for (const [ordinal, planned] of this.#planned)
      if (planned >= from && planned <= to && !has(ordinal)) times.push(planned);
    return times;
  }

  clear(): void {
    this.#planned.clear();
  }
}
