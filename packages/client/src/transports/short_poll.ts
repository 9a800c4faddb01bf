// AJAX polling: ask, get what there is (mostly nothing), wait, ask again. Twin of short_poll in efir-transports.
import type { Transport } from "../link.ts";
import { fromNow, poll } from "../polls.ts";
import { takeTurns } from "../responses.ts";

const interval_ms = 2_000;
/** How long an answer may take. */
const answer_ms_max = 18_000;

export const shortPoll: Transport = {
  name: "short-poll",
  open: (link) =>
    takeTurns(link, (wanted, signal) =>
      poll(link, wanted.map(fromNow), { signal, query: {} }, ({ more }, { headers }) => {
        const rest_ms = more ? 0 : Number(headers.get("Retry-After")) * 1000 || interval_ms;
        return { rest_ms, silence_ms: rest_ms + answer_ms_max };
      }),
    ),
};
