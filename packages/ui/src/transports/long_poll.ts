// Long polling: the request hangs until a message comes or the hold time is over; the next one starts at once.
// Twin of long_poll in efir-transports.
import type { Batch } from "../wire.ts";
import { request, type Link, type Transport } from "./transport.ts";

const hold_s = 25;
/** The first request of a connection holds only briefly: its answer is what tells that the connection stands. */
const first_hold_s = 1;
const patience_ms = 5_000;

export function longPoll(): Transport {
  return {
    isHeld: true,
    async run(link, signal) {
      let hold = first_hold_s;
      while (!signal.aborted) {
        await hang(link, hold, signal);
        hold = hold_s;
      }
    },
  };
}

async function hang(link: Link, hold: number, signal: AbortSignal): Promise<void> {
  const span = link.begin();
  try {
    const patience = AbortSignal.timeout(hold * 1000 + patience_ms);
    const response = await request(link.address({ wait: String(hold) }), AbortSignal.any([signal, patience]));
    const batch = (await response.json()) as Batch;
    link.up();
    link.batch(batch);
    span.end(batch.messages.length > 0 || batch.gap ? "messages" : "empty");
  } catch (error) {
    span.end(signal.aborted ? "ended" : "failed");
    throw error;
  }
}
