// AJAX polling: ask, get what there is (mostly nothing), wait, ask again. Twin of short_poll in efir-transports.
import { pause } from "../backoff.ts";
import type { Batch } from "../wire.ts";
import { request, type Link, type Transport } from "./transport.ts";

const interval_ms = 2_000;
const answer_ms_max = 8_000;

export function shortPoll(): Transport {
  return {
    isHeld: false,
    async run(link, signal) {
      while (!signal.aborted) {
        const rest_ms = await ask(link, signal);
        await pause(rest_ms, signal);
      }
    },
  };
}

/** One request; gives how long to wait before the next one (the server's `Retry-After`). */
async function ask(link: Link, signal: AbortSignal): Promise<number> {
  const span = link.begin();
  try {
    const cursor = link.cursor();
    // The entity tag of a poll is its cursor: when nothing came, 304 saves even the empty batch.
    const headers: Record<string, string> = cursor === undefined ? {} : { "If-None-Match": `"${cursor}"` };
    const response = await request(
      link.address(),
      AbortSignal.any([signal, AbortSignal.timeout(answer_ms_max)]),
      headers,
    );
    link.up();
    const rest_ms = Number(response.headers.get("Retry-After") ?? "0") * 1000 || interval_ms;
    if (response.status === 304) {
      span.end("empty");
      return rest_ms;
    }
    const batch = (await response.json()) as Batch;
    link.batch(batch);
    span.end(batch.messages.length > 0 || batch.gap ? "messages" : "empty");
    return batch.more ? 0 : rest_ms;
  } catch (error) {
    span.end(signal.aborted ? "ended" : "failed");
    throw error;
  }
}
