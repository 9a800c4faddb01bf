// `share: tabs()`: the tabs of an origin share one connection. One of them, the leader, connects; it reads for the others and passes
// on what comes. To a sibling the leader is a transport like any other: when it goes, the next leader reads on after the cursors.
// Who leads is decided by Web Locks; what is said goes over a BroadcastChannel.
import { backoff, rest } from "./backoff.ts";
import type { Core } from "./core.ts";
import { asError, passing } from "./error.ts";
import { askJson } from "./http.ts";
import { readMessage } from "./history.ts";
import type { Connection, Share, Transport, Wanted } from "./link.ts";
import { randomId } from "./outbox.ts";
import type { Gap, SubscribeOptions, TransportName } from "./types.ts";
import { pathOf, type Batch, type Push } from "./wire.ts";

/** A tab that dies is noticed by the browser, which gives its lock to another: silence means nothing. */
const silence_ms = 2 ** 31 - 1;

/** What tabs say to each other; `from` and `to` name tabs. */
type Word =
  /** A sibling's wish: read these for me; nothing: I am gone. */
  | { say: "read"; from: string; wanted: Wanted[] }
  /** The leader: I am here, and by this transport; null: I have no connection now. */
  | { say: "here"; leader: string; by: TransportName | null }
  /** The leader has this for one sibling. */
  | { say: "take"; to: string; push: Push }
  | { say: "joined"; to: string; channel: string; cursor: string };

/**
 * The tabs of an origin share one connection. Without Web Locks or BroadcastChannel (Node, pages without TLS) each connects by itself.
 */
export function tabs(): Share {
  return {
    begin(core) {
      if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) {
        core.carryBy(undefined);
        return () => undefined;
      }
      return share(core);
    },
  };
}

function share(core: Core): () => void {
  const name = `efir:${core.base}`;
  const ether = new BroadcastChannel(name);
  const over = new AbortController();
  const say = (word: Word): void => ether.postMessage(word);
  let follower = (_word: Word): void => undefined;
  let leading: Leading | undefined;
  ether.onmessage = ({ data }: MessageEvent<Word>) => {
    follower(data);
    leading?.hear(data);
  };

  core.carryBy([follow(name, say, (hear) => (follower = hear))]);
  // Held for as long as this tab lives; the browser gives it to the next one, however this one ends.
  hold(name, over.signal, () => {
    leading = lead(core, name, say);
    // From now on by our own transports; the sibling's way is left once one of them stands.
    core.carryBy(undefined);
  });

  return () => {
    leading?.stop();
    over.abort();
    ether.close();
  };
}

/** Waits for a lock and keeps it until the signal, or until the tab is no more. */
function hold(name: string, signal: AbortSignal, held: () => void): void {
  navigator.locks
    .request(name, { signal }, () => {
      held();
      return new Promise<void>((done) => signal.addEventListener("abort", () => done()));
    })
    .catch(() => undefined);
}

/** The lock of a sibling: whoever else gets it knows that the sibling is gone. */
const lockOf = (name: string, sibling: string): string => `${name} ${sibling}`;

/** The sibling's side: a transport that reads through the leader. */
function follow(
  name: string,
  say: (word: Word) => void,
  listen: (hear: (word: Word) => void) => void,
): Transport {
  let by: TransportName = "websocket";
  return {
    get name() {
      return by;
    },
    open(link): Connection {
      const from = randomId();
      const over = new AbortController();
      let leader = "";
      let isHeld = false;
      const ask = (): void => {
        if (isHeld) say({ say: "read", from, wanted: link.wanted() });
      };
      listen((word) => {
        if (word.say === "here") {
          if (!word.by) return leader ? link.down(passing("connection_lost")) : undefined;
          by = word.by;
          link.up(silence_ms);
          // A new leader knows nothing of us.
          if (leader && leader !== word.leader) ask();
          leader = word.leader;
        } else if (word.say !== "read" && word.to === from) {
          if (word.say === "take") link.take(word.push);
          else link.joined(word.channel, word.cursor);
        }
      });
      hold(lockOf(name, from), over.signal, () => {
        isHeld = true;
        ask();
      });
      return {
        isLeaseless: true,
        sync: ask,
        wake: ask,
        close() {
          listen(() => undefined);
          say({ say: "read", from, wanted: [] });
          over.abort();
        },
      };
    },
  };
}

