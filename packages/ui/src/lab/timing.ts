// Where in time the arrows of a whiteboard begin and end. A way of a fraction of a millisecond would be a level line on which question
// and answer lie on each other, so short ways are drawn longer, and what follows from them later: the order stays true. Pure.
import type { Ask, Flight, Sent, Track } from "./track.ts";

/** Begins at the client, is at the server, leaves it, is back. */
export interface DrawnAsk {
  ask: Ask;
  begin: number;
  arrive: number;
  /** Undefined while it is open. */
  leave: number | undefined;
  end: number | undefined;
}

export interface DrawnSent {
  sent: Sent;
  arrive: number;
  leave: number | undefined;
  end: number | undefined;
}

export interface DrawnFlight {
  flight: Flight;
  leave: number;
  end: number;
}

/** The least way that is drawn, as a share of the time shown. */
const least_share = 0.025;
/** Never later than this share of the time shown: quick polls would pile up. */
const late_share = 0.06;

export class Timing {
  readonly #least_ms: number;
  readonly #late_ms: number;
  readonly #sent: readonly DrawnSent[];
  /** While these are drawn on their way, nothing that follows from them leaves the server. */
  readonly #ways: ReadonlyArray<{ begin: number; arrive: number }>;

  constructor({ track, span_ms, isPoll }: { track: Track; span_ms: number; isPoll: boolean }, from: number) {
    this.#late_ms = span_ms * late_share;
    this.#least_ms = Math.min(span_ms * least_share, pace(track.asks, from) / 4);
    this.#sent = track.sent
      .filter((sent) => (sent.end ?? sent.begin) >= from - this.#late_ms)
      .map((sent) => this.#send(sent));
    // A poll's answers are put in order with their questions below; a stream has one question, and all its messages after it.
    const opened = isPoll ? [] : track.asks.filter(({ begin }) => begin >= from - this.#late_ms);
    this.#ways = [
      ...this.#sent.map(({ sent, arrive }) => ({ begin: sent.begin, arrive })),
      // A little before its beginning, too: an EventSource that came back by itself says so together with its first message.
      ...opened.map(({ begin, way_ms }) => ({
        begin: begin - way_ms - 2,
        arrive: begin + Math.max(way_ms, this.#least_ms),
      })),
    ];
  }

  get sent(): readonly DrawnSent[] {
    return this.#sent;
  }

  /** One after the other: a client asks again when the answer before is there. */
  asks(asks: readonly Ask[], isPoll: boolean): DrawnAsk[] {
    let free = Number.NEGATIVE_INFINITY;
    return asks.map((ask) => {
      const begin = free - ask.begin < this.#late_ms ? Math.max(ask.begin, free) : ask.begin;
      const way = Math.max(ask.way_ms, this.#least_ms);
      const arrive = begin + way;
      if (ask.end === undefined) return { ask, begin, arrive, leave: undefined, end: undefined };
      // A stream is cut or let go: there is no answer on its way.
      if (!isPoll || ask.outcome === "ended" || ask.outcome === "failed") return { ask, begin, arrive, leave: ask.end, end: ask.end };
      const leave = Math.max(this.#after(ask.end - ask.way_ms), arrive);
      const end = leave + way;
      free = end;
      return { ask, begin, arrive, leave, end };
    });
  }

  flight(flight: Flight): DrawnFlight {
    const leave = this.#after(Math.max(flight.planned, flight.at - flight.way_ms));
    return { flight, leave, end: leave + Math.max(flight.way_ms, this.#least_ms) };
  }

  #send(sent: Sent): DrawnSent {
    const way = Math.max(sent.way_ms, this.#least_ms);
    const arrive = sent.begin + way;
    if (sent.isFrame || sent.end === undefined) return { sent, arrive, leave: undefined, end: undefined };
    // A little after what it caused: otherwise the two would lie on each other.
    const leave = Math.max(sent.end - sent.way_ms, arrive) + this.#least_ms * 0.7;
    return { sent, arrive, leave, end: leave + way };
  }

  /** What the server tells because of what came from here cannot leave before that is drawn to arrive. */
  #after(leave: number): number {
    for (const { begin, arrive } of this.#ways) if (leave >= begin && leave < arrive) return arrive;
    return leave;
  }
}

/** Milliseconds between two requests as they come now. */
function pace(asks: readonly Ask[], from: number): number {
  const begins = asks.map(({ begin }) => begin).filter((begin) => begin >= from);
  const [first, last] = [begins[0], begins.at(-1)];
  if (first === undefined || last === undefined || begins.length < 3) return Number.POSITIVE_INFINITY;
  return (last - first) / (begins.length - 1);
}
