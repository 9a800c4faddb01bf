// Which connection carries, and when to come back. Races transports, keeps the best that has really said something, looks for
// better ones, returns after losses. Knows nothing of channels: they are whole again after their cursors, whoever carries.
import { backoff } from "./backoff.ts";
import { asError, EfirError, lasting, passing } from "./error.ts";
import type { Core } from "./core.ts";
import type { Connection, Transport } from "./link.ts";
import type { State, TransportName } from "./types.ts";

/** A transport that has not said anything for so long gets company. */
const race_ms = 2_000;
/** One that has not said anything for so long is given up. */
const mute_ms = 10_000;
/** So many opens without a word mark a transport as bad. */
const mute_max = 3;
/** How long a winner and a bad mark are remembered. */
const memory_ms = 30 * 60_000;
/** Looking for a better one: first after, at most every. What `use` asked for is looked for sooner. */
const probe_ms = 15_000;
const probe_ms_max = 300_000;
const overdue_ms = 1_000;
/** A connection that ends sooner counts as a failure, or a server that hangs up at once would be asked without pause. */
const lasting_ms = 2_000;
/** How long a path that may be dead has to show life. */
const grace_ms = 5_000;

/** One transport, tried or in use. */
interface Attempt {
  readonly transport: Transport;
  readonly connection: Connection;
  /** When the server had its first word. */
  since: number;
  close(): void;
  /** The network changed (`isNetwork`), or the machine may have slept. */
  wake(isNetwork: boolean): void;
}