interface Leading {
  hear(word: Word): void;
  stop(): void;
}

/** A channel that is read for a sibling. */
interface Served {
  readonly reading: number;
  stop(): void;
}

/** The leader's side: reads for each sibling what it wants, as one more subscriber. */
function lead(core: Core, name: string, say: (word: Word) => void): Leading {
  const leader = randomId();
  const over = new AbortController();
  const siblings = new Map<string, Map<string, Served>>();
  const here = (): void => say({ say: "here", leader, by: core.transport() });
  const off = core.on("transport", here);
  const welcome = (from: string): Map<string, Served> => {
    const served = new Map<string, Served>();
    siblings.set(from, served);
    // A tab that crashed says nothing more.
    navigator.locks
      .request(lockOf(name, from), { signal: over.signal }, () => {
        for (const { stop } of served.values()) stop();
        siblings.delete(from);
      })
      .catch(() => undefined);
    return served;
  };
  // A leader that crashed has not said goodbye: its siblings learn here that they have to ask anew.
  here();

  return {
    hear(word) {
      if (word.say !== "read") return;
      const { from, wanted } = word;
      const served = siblings.get(from) ?? welcome(from);
      // First the word that the way stands: what comes by a way that does not is not listened to.
      here();
      for (const [channel, { reading, stop }] of served) {
        if (wanted.some((one) => one.channel === channel && one.reading === reading)) continue;
        stop();
        served.delete(channel);
      }
      for (const one of wanted)
        if (!served.has(one.channel)) {
          const take = (push: Push): void => say({ say: "take", to: from, push });
          const joined = (cursor: string): void => say({ say: "joined", to: from, channel: one.channel, cursor });
          served.set(one.channel, serve(core, one, take, joined));
        }
    },
    stop() {
      off();
      over.abort();
      say({ say: "here", leader, by: null });
    },
  };
}

/** Reads a channel for a sibling. */
function serve(core: Core, wanted: Wanted, take: (push: Push) => void, joined: (cursor: string) => void): Served {
  const { channel, reading, after, last } = wanted;
  const log = core.log(channel);
  const over = new AbortController();
  const gap = (one: Gap): void => take({ gap: one });

  const begin = (cursor: string, from: SubscribeOptions = { after: cursor }): void => {
    if (cursor !== "start") joined(cursor);
    const off = log.onGap(gap);
    const stop = log.subscribe((message) => take(message as Push), from, gap);
    over.signal.addEventListener("abort", () => (off(), stop()));
  };
  /** Without a cursor the sibling would begin anew where the next leader does, and what came in between be lost: it gets one. */
  const ask = async (): Promise<void> => {
    for (let failures = 1; !over.signal.aborted && !core.over.aborted; failures += 1)
      try {
        const query = channel.includes("/") ? {} : { last: last ?? 0 };
        const { messages, cursor, presence } = await askJson<Batch>(core, pathOf(channel), query);
        if (over.signal.aborted) return;
        const [state] = [presence ?? []].flat();
        if (state) take({ presence: state });
        for (const message of messages) take(readMessage(message) as Push);
        return begin(state?.cursor ?? cursor);
      } catch (thrown) {
        const { problem, retryable } = asError(thrown);
        if (!retryable) return over.signal.aborted ? undefined : take({ problem: { ...problem, channel } });
        await rest(backoff(failures), over.signal);
      }
  };
  // The log is read already, and "from now on" is where it stands.
  const at = log.wanted()[0] && last === undefined && !channel.includes("/") ? log.at() : undefined;
  if (after !== undefined) begin(after);
  else if (at) begin(`${at.epoch}-${at.offset}`, {});
  else void ask();
  return { reading, stop: () => over.abort() };
}
