// `efir/core`: the client with nothing in it that was not asked for. `efir` (index.ts) is the same with all transports and presence.
// This file puts the parts together: logs (what is read), negotiation (by what), outbox (what is published).
import { openChannel } from "./channel.ts";
import { failureOf, lasting, type EfirError } from "./error.ts";
import type { Connection, Link, Place, Transport } from "./link.ts";
import { listeners, openLog, type Log } from "./log.ts";
import { negotiate } from "./negotiation.ts";
import { known, openOutbox, randomId, type Outbox } from "./outbox.ts";
import type { Channel, Client, Options, Presence, State, TransportName } from "./types.ts";
import { presenceOf, type WireMessage } from "./wire.ts";

export { EfirError } from "./error.ts";
export type { Connection, Link, Place, Share, Transport, Wanted } from "./link.ts";
export type * from "./types.ts";

export interface CoreOptions extends Options {
  transports: readonly Transport[];
  /** `presence` of `efir/presence`; without it `channel.presence` throws `not_included`. */
  presence?: ((core: Core, channel: string) => Presence) | undefined;
}

/** The client as its parts see it. */
export interface Core extends Omit<Link, "heard" | "up" | "down">, Pick<Client, "on">, Pick<Outbox, "publish"> {
  readonly member: NonNullable<Options["member"]>;
  state(): State;
  transport(): TransportName | null;
  /** The log of that name: the same object each time. */
  log(name: string): Log;
  /** `wanted()` of some log has changed. */
  changed(): void;
  /** An error that nobody else is told. */
  report(error: EfirError): void;
  /** The connection that carries now. */
  carrier(): Connection | undefined;
  /** Uses these transports instead of the client's own; `undefined`: its own. */
  carryBy(transports: readonly Transport[] | undefined): void;
}

/**
 * Connects to a server; `url` may have a path below which the server is found, and is the page's origin when not given. Never fails
 * because of the network: it goes on trying.
 *
 * Throws `no_url` where there is neither.
 */
export function connect(url: string | undefined, options: CoreOptions): Client {
  const over = new AbortController();
  const logs = new Map<string, Log>();
  const channels = new Map<string, Channel>();
  let state: State = "connecting";
  let transport: TransportName | null = null;
  let isDirty = false;
  let forced = options.transport ?? null;
  let borrowed: readonly Transport[] | undefined;

  const report = (error: EfirError): void => {
    if (events.error.all.size) events.error.tell(error);
    else console.error(error);
  };
  const events = {
    state: listeners<State>(report),
    transport: listeners<TransportName | null>(report),
    // A listener of errors that throws must not be told of itself.
    error: listeners<EfirError>(console.error),
  };

  const core: Core = {
    ...placeOf(url, options),
    async token() {
      try {
        return await (typeof options.token === "function" ? options.token() : options.token);
      } catch (error) {
        report(failureOf(error));
        throw error;
      }
    },
    member: options.member ?? {},
    state: () => state,
    transport: () => transport,
    on: (event, fn) => events[event].add(fn as (value: unknown) => void),
    report,
    log: (name) => known(logs, name, () => openLog(core, name)),
    // Gathers what changes in one go: a component that leaves and comes back at once changes nothing.
    changed() {
      if (!isDirty)
        setTimeout(() => {
          isDirty = false;
          negotiation.sync();
        });
      isDirty = true;
    },
    wanted: () => [...logs.values()].flatMap((log) => log.wanted()),
    joined: (channel, cursor) => logs.get(channel)?.joined(cursor),
    take(push) {
      const { gap, problem, presence } = push;
      if (push.position) logs.get(push.channel!)?.take(push as WireMessage);
      else if (gap) logs.get(gap.channel)?.gap(gap);
      else if (problem) logs.get(problem.channel!)?.refuse(problem);
      else if (presence) logs.get(presenceOf(presence.channel))?.state(presence);
    },
    carrier: () => negotiation.carrier(),
    carryBy(transports) {
      borrowed = transports;
      choose();
    },
    publish: (...letter) => outbox.publish(...letter),
    over: over.signal,
  };

  const outbox = openOutbox(core, options.offline);
  const negotiation = negotiate(core, {
    state(to) {
      if (state === to || state === "closed") return;
      state = to;
      events.state.tell(to);
      if (to !== "closed") return;
      unshare?.();
      outbox.close();
      over.abort(lasting("closed"));
    },
    transport(to) {
      if (transport === to) return;
      transport = to;
      events.transport.tell(to);
      // What was on its way in the old connection goes on in the new one.
      if (to) outbox.flush();
    },
  });
  const choose = (): void =>
    negotiation.choose(borrowed ?? options.transports.filter(({ name }) => !forced || name === forced));
  // Both of the page bubble up to the window; a worker has `online` only, Node has none.
  for (const name of ["online", "pageshow", "visibilitychange"])
    globalThis.addEventListener?.(name, () => negotiation.wake(name === "online"), { signal: over.signal });
  const unshare = options.share?.begin(core);
  if (!unshare) choose();

  return {
    get state() {
      return state;
    },
    get transport() {
      return transport;
    },
    url: core.base,
    on: core.on,
    channel: <T>(name: string) =>
      known(channels, name, () => openChannel(core, name, options.presence)) as Channel<T>,
    use(name) {
      forced = name;
      choose();
    },
    close: negotiation.close,
  };
}

/** Where the server is: an absolute address without query, with a slash at the end. */
function placeOf(url: string | undefined, { client = randomId(), ...own }: Options): Omit<Place, "token" | "over"> {
  const page = globalThis.location?.href;
  if (!url && !page) throw lasting("no_url");
  const { origin, pathname } = new URL(url || "/", page);
  return {
    base: (origin + pathname).replace(/^ws/, "http").replace(/\/*$/, "/"),
    // Called as a function of its own: browsers refuse a `fetch` that belongs to something else.
    fetch: (input, init) => (own.fetch ?? fetch)(input, init),
    WebSocket: own.WebSocket ?? globalThis.WebSocket,
    client,
  };
}