/** Whom the negotiation tells. */
export interface Listener {
  state(state: State): void;
  transport(name: TransportName | null): void;
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

type Timer = ReturnType<typeof setTimeout> | undefined;

const now = (): number => performance.now();

export function negotiate(core: Core, tell: Listener): Negotiation {
  let candidates: readonly Transport[] = [];
  /** Those still to be tried in this round. */
  let queue: Transport[] = [];
  const racing = new Set<Attempt>();
  /** Those that failed in this round, before anybody had a word from the server: perhaps it is not there at all. */
  let failed: Transport[] = [];
  let current: Attempt | undefined;
  let failures = 0;
  let probes = 0;
  /** The server's wish for the next attempt: not before; and its "stop". */
  let floor = 0;
  let stop: EfirError | undefined;
  /** Of the race, or of the next attempt: never both. */
  let timer: Timer;
  /** When a transport was opened without a word since its last word, the newest first. */
  const mutes = new Map<Transport, number[]>();

  const rank = (transport: Transport): number => candidates.indexOf(transport) >>> 0;
  const blame = (transport: Transport): void => {
    mutes.set(transport, [now(), ...(mutes.get(transport) ?? [])].slice(0, mute_max));
  };
  const isGood = (transport: Transport): boolean =>
    !(now() - mutes.get(transport)?.[mute_max - 1]! < memory_ms);
  const later = (fn: () => void, ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(fn, ms);
  };
  const drop = (attempts: Iterable<Attempt>): void => {
    for (const attempt of attempts) {
      racing.delete(attempt);
      attempt.close();
    }
  };

  /** A round: the transport that won last, then the others, best first; bad ones only where there are no others. */
  const begin = (): void => {
    if (core.over.aborted || current || racing.size) return;
    const known = recall(core.base);
    queue = candidates.filter(isGood);
    if (!queue[0]) queue = [...candidates];
    queue.sort((a, b) => +(b.name === known) - +(a.name === known));
    failed = [];
    floor = now();
    stop = undefined;
    tell.state("connecting");
    next();
  };

  /** Lets the next one join the race. */
  const next = (): void => {
    const transport = queue.shift();
    if (transport) {
      later(next, race_ms);
      open(transport);
    } else if (!racing.size) lull();
  };

  /** Nobody is racing any more. */
  const lull = (): void => {
    if (core.over.aborted) return;
    if (current) {
      const first_ms = candidates.includes(current.transport) ? probe_ms : overdue_ms;
      if (rank(current.transport)) later(probe, Math.min(probe_ms_max, first_ms * 2 ** probes++));
    } else {
      if (stop) {
        core.report(stop);
        // More channels than one response may read: next time perhaps fewer, or by something else.
        if (!stop.retryable && stop.code !== "too_many_channels") return close();
      }
      failures += 1;
      tell.state("offline");
      later(begin, floor - now() + backoff(failures));
    }
  };

  const probe = (): void => {
    if (!current || racing.size) return;
    queue = candidates.slice(0, rank(current.transport));
    if (queue[0]) next();
  };

  const up = (attempt: Attempt): void => {
    const { transport } = attempt;
    mutes.delete(transport);
    racing.delete(attempt);
    // Who is worse has lost; who is better may still come.
    drop(all().filter((other) => other === current || rank(other.transport) > rank(transport)));
    current = attempt;
    queue = [];
    failed.forEach(blame);
    failed = [];
    if (candidates[1]) recall(core.base, transport.name);
    tell.transport(transport.name);
    tell.state("online");
    if (!racing.size) next();
  };

  const down = (attempt: Attempt, error: EfirError): void => {
    const { action, retry_after_ms = 0 } = error.problem;
    floor = Math.max(floor, now() + retry_after_ms);
    if (attempt !== current) {
      racing.delete(attempt);
      // Nor would the token be good for another transport: the next round asks for a fresh one.
      if (action === "refresh_token") queue = [];
      else if (current) blame(attempt.transport);
      else failed.push(attempt.transport);
      if (action !== "retry_later") stop = error;
      return next();
    }
    current = undefined;
    probes = 0;
    if (now() - attempt.since > lasting_ms) failures = 0;
    stop = error.retryable ? undefined : error;
    tell.transport(null);
    if (racing.size) tell.state("connecting");
    else lull();
  };

  const open = (transport: Transport): void => {
    let heard = now();
    let silence_ms = mute_ms;
    let isOver = false;
    let timer: Timer;

    const look = (): void => {
      clearTimeout(timer);
      const rest_ms = heard + silence_ms - now();
      if (rest_ms > 0) timer = setTimeout(look, rest_ms);
      else end(passing("silence"));
    };
    const close = (): void => {
      isOver = true;
      clearTimeout(timer);
      attempt.connection.close();
    };
    const end = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      // A transport may fail while it is being opened.
      queueMicrotask(() => {
        close();
        down(attempt, asError(error, "connection_lost"));
      });
    };
    const connection = transport.open({
      ...core,
      heard: () => (heard = now()),
      up(ms) {
        if (isOver) return;
        heard = now();
        silence_ms = ms;
        look();
        if (attempt.since) return;
        attempt.since = heard;
        up(attempt);
      },
      // Whoever is no longer the carrier is not listened to: the other reads the same.
      take(push) {
        if (isOver) return;
        // The server's reason for the end that comes.
        if (push.problem && !push.problem.channel) end(new EfirError(push.problem));
        else core.take(push);
      },
      joined(channel, cursor) {
        if (!isOver) core.joined(channel, cursor);
      },
      down: end,
    });
    const attempt: Attempt = {
      transport,
      connection,
      since: 0,
      close,
      wake(isNetwork) {
        const at = now();
        if (!isNetwork && at - heard < silence_ms / 2) return;
        connection.wake();
        setTimeout(() => heard < at && end(passing("silence")), grace_ms);
      },
    };
    racing.add(attempt);
    look();
  };

  const close = (): void => {
    clearTimeout(timer);
    drop(all());
    current = undefined;
    tell.transport(null);
    tell.state("closed");
  };
  const all = (): Attempt[] => [...racing, current].filter((attempt) => !!attempt);

  return {
    carrier: () => current?.connection,
    choose(transports) {
      candidates = transports.filter((transport) => transport.isUsable?.(core) ?? true);
      if (!candidates[0]) core.report(lasting("no_transport"));
      drop(racing);
      queue = [];
      probes = failures = 0;
      if (current) probe();
      else begin();
    },
    sync: () => all().forEach(({ connection }) => connection.sync()),
    wake(isNetwork) {
      if (isNetwork) {
        mutes.clear();
        probes = 0;
        probe();
      }
      if (current) current.wake(isNetwork);
      // A page that is looked at again comes no sooner than the server wishes.
      else if (isNetwork || now() >= floor) begin();
    },
    close,
  };
}

/** The transport that won last; keeps `winner` when it is given. In localStorage, where there is one that may be used. */
function recall(base: string, winner?: TransportName): string | undefined {
  const key = `efir:${base}`;
  try {
    if (winner) localStorage[key] = JSON.stringify([winner, Date.now()]);
    const [name, at] = JSON.parse(localStorage[key]) as [string, number];
    if (Date.now() - at < memory_ms) return name;
  } catch {
    // The next page begins with the best again.
  }
  return undefined;
}
