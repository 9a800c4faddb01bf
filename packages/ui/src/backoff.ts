// How long to wait before the next attempt: full jitter, so that a thousand readers of a restarted server do not come back as one.

const base_ms = 400;
const ceiling_ms = 5_000;

/** Milliseconds before attempt `failures` + 1; `random` in [0, 1). The server's own wish (`retry_after_ms`) is the floor. */
export function backoff(failures: number, random: number, floor_ms = 0): number {
  const span = Math.min(ceiling_ms, base_ms * 2 ** Math.min(failures, 16));
  return Math.round(floor_ms + random * span);
}

/** Waits; resolves early when aborted or when `hurry` is aborted. */
export function pause(ms: number, signal: AbortSignal, hurry?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      hurry?.removeEventListener("abort", finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish);
    hurry?.addEventListener("abort", finish);
  });
}
