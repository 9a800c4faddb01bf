// Which connection carries, and when to come back. Races transports, keeps the best that has really said something, looks for
// better ones, returns after losses. Knows nothing of channels: they are whole again after their cursors, whoever carries.
import { EfirError, isFinal, passing, refused } from "./error.ts";
import type { Connection, Link, Place, Transport } from "./link.ts";
import type { State, TransportName } from "./types.ts";
import type { Problem } from "./wire.ts";

/** A transport that has not said anything for so long gets company. */
const race_ms = 2_000;
/** One that has not said anything for so long is given up. */
const mute_ms = 10_000;
/** So many opens without a word mark a transport as bad. */
const mute_max = 3;
/** How long a winner and a bad mark are remembered. */
const memory_ms = 30 * 60_000;
/** Looking for a better one: first after, at most every. */
const probe_ms = 15_000;
const probe_ms_max = 300_000;
const overdue_ms = 1_000;
/** Full jitter between 0 and a span that doubles. */
const retry_ms = 300;
const retry_ms_max = 20_000;
/** A connection that ends sooner counts as a failure, or a server that hangs up at once would be asked without pause. */
const lasting_ms = 2_000;
/** A timer that is so late tells of a machine that slept. */
const late_ms = 2_000;
/** How long a path that may be dead has to show life. */
const grace_ms = 5_000;

/** One transport, tried or in use. */
interface Attempt {
  readonly transport: Transport;
  readonly connection: Connection;
  isUp: boolean;
  upSince: number;
  close(): void;
  /** Looks after a path that may be dead: `isDoubtful`, or it has been silent for nearly too long. */
  wake(isDoubtful: boolean): void;
}

/** Whom the negotiation asks and tells. */
export interface Host {
  /** What a connection is given, but for what happens to itself. */
  readonly link: Place & Pick<Link, "wanted" | "take" | "joined">;
  state(state: State): void;
  transport(name: TransportName | null): void;
  report(error: EfirError): void;
}

export interface Negotiation {
  /** The connection that carries. */
  carrier(): Connection | undefined;
  /** Chooses among these from now on; what carries goes on until something better does. */
  choose(transports: readonly Transport[]): void;
  /** The channels have changed. */
  sync(): void;
  /** The network is back (`isNetwork`), or the page is. */
  wake(isNetwork: boolean): void;
  close(): void;
}

const now = (): number => performance.now();

export function negotiate(host: Host, memory: Memory): Negotiation {
  let candidates: readonly Transport[] = [];
  /** Those still to be tried in this round. */
  let queue: Transport[] = [];
  const racing = new Set<Attempt>();
  /** Those that failed in this round, before anybody had a word from the server: perhaps it is not there at all. */
  let failed: Transport[] = [];
  let current: Attempt | undefined;
  let failures = 0;
  let probes = 0;
  let isClosed = false;
  /** The server's wish for the next attempt, and its "stop". */
  let floor_ms = 0;
  let stop: EfirError | undefined;
  let nextTimer: Timer;
  let retryTimer: Timer;
  let probeTimer: Timer;
  /** Opens without a word since the last word, and when the last was. */
  const mutes = new Map<TransportName, { count: number; at: number }>();

  const rank = (transport: Transport): number => {
    const at = candidates.indexOf(transport);
    return at < 0 ? Infinity : at;
  };
  const isBad = ({ name }: Transport): boolean => {
    const mute = mutes.get(name);
    return !!mute && mute.count >= mute_max && now() - mute.at < memory_ms;
  };
  const blame = ({ name }: Transport): void => {
    mutes.set(name, { count: (mutes.get(name)?.count ?? 0) + 1, at: now() });
  };

  /** A round: the transport that won last, then the others, best first; bad ones only where there are no others. */
  const begin = (): void => {
    clearTimeout(retryTimer);
    if (isClosed || current || racing.size) return;
    const good = candidates.filter((transport) => !isBad(transport));
    queue = good.length ? good : [...candidates];
    const known = memory.recall();
    queue.sort((a, b) => Number(b.name === known) - Number(a.name === known));
    failed = [];
    floor_ms = 0;
    stop = undefined;
    host.state("connecting");
    next();
  };

  /** Lets the next one join the race. */
  const next = (): void => {
    clearTimeout(nextTimer);
    const transport = queue.shift();
    if (transport) {
      nextTimer = setTimeout(next, race_ms);
      open(transport);
    } else if (!racing.size) lull();
  };

  /** Nobody is racing any more. */
  const lull = (): void => {
    if (isClosed) return;
    if (current) return rank(current.transport) > 0 ? probeLater() : undefined;
    if (stop) {
      host.report(stop);
      return close();
    }
    failures += 1;
    host.state("offline");
    const span = Math.min(retry_ms_max, retry_ms * 2 ** (failures - 1));
    retryTimer = setTimeout(begin, floor_ms + Math.random() * span);
  };

  const probeLater = (): void => {
    clearTimeout(probeTimer);
    // What `use` asked for is not something better that may come one day, but overdue.
    const first_ms = current && rank(current.transport) === Infinity ? overdue_ms : probe_ms;
    probeTimer = setTimeout(probe, Math.min(probe_ms_max, first_ms * 2 ** probes++));
  };

  const probe = (): void => {
    if (!current || racing.size) return;
    queue = candidates.slice(0, Math.min(rank(current.transport), candidates.length));
    if (queue.length) next();
  };

  const open = (transport: Transport): void => {
    const attempt = openAttempt(transport, host, {
      up: () => up(attempt),
      down: (error) => down(attempt, error),
    });
    racing.add(attempt);
  };

  const up = (attempt: Attempt): void => {
    const { transport } = attempt;
    racing.delete(attempt);
    mutes.delete(transport.name);
    if (isClosed || (current && rank(current.transport) <= rank(transport))) return attempt.close();
    const before = current;
    current = attempt;
    before?.close();
    // Who is worse has lost; who is better may still come.
    for (const other of [...racing])
      if (rank(other.transport) > rank(transport)) {
        racing.delete(other);
        other.close();
      }
    queue = [];
    failed.forEach(blame);
    failed = [];
    if (candidates.length > 1) memory.keep(transport.name);
    host.transport(transport.name);
    host.state("online");
    if (!racing.size) next();
  };

  const down = (attempt: Attempt, error: unknown): void => {
    const problem = error instanceof EfirError ? error.problem : undefined;
    if (attempt !== current) {
      racing.delete(attempt);
      if (current) blame(attempt.transport);
      else failed.push(attempt.transport);
      // More channels than one response may read: another transport may.
      if (isFinal(error) && error.code !== "too_many_channels") stop = error;
      floor_ms = Math.max(floor_ms, problem?.retry_after_ms ?? 0);
      return next();
    }
    current = undefined;
    clearTimeout(probeTimer);
    probes = 0;
    host.transport(null);
    if (now() - attempt.upSince > lasting_ms) failures = 0;
    if (racing.size) return host.state("connecting");
    floor_ms = problem?.retry_after_ms ?? 0;
    stop = isFinal(error) ? error : undefined;
    lull();
  };

  const close = (): void => {
    isClosed = true;
    for (const timer of [nextTimer, retryTimer, probeTimer]) clearTimeout(timer);
    for (const attempt of [...racing, ...(current ? [current] : [])]) attempt.close();
    racing.clear();
    current = undefined;
    host.transport(null);
    host.state("closed");
  };

  return {
    carrier: () => current?.connection,
    choose(transports) {
      candidates = transports.filter((transport) => transport.isUsable?.(host.link) ?? true);
      if (isClosed) return;
      clearTimeout(probeTimer);
      for (const attempt of racing) attempt.close();
      racing.clear();
      queue = [];
      probes = failures = 0;
      if (current) probe();
      else begin();
    },
    sync: () => {
      for (const attempt of [...racing, ...(current ? [current] : [])]) attempt.connection.sync();
    },
    wake(isNetwork) {
      if (isNetwork) {
        mutes.clear();
        probes = 0;
      }
      if (current) {
        if (isNetwork && rank(current.transport) > 0) probe();
        current.wake(isNetwork);
      } else begin();
    },
    close,
  };
}

