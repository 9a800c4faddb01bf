// HTTP streaming: one response that does not end, one JSON object a line. Twin of http_stream in efir-transports.
import type { Transport } from "../link.ts";
import { read, stream, takeTurns } from "../responses.ts";
import type { Push } from "../wire.ts";

export const httpStream: Transport = {
  name: "http-stream",
  open: (link) =>
    takeTurns(link, async (wanted, signal) =>
      stream(link, await read(link, wanted, { signal, headers: { Accept: "application/x-ndjson" } }), parseLines()),
    ),
};

/** Gives the objects that each piece of the stream completes. */
export function parseLines(): (text: string) => Push[] {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    return lines.filter((line) => line.trim()).map((line) => JSON.parse(line) as Push);
  };
}
