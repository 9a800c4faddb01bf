// HTTP streaming: one response that does not end, one JSON object a line. Twin of http_stream in efir-transports.
import type { Transport } from "../link.ts";
import { read, splitLines, stream, takeTurns } from "../responses.ts";
import type { Push } from "../wire.ts";

export const httpStream: Transport = {
  name: "http-stream",
  open: (link) =>
    takeTurns(link, async (wanted, signal) => {
      const lines = splitLines();
      const response = await read(link, wanted, { signal, headers: { Accept: "application/x-ndjson" } });
      return stream(link, response, (text) => lines(text).filter(Boolean).map((line) => JSON.parse(line) as Push));
    }),
};
