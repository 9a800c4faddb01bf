// Waiting for something to become true, with words for the case that it does not. The only way in which these tests wait.

const look_again_ms = 40;

/**
 * Looks until `look` gives something truthy, and gives that; fails with `what` and what was seen last.
 * `look` may also throw: its error is then what was seen.
 */
export async function until(what, look, { within_ms = 30_000, seen = (last) => last } = {}) {
  const deadline = performance.now() + within_ms;
  for (;;) {
    let last;
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const shown = last instanceof Error ? last.message : JSON.stringify(await seen(last));
      throw new Error(`not within ${within_ms / 1000} s: ${what}; seen last: ${shown}`, last instanceof Error ? { cause: last } : {});
    }
    await new Promise((next) => setTimeout(next, look_again_ms));
  }
}
