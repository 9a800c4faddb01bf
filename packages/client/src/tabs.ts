// `share: tabs()`: the tabs of an origin share one connection. One of them, the leader, connects; it reads for the others and passes
// on what comes. To a sibling the leader is a transport like any other: when it goes, the next leader reads on after the cursors.
// Who leads is decided by Web Locks; what is said goes over a BroadcastChannel.
import type { Core } from "./core.ts";
import { asError, passing } from "./error.ts";
import { askJson } from "./http.ts";
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

  core.carryBy([follow(say, (hear) => (follower = hear))]);
  // Held for as long as this tab lives; the browser gives it to the next one, however this one ends.
  void navigator.locks
    .request(name, { signal: over.signal }, () => {
      leading = lead(core, say);
      // From now on by our own transports; the sibling's way is left once one of them stands.
      core.carryBy(undefined);
      return new Promise<void>((done) => over.signal.addEventListener("abort", () => done()));
    })
    .catch(() => undefined);

  return () => {
    leading?.stop();
    over.abort();
    ether.close();
  };
}

/** The sibling's side: a transport that reads through the leader. */
function follow(say: (word: Word) => void, listen: (hear: (word: Word) => void) => void): Transport {
  let by: TransportName = "websocket";
  return {
    get name() {
      return by;
    },
    open(link): Connection {
      const from = randomId();
      let leader = "";
      const ask = (): void => say({ say: "read", from, wanted: link.wanted() });
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
      ask();
      return {
        isLeaseless: true,
        sync: ask,
        wake: ask,
        close() {
          listen(() => undefined);
          say({ say: "read", from, wanted: [] });
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
function lead(core: Core, say: (word: Word) => void): Leading {
  const leader = randomId();
  const siblings = new Map<string, Map<string, Served>>();
  const here = (): void => say({ say: "here", leader, by: core.transport() });
  const off = core.on("transport", here);

  return {
    hear(word) {
      if (word.say !== "read") return;
      const { from, wanted } = word;
      const served = siblings.get(from) ?? new Map<string, Served>();
      siblings.set(from, served);
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
      if (!wanted.length) siblings.delete(from);
    },
    stop() {
      off();
      say({ say: "here", leader, by: null });
    },
  };
}

/** Reads a channel for a sibling. */
function serve(core: Core, wanted: Wanted, take: (push: Push) => void, joined: (cursor: string) => void): Served {
  const { channel, reading, after, last } = wanted;
  const log = core.log(channel);
  let stop = (): void => undefined;
  let isOver = false;
  const gap = (one: Gap): void => take({ gap: one });

  const begin = (from: SubscribeOptions): void => {
    if (isOver) return;
    const isFirst = !log.wanted()[0];
    const off = log.onGap(gap);
    const stopReading = log.subscribe((message) => take(message as Push), from, gap);
    const at = log.at();
    if (from.after && from.after !== "start") joined(from.after);
    else if (at && !isFirst && from.last === undefined && !from.after) joined(`${at.epoch}-${at.offset}`);
    stop = () => {
      off();
      stopReading();
    };
  };
  if (after !== undefined) begin({ after });
  else if (!channel.includes("/")) begin({ last });
  else
    void askJson<Batch>(core, pathOf(channel), {}).then(
      ({ presence }) => {
        const [state] = [presence ?? []].flat();
        if (!state) return;
        take({ presence: state });
        begin({ after: state.cursor });
      },
      (error: unknown) => core.report(asError(error)),
    );
  return {
    reading,
    stop() {
      isOver = true;
      stop();
    },
  };
}
