// How far the server's clock is from this page's: of several short exchanges the fastest tells best, since its ways there and back
// differ least (as NTP chooses). Knows no fetch; whoever calls it brings the question.

/** One question for the time: when it was sent, what the server said, when the answer came. Milliseconds since 1970. */
export interface Exchange {
  sent: number;
  server: number;
  received: number;
}

export interface Clock {
  /** Server's clock minus ours. The error is at most half of `round_trip_ms`. */
  offset_ms: number;
  round_trip_ms: number;
}

const rounds = 12;

/** This page's clock, finer than `Date.now()`. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export async function readClock(ask: () => Promise<number>, ours: () => number = now): Promise<Clock> {
  const exchanges: Exchange[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const sent = ours();
    const server = await ask();
    exchanges.push({ sent, server, received: ours() });
  }
  return bestOf(exchanges);
}

/** The offset by the exchange with the shortest round trip. */
export function bestOf(exchanges: readonly Exchange[]): Clock {
  let best: Clock = { offset_ms: 0, round_trip_ms: Number.POSITIVE_INFINITY };
  for (const { sent, server, received } of exchanges) {
    const round_trip_ms = received - sent;
    if (round_trip_ms < best.round_trip_ms) best = { offset_ms: server - (sent + received) / 2, round_trip_ms };
  }
  return best;
}
