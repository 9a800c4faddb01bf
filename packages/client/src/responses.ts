// What the four transports that are HTTP requests have in common: one request after the other for the channels that are wanted, and
// a new one whenever they change. Cursors make each of them whole.
import { rest } from "./backoff.ts";
import { asError, passing } from "./error.ts";
import { ask, type Query } from "./http.ts";
import type { Connection, Link, Wanted } from "./link.ts";
import { pathOf, type Push } from "./wire.ts";

/** How much longer than a heartbeat's time, or a hold, silence may last. */
export const patience_ms = 5_000;
/** A response that ends sooner, without a message, is a failure. */
const lasting_ms = 2_000;

/** While nobody reads anything nothing is open; the server is asked for a word so often. */
export const idle_ms = 15_000;

/** One request and its answer. */
export type Turn = (wanted: Wanted[], signal: AbortSignal, isFirst: boolean) => Promise<void>;

/** Takes turns until closed. */
export function takeTurns(link: Link, turn: Turn): Connection {
  let running = new AbortController();
  let asked = "";

  const list = (wanted: Wanted[]): string =>
    JSON.stringify(wanted.map(({ channel, reading, lease }) => [channel, reading, lease]));

  const run = async (): Promise<void> => {
    for (let isFirst = true; ; isFirst = false) {
      // One for each turn: listeners do not gather.
      running.abort();
      const { signal } = (running = new AbortController());
      const wanted = link.wanted();
      asked = list(wanted);
      try {
        if (wanted[0]) await turn(wanted, signal, isFirst);
        else {
          await (await ask(link, "info", {}, { signal })).json();
          link.up(idle_ms + patience_ms);
          await rest(idle_ms, signal);
        }
      } catch (thrown) {
        const error = asError(thrown, "connection_lost");
        const { problem } = error;
        if (signal.aborted) return;
        if (!problem.channel || error.retryable) return link.down(error);
        // A name that is refused is no reason to leave the other channels.
        link.up(idle_ms + patience_ms);
        link.take({ problem });
      }
      if (signal.aborted) return;
    }
  };
  void run();

  return {
    sync() {
      if (list(link.wanted()) !== asked) void run();
    },
    wake: run,
    close: () => running.abort(),
  };
}

/** Asks for the channels, each after its cursor: one by its own address, several by /subscribe. */
export function read(link: Link, wanted: Wanted[], init: RequestInit, query: Query = {}): Promise<Response> {
  const { channel, after, last, lease } = wanted[0]!;
  if (!wanted[1] && !lease) return ask(link, pathOf(channel), { after, last, ...query }, init);
  const body = JSON.stringify({
    channels: wanted.map(({ channel, after, last, lease }) => ({ channel, after, last, enter: lease && true })),
    member: wanted.find((one) => one.lease)?.lease,
  });
  // Sent as text, which needs no preflight across origins.
  return ask(link, "subscribe", query, { ...init, method: "POST", body });
}

/** The first word of a stream or socket: it stands, and each channel that it names begins there. */
export function takeHello(link: Link, { hello }: Push): void {
  if (!hello) return;
  link.up(hello.heartbeat_ms + patience_ms);
  for (const one of hello.channels ?? [hello]) link.joined(one.channel!, one.cursor!);
}

/**
 * Reads a response that does not end, piece by piece; `parse` gives what each piece completes.
 *
 * Rejects when it failed or ended at once.
 */
export async function stream(link: Link, response: Response, parse: (text: string) => Push[]): Promise<void> {
  const begun = performance.now();
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    link.heard();
    for (const push of parse(decoder.decode(value, { stream: true }))) {
      takeHello(link, push);
      link.take(push);
    }
  }
  if (performance.now() - begun < lasting_ms) throw passing("connection_lost");
}