type Timer = ReturnType<typeof setTimeout> | undefined;

/** Opens a transport and watches over its silence. */
function openAttempt(
  transport: Transport,
  host: Host,
  tell: { up(): void; down(error: unknown): void },
): Attempt {
  let isOver = false;
  let heard = now();
  let silence_ms = mute_ms;
  let timer: Timer;
  let due = 0;
  /** The server's reason for the end that comes. */
  let reason: Problem | undefined;

  const watch = (ms: number): void => {
    clearTimeout(timer);
    due = now() + ms;
    timer = setTimeout(look, ms);
  };
  const look = (): void => {
    const quiet_ms = now() - heard;
    // Not even this timer came in time: what is lying in the socket's buffer has to be given a chance.
    if (now() - due > late_ms) return attempt.wake(true);
    if (quiet_ms < silence_ms) return watch(silence_ms - quiet_ms);
    end(passing(attempt.isUp ? "silence" : "timeout"));
  };
  const over = (): boolean => {
    if (isOver) return false;
    clearTimeout(timer);
    return (isOver = true);
  };
  const end = (error: unknown): void => {
    if (!over()) return;
    // A transport may fail while it is being opened.
    queueMicrotask(() => {
      attempt.connection.close();
      tell.down(reason ? refused(reason) : error);
    });
  };

  const link: Link = {
    ...host.link,
    heard: () => void (heard = now()),
    up(ms) {
      if (isOver) return;
      heard = now();
      silence_ms = ms;
      watch(ms);
      if (attempt.isUp) return;
      attempt.isUp = true;
      attempt.upSince = now();
      tell.up();
    },
    // Whoever is not (or no longer) the carrier is not listened to: the other reads the same.
    take: (push) => {
      if (isOver) return;
      if (push.problem && !push.problem.channel) reason = push.problem;
      else if (attempt.isUp) host.link.take(push);
    },
    joined: (channel, cursor) => {
      if (!isOver && attempt.isUp) host.link.joined(channel, cursor);
    },
    down: end,
  };
  const attempt: Attempt = {
    transport,
    connection: transport.open(link),
    isUp: false,
    upSince: 0,
    close() {
      if (over()) attempt.connection.close();
    },
    wake(isDoubtful) {
      if (!isDoubtful && now() - heard < silence_ms - grace_ms) return;
      attempt.connection.wake();
      heard = Math.min(heard, now() - silence_ms + grace_ms);
      watch(grace_ms);
    },
  };
  watch(mute_ms);
  return attempt;
}

/** Remembers which transport won last. */
export interface Memory {
  recall(): string | undefined;
  keep(name: TransportName): void;
}

/** In localStorage, where there is one, for each server. */
export function remember(base: string): Memory {
  const key = `efir:${base}`;
  return {
    recall() {
      try {
        const [name, at] = JSON.parse(localStorage.getItem(key) ?? "[]") as [string?, number?];
        return Date.now() - (at ?? 0) < memory_ms ? name : undefined;
      } catch {
        return undefined;
      }
    },
    keep(name) {
      try {
        localStorage.setItem(key, JSON.stringify([name, Date.now()]));
      } catch {
        // No storage, or none that may be used: the next page begins with the best again.
      }
    },
  };
}
