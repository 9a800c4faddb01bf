// Latencies of one transport in one run: quantiles over all of it, and second by second. A message counts for the second in which it
// was to be published, so that a cut shows as the ramp that it is. Knows neither clocks nor transports.

/** A second of the run, in milliseconds of latency. */
export interface Point {
  second: number;
  p50: number;
  p99: number;
}

interface Second {
  latencies: number[];
  /** Undefined when something came in since. */
  point: Point | undefined;
}

export class Samples {
  readonly #seconds = new Map<number, Second>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `at_s`: seconds from the run's beginning to the planned publishing. */
  add(at_s: number, latency_ms: number): void {
    const index = Math.max(0, Math.floor(at_s));
    const second = this.#seconds.get(index) ?? { latencies: [], point: undefined };
    // A clock that is a little off may make a fast message arrive before it was sent.
    second.latencies.push(Math.max(0, latency_ms));
    second.point = undefined;
    this.#seconds.set(index, second);
    this.#count += 1;
  }

  /** Undefined while there are none. */
  quantiles(): { p50: number; p99: number } | undefined {
    if (this.#count === 0) return undefined;
    const all = new Float64Array(this.#count);
    let at = 0;
    for (const { latencies } of this.#seconds.values()) {
      all.set(latencies, at);
      at += latencies.length;
    }
    return quantilesOf(all);
  }

  points(): Point[] {
    const points: Point[] = [];
    for (const [second, one] of this.#seconds) {
      one.point ??= { second, ...quantilesOf(Float64Array.from(one.latencies)) };
      points.push(one.point);
    }
    return points.sort((a, b) => a.second - b.second);
  }
}

/** Sorts in place. */
function quantilesOf(latencies: Float64Array): { p50: number; p99: number } {
  latencies.sort();
  return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
}

/** The nearest rank of sorted numbers: always one that was measured. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.ceil(share * sorted.length);
  return sorted[Math.max(0, rank - 1)] ?? 0;
}
