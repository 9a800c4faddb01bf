// Server-Sent Events over fetch, so that headers work and a dead path is noticed. Twin of sse in efir-transports.
// `eventSource` is the same through the browser's own EventSource, which can send no headers: it shows a ticket instead of a token.
import { rest } from "../backoff.ts";
import { asError, passing } from "../error.ts";
import { ask, askJson } from "../http.ts";
import type { Connection, Link, Transport, Wanted } from "../link.ts";
import { idle_ms, patience_ms, read, stream, takeHello, takeTurns } from "../responses.ts";
import { tokenOf } from "../token.ts";
import { pathOf, type Push } from "../wire.ts";

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
  new RegExp(`(^|\n)${name}: ?([^\r\n]*)`).exec(block)?.[2];

/** For `transports: [websocket, eventSource, …]`; its name is `sse`, too. `last` and `start` only while one channel is read. */
export const eventSource: Transport = {
  name: "sse",
  isUsable: () => !!globalThis.EventSource,
  open: openSource,
};

function openSource(link: Link): Connection {
  let source: EventSource | undefined;
  let asked = "";
  let hasTicket = false;
  let waiting = new AbortController();
  const close = (): void => {
    waiting.abort();
    source?.close();
  };
  /** Without a channel there is no stream; the server is asked for a word now and then. */
  const idle = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await (await ask(link, "info", {}, { signal })).json();
      link.up(idle_ms + patience_ms);
      await rest(idle_ms, signal);
    }
  };
  const listen = async (): Promise<void> => {
    close();
    const { signal } = (waiting = new AbortController());
    const wanted = link.wanted();
    asked = listOf(wanted);
    try {
      if (!wanted[0]) return await idle(signal);
      const ticket = await ticketFor(link, wanted);
      hasTicket = !!ticket;
      if (!signal.aborted) begin(addressOf(link, wanted, ticket));
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asError(thrown, "connection_lost");
      const { problem } = error;
      if (!problem.channel || error.retryable) return link.down(error);
      // A channel that is refused is no reason to leave the others: they are asked for without it.
      link.up(idle_ms + patience_ms);
      link.take({ problem });
    }
  };
  const begin = (address: string): void => {
    source = new EventSource(link.base + address);
    // It would come back by itself, with no more than what it was asked for first; coming back is the client's.
    source.onerror = () => {
      close();
      link.down(passing("connection_lost"));
    };
    for (const name of ["message", "hello", "heartbeat", "gap", "problem", "presence"])
      source.addEventListener(name, ({ data }: MessageEvent<string>) => {
        link.heard();
        const inner = JSON.parse(data) as Push;
        const push: Push = name === "message" ? inner : { [name]: inner };
        takeHello(link, push);
        link.take(push);
      });
  };
  void listen();
  return {
    sync: () => {
      if (listOf(link.wanted()) !== asked) void listen();
    },
    // Tickets only read.
    get isLeaseless() {
      return hasTicket;
    },
    wake: listen,
    close,
  };
}

/** A ticket to read these channels with; nothing where there is no token, or the server wants none. */
async function ticketFor(link: Link, wanted: Wanted[]): Promise<string | undefined> {
  if (!(await link.token())) return undefined;
  const body = JSON.stringify({ channels: wanted.map(({ channel }) => channel) });
  try {
    return (await askJson<{ ticket: string }>(link, "tickets", {}, { method: "POST", body })).ticket;
  } catch (thrown) {
    const error = asError(thrown);
    if (error.code === "not_found") return undefined;
    throw error;
  }
}

const listOf = (wanted: Wanted[]): string =>
  JSON.stringify(wanted.map(({ channel, reading, lease }) => [channel, reading, lease]));

function addressOf({ client }: Link, wanted: Wanted[], ticket: string | undefined): string {
  const [only] = wanted;
  const query = new URLSearchParams({ client });
  if (ticket) query.set("ticket", ticket);
  const lease = ticket ? undefined : wanted.find((one) => one.lease)?.lease;
  if (lease) {
    query.set("member", lease.id);
    if (lease.name !== undefined) query.set("name", lease.name);
    if (lease.data !== undefined) query.set("data", JSON.stringify(lease.data));
  }
  if (only && wanted.length === 1) {
    if (only.after !== undefined) query.set("after", only.after);
    else if (only.last !== undefined) query.set("last", String(only.last));
    return `${pathOf(only.channel)}?${query}`;
  }
  for (const one of wanted) {
    query.append("channel", one.channel);
    if (lease && one.lease) query.append("enter", one.channel);
  }
  const token = tokenOf(wanted.filter((one) => one.after !== "start"));
  if (token) query.set("after", token);
  return `subscribe?${query}`;
}
