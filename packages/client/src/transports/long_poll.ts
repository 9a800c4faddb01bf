// Long polling: the request hangs until a message comes or the hold time is over; the next one starts at once. Twin of long_poll in
// efir-transports.
import type { Transport } from "../link.ts";
import { fromNow, poll } from "../polls.ts";
import { patience_ms, takeTurns } from "../responses.ts";

/** With the patience on top a dead path is noticed within 20 s. */
const hold_s = 15;
const rest = { rest_ms: 0, silence_ms: hold_s * 1000 + patience_ms };

export const longPoll: Transport = {
  name: "long-poll",
  open: (link) =>
    takeTurns(link, (wanted, signal, isFirst) => {
      // The first request, and one that has a channel to join, is answered at once: from then on there is a cursor to wait after.
      const isAtOnce = isFirst || wanted.some((one) => one.after === undefined);
      const query = isAtOnce ? { transport: "short-poll" } : { wait: hold_s };
      // Who is answered at once is not here by long polling yet: the lease goes with the next one.
      const asked = isAtOnce ? wanted.map((one) => ({ ...fromNow(one), lease: undefined })) : wanted;
      return poll(link, asked, { signal, query }, () => rest);
    }),
};
