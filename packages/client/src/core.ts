// `efir/core`: the client with nothing in it that was not asked for. `efir` (index.ts) is the same with all transports and presence.
import { openChannel, readHistory, type Core } from "./channel.ts";
import { EfirError } from "./error.ts";
import type { Place, Transport } from "./link.ts";
import { listeners, openLog, type Log, type Reader } from "./log.ts";
import { negotiate, remember, type Host } from "./negotiation.ts";
import { openOutbox, randomId } from "./outbox.ts";
import type { Channel, Client, Options, Presence, State, TransportName } from "./types.ts";
import { presenceOf, type WireMessage } from "./wire.ts";

export { EfirError } from "./error.ts";
export type { Core } from "./channel.ts";
export type { Connection, Link, Place, Share, Transport, Wanted } from "./link.ts";
export type * from "./types.ts";

export interface CoreOptions extends Options {
  transports: readonly Transport[];
  /** `presence` of `efir/presence`; without it `channel.presence` throws `not_included`. */
  presence?: ((core: Core, channel: string) => Presence) | undefined;
}

/**
 * Connects to a server; `url` may have a path below which the server is found, and is the page's origin when not given. Never fails
 * because of the network: it goes on trying.
 *
 * Throws `no_url` where there is neither.
 */
export function connect(url: string | undefined, options: CoreOptions): Client {
  const client = options.client ?? randomId();
  const place = placeOf(url, options, client);
  const logs = new Map<string, Log>();
  const channels = new Map<string, Channel>();
  let state: State = "connecting";
  let transport: TransportName | null = null;
  let isDirty = false;

  const report = (error: EfirError): void => {
    if (errors.count()) errors.tell(error);
    else console.error(error);
  };
  // A listener of errors that throws must not be told of itself.
  const errors = listeners<EfirError>({ report: (error) => console.error(error) });
  const states = listeners<State>({ report });
  const transports = listeners<TransportName | null>({ report });

  const reader: Reader = {
    // Gathers what changes in one go: a component that leaves and comes back at once changes nothing.
    changed() {
      if (isDirty) return;
      isDirty = true;
      setTimeout(() => {
        isDirty = false;
        negotiation.sync();
      });
    },
    report,
    history: (channel, options) => readHistory(place, channel, options),
    later: (ms, fn) => void setTimeout(() => state !== "closed" && fn(), ms),
  };

  const logOf = (name: string): Log => {
    const log = logs.get(name) ?? openLog(name, reader);
    logs.set(name, log);
    return log;
  };

  const link: Host["link"] = {
    ...place,
    wanted: () => [...logs.values()].flatMap((log) => log.wanted() ?? []),
    joined: (channel, cursor) => logs.get(channel)?.joined(cursor),
    take(push) {
      const { channel, gap, problem, presence, position } = push;
      if (position) logs.get(channel!)?.take(push as WireMessage);
      else if (gap) logs.get(gap.channel)?.gap(gap);
      else if (problem?.channel) logs.get(problem.channel)?.refuse(problem);
      else if (presence) logs.get(presenceOf(presence.channel))?.state(presence);
    },
  };

  const become = (to: State): void => {
    if (state === to || state === "closed") return;
    state = to;
    states.tell(to);
    if (to === "online") outbox.flush();
    if (to !== "closed") return;
    unwatch();
    unshare?.();
    outbox.close();
  };
  const carriedBy = (to: TransportName | null): void => {
    if (transport === to) return;
    transport = to;
    transports.tell(to);
    // What was on its way in the old connection goes on in the new one.
    if (to && state === "online") outbox.flush();
  };
  const negotiation = negotiate({ link, report, state: become, transport: carriedBy }, remember(place.base));
  const outbox = openOutbox({
    place,
    carrier: negotiation.carrier,
    epochOf: (channel) => logs.get(channel)?.at()?.epoch,
    messages_max: options.offline?.messages ?? 1_000,
    bytes_max: options.offline?.bytes ?? 1_048_576,
  });

  let forced = options.transport ?? null;
  let borrowed: readonly Transport[] | undefined;
  const choose = (): void =>
    negotiation.choose(
      borrowed ?? options.transports.filter(({ name }) => forced === null || name === forced),
    );

  const core: Core = {
    place,
    member: options.member ?? {},
    client,
    log: logOf,
    transport: () => transport,
    state: () => state,
    onState: states.add,
    command: (name, fields) => negotiation.carrier()?.command?.(name, JSON.stringify(fields)),
    carryBy(transports) {
      borrowed = transports;
      choose();
    },
    publish: (channel, data, options) => outbox.publish(channel, data, options),
    report,
  };

  const unwatch = watchWorld(negotiation.wake);
  const unshare = options.share?.begin(core);
  if (!options.share) choose();

  return {
    get state() {
      return state;
    },
    get transport() {
      return transport;
    },
    url: place.base,
    on: (event, fn) =>
      ({ state: states, transport: transports, error: errors })[event].add(fn as (value: unknown) => void),
    channel: <T>(name: string) => {
      const channel = channels.get(name) ?? openChannel(core, name, options.presence);
      channels.set(name, channel);
      return channel as Channel<T>;
    },
    use(name) {
      forced = name;
      choose();
    },
    close: negotiation.close,
  };
}

/** Where the server is: an absolute address without query, with a slash at the end. */
function placeOf(url: string | undefined, options: Options, client: string): Place {
  const { token } = options;
  const page = globalThis.location?.href;
  if (url === undefined && !page) throw new EfirError("no_url");
  const { origin, pathname } = new URL(url ?? "/", page);
  return {
    base: (origin + pathname).replace(/^ws/, "http").replace(/\/*$/, "/"),
    // Called as a function of its own: browsers refuse a `fetch` that belongs to something else.
    fetch: (input, init) => (options.fetch ?? fetch)(input, init),
    WebSocket: options.WebSocket ?? globalThis.WebSocket,
    query: `client=${client}`,
    async headers(): Promise<Record<string, string>> {
      const text = typeof token === "function" ? await token() : token;
      return text ? { Authorization: `Bearer ${text}` } : {};
    },
  };
}

/** Tells when the machine, the network or the page is back. */
function watchWorld(wake: (isNetwork: boolean) => void): () => void {
  const back = ({ type }: Event): void => {
    if (globalThis.document?.visibilityState !== "hidden" || type === "online") wake(type === "online");
  };
  // Both bubble up to the window; a worker has `online` only, Node has none.
  const names = ["online", "pageshow", "visibilitychange"];
  for (const name of names) globalThis.addEventListener?.(name, back);
  return () => {
    for (const name of names) globalThis.removeEventListener?.(name, back);
  };
}
