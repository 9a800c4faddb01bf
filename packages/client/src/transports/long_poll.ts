// Long polling: the request hangs until a message comes or the hold time is over; the next one starts at once. Twin of long_poll in
// efir-transports.
import type { Transport } from "../link.ts";
import { fromNow, poll } from "../polls.ts";
import { patience_ms, takeTurns } from "../responses.ts";

/** With the patience on top a dead path is noticed within 20 s. */
const hold_s = 15;
const silence_ms = hold_s * 1000 + patience_ms;
/** Whoever holds no request, but answers each at once with nothing, is not asked more often. */
const empty_ms = 1_000;

export const longPoll: Transport = {
  name: "long-poll",
  open: (link) =>
    takeTurns(link, (wanted, signal, isFirst) => {
      // The first request, and one that has a channel to join, is answered at once: from then on there is a cursor to wait after.
      const isAtOnce = isFirst || wanted.some((one) => one.after === undefined);
      const query = isAtOnce ? { transport: "short-poll" } : { wait: hold_s };
      // Who is answered at once is not here by long polling yet: the lease goes with the next one.
      const asked = isAtOnce ? wanted.map((one) => ({ ...fromNow(one), lease: undefined })) : wanted;
      const begun = performance.now();
      return poll(link, asked, { signal, query }, ({ messages }) => {
        const isHeld = isAtOnce || messages.length > 0 || performance.now() - begun > empty_ms;
        return { rest_ms: isHeld ? 0 : empty_ms, silence_ms };
      });
    }),
};
