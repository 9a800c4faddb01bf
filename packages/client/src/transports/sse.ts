// Server-Sent Events over fetch, so that headers work and a dead path is noticed. Twin of sse in efir-transports.
import type { Transport } from "../link.ts";
import { read, stream, takeTurns } from "../responses.ts";
import type { Push } from "../wire.ts";

export const sse: Transport = {
  name: "sse",
  open: (link) =>
    takeTurns(link, async (wanted, signal) =>
      stream(link, await read(link, wanted, { signal, headers: { Accept: "text/event-stream" } }), parseEvents()),
    ),
};

/** Gives the events that each piece of the stream completes. Ids are passed over: every message has its position, and is one line. */
export function parseEvents(): (text: string) => Push[] {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop()!;
    return blocks.flatMap((block) => {
      const name = fieldOf(block, "event");
      const value = fieldOf(block, "data");
      if (!value) return [];
      const inner = JSON.parse(value) as Push;
      return name ? { [name]: inner } : inner;
    });
  };
}

const fieldOf = (block: string, name: string): string | undefined =>
  new RegExp(`(?:^|\n)${name}: ?([^\r\n]*)`).exec(block)?.[1];
