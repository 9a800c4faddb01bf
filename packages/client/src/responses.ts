// What the four transports that are HTTP requests have in common: one request after the other for the channels that are wanted, and
// a new one whenever they change. Cursors make each of them whole.
import { EfirError, isFinal, passing, refused } from "./error.ts";
import { ask } from "./http.ts";
import type { Connection, Link, Wanted } from "./link.ts";
import { pathOf, type Problem, type Push } from "./wire.ts";

/** How much longer than a heartbeat's time, or a hold, silence may last. */
export const patience_ms = 5_000;
/** A response that ends sooner, without a message, is a failure. */
const lasting_ms = 2_000;

/** Nothing is open, so nothing can be silent. */
const idle_ms = 2 ** 31 - 1;

/** One request and its answer; gives how many ms to rest before the next one. */
export type Turn = (wanted: Wanted[], signal: AbortSignal, isFirst: boolean) => Promise<number>;

/** Takes turns until closed. */
export function takeTurns(link: Link, turn: Turn): Connection {
  let running = new AbortController();
  let asked = "";
  let isClosed = false;

  const list = (wanted: Wanted[]): string =>
    JSON.stringify(wanted.map(({ channel, reading, lease }) => [channel, reading, lease]));

  const run = async (): Promise<void> => {
    running.abort();
    const { signal } = (running = new AbortController());
    try {
      for (let isFirst = true; !signal.aborted; isFirst = false) {
        const wanted = link.wanted();
        asked = list(wanted);
        if (!wanted.length) return await idle(link, signal);
        await rest(await turn(wanted, signal, isFirst).catch(ofOneChannel(link, wanted)), signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      isClosed = true;
      link.down(error instanceof EfirError ? error : passing("connection_lost", error));
    }
  };
  void run();

  return {
    sync() {
      if (!isClosed && list(link.wanted()) !== asked) void run();
    },
    wake() {
      if (!isClosed) void run();
    },
    close() {
      isClosed = true;
      running.abort();
    },
  };
}

/** Asks for the channels, each after its cursor: one by its own address, several by /subscribe. */
export function read(link: Link, wanted: Wanted[], init: RequestInit, query = ""): Promise<Response> {
  const [only] = wanted;
  if (only && wanted.length === 1 && !only.lease) {
    const { after, last } = only;
    const begin = after !== undefined ? `after=${after}` : last !== undefined ? `last=${last}` : "";
    const all = [begin, query].filter(Boolean).join("&");
    return ask(link, pathOf(only.channel) + (all && `?${all}`), init);
  }
  const lease = wanted.find((one) => one.lease)?.lease;
  const body = JSON.stringify({
    channels: wanted.map(({ channel, after, last, lease }) => ({ channel, after, last, enter: lease && true })),
    member: lease,
  });
  // Sent as text, which needs no preflight across origins.
  return ask(link, `subscribe${query && `?${query}`}`, { ...init, method: "POST", body });
}

/**
 * Reads a response that does not end, piece by piece; `parse` gives what each piece completes. Gives 0 when it has ended in good
 * order.
 *
 * Rejects when it failed, ended at once, or the server said why it ends.
 */
export async function stream(link: Link, response: Response, parse: (text: string) => Push[]): Promise<number> {
  const begun = performance.now();
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let reason: Problem | undefined;
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) break;
    link.heard();
    for (const push of parse(decoder.decode(piece.value, { stream: true }))) {
      const { hello, problem } = push;
      if (hello) {
        link.up(hello.heartbeat_ms + patience_ms);
        for (const one of hello.channels ?? [hello]) link.joined(one.channel!, one.cursor!);
      }
      if (problem && !problem.channel) reason = problem;
      link.take(push);
    }
  }
  if (reason) throw refused(reason);
  if (performance.now() - begun < lasting_ms) throw passing("connection_lost");
  return 0;
}

/** Cuts text into lines. A piece may end anywhere. */
export function splitLines(): (text: string) => string[] {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    return lines.map((line) => line.replace(/\r$/, ""));
  };
}

/** No channel: the server is asked for a word, and there is nothing to be dead or alive until there is one. */
async function idle(link: Link, signal: AbortSignal): Promise<void> {
  await (await ask(link, "info", { signal })).arrayBuffer();
  if (!signal.aborted) link.up(idle_ms);
}

/** A refusal of the only channel is no refusal of the connection. */
const ofOneChannel =
  (link: Link, wanted: Wanted[]) =>
  (error: unknown): number => {
    const [only] = wanted;
    if (!only || wanted.length > 1 || !isFinal(error) || !/^invalid_c/.test(error.code)) throw error;
    link.up(idle_ms);
    link.take({ problem: { ...error.problem!, channel: only.channel } });
    return 0;
  };

function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (!ms || signal.aborted) return done();
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    }
    signal.addEventListener("abort", end);
  });
}

