// Server-Sent Events over fetch, so that headers work and a dead path is noticed. Twin of sse in efir-transports.
import type { Transport } from "../link.ts";
import { read, splitLines, stream, takeTurns } from "../responses.ts";
import type { Push } from "../wire.ts";

export const sse: Transport = {
  name: "sse",
  open: (link) =>
    takeTurns(link, async (wanted, signal) =>
      stream(link, await read(link, wanted, { signal, headers: { Accept: "text/event-stream" } }), parseEvents()),
    ),
};

/** Gives the events that each piece of the stream completes. Ids are passed over: every message has its position. */
export function parseEvents(): (text: string) => Push[] {
  const lines = splitLines();
  let name = "";
  let value = "";
  return (text) => {
    const pushes: Push[] = [];
    for (const line of lines(text)) {
      const [, field, rest] = /^(event|data): ?(.*)$/s.exec(line) ?? [];
      if (field === "event") name = rest!;
      else if (field === "data") value += rest!;
      else if (!line) {
        if (value) {
          const inner = JSON.parse(value) as Push;
          pushes.push(name ? { [name]: inner } : inner);
        }
        name = value = "";
      }
    }
    return pushes;
  };
}
