// How long to wait before the next attempt, and the waiting.

/** Full jitter between 0 and a span that doubles from 0.3 s to 20 s, so that a thousand clients do not come back as one. */
export const backoff = (failures: number): number => Math.random() * Math.min(20_000, 300 * 2 ** (failures - 1));

/** Waits; what the signal ends it waits no longer for. */
export async function rest(ms: number, signal: AbortSignal): Promise<void> {
  let wake!: () => void;
  const woken = new Promise<void>((done) => (wake = done));
  const timer = setTimeout(wake, ms);
  signal.addEventListener("abort", wake);
  await woken;
  clearTimeout(timer);
  signal.removeEventListener("abort", wake);
}
