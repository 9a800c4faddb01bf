// Latency from publish to own receipt, on this page's clock alone. The newest samples only, so that the figure follows the present.

const samples_max = 101;

export interface Latency {
  last_ms: number;
  median_ms: number;
}

export class LatencySamples {
  #samples: number[] = [];

  /** Takes a sample and gives the figures with it. */
  add(sample_ms: number): Latency {
    this.#samples.push(sample_ms);
    if (this.#samples.length > samples_max) this.#samples.shift();
    return { last_ms: sample_ms, median_ms: median(this.#samples) };
  }

  clear(): void {
    this.#samples = [];
  }
}

/** The middle one; of an even number the mean of the middle two; 0 of none. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? 0) + upper) / 2;
}
