// How long to wait before the next attempt.

/** Full jitter between 0 and a span that doubles from 0.3 s to 20 s, so that a thousand clients do not come back as one. */
export const backoff = (failures: number): number => Math.random() * Math.min(20_000, 300 * 2 ** (failures - 1));
