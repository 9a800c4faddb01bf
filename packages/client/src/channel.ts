// A channel as the application holds it: subscribing, iterating, publishing, history. The log behind it is in log.ts.
import { EfirError } from "./error.ts";
import { askJson } from "./http.ts";
import type { Place, Transport } from "./link.ts";
import { readMessage, type Log } from "./log.ts";
import { parsePosition } from "./position.ts";
import type {
  Channel,
  History,
  HistoryOptions,
  Message,
  Options,
  Presence,
  PublishOptions,
  Receipt,
  State,
  TransportName,
} from "./types.ts";
import { pathOf, type Batch } from "./wire.ts";

/** What the parts of a client see of it. */
export interface Core {
  readonly place: Place;
  readonly member: NonNullable<Options["member"]>;
  /** Names this client among several of one member. */
  readonly client: string;
  log(name: string): Log;
  transport(): TransportName | null;
  state(): State;
  onState(fn: (state: State) => void): () => void;
  /** Carries a command where the transport can. */
  command(name: string, fields: object): Promise<unknown> | undefined;
  /** Uses these transports instead of the client's own; `undefined`: its own. */
  carryBy(transports: readonly Transport[] | undefined): void;
  publish(channel: string, data: unknown, options: PublishOptions): Promise<Receipt>;
  report(error: EfirError): void;
}

/** An iterator keeps so many messages; what comes beyond is read again when there is room. */
const buffered_max = 1_000;

export function openChannel(
  core: Core,
  name: string,
  openPresence: ((core: Core, channel: string) => Presence) | undefined,
): Channel {
  const log = core.log(name);
  let presence: Presence | undefined;
  return {
    name,
    subscribe: (fn, begin = {}) => {
      checkCursor(begin.after);
      return log.subscribe(fn, begin).stop;
    },
    [Symbol.asyncIterator]: () => iterate(core, log),
    publish: (data, options = {}) => core.publish(name, data, options),
    history: async (options = {}) => {
      checkCursor(options.after);
      return (await readHistory(core.place, name, options)) as History<never>;
    },
    get presence() {
      if (!openPresence) throw new EfirError("not_included", "efir/presence");
      return (presence ??= openPresence(core, name));
    },
    on: (_event, fn) => log.onGap(fn),
  };
}

/** Reads what the server keeps, by a request of its own. */
export async function readHistory(place: Place, channel: string, options: HistoryOptions): Promise<History> {
  const query = (["after", "last", "limit"] as const).flatMap((name) => {
    const value = options[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  const { messages, cursor, more, gap } = await askJson<Batch>(place, `${pathOf(channel)}?${query.join("&")}`);
  return { messages: messages.map(readMessage), cursor, more, ...(gap ? { gap } : {}) };
}

/** What is no cursor would be refused by the server; here the caller sees it at once. */
function checkCursor(after: string | undefined): void {
  if (after !== undefined && after !== "start" && !parsePosition(after)) throw new EfirError("invalid_cursor", after);
}

function iterate(core: Core, log: Log): AsyncIterator<Message<never>> {
  const buffer: Message[] = [];
  let isOver = false;
  let awake: (() => void) | undefined;
  const wake = (): void => {
    awake?.();
    awake = undefined;
  };
  const take = (message: Message): void => {
    buffer.push(message);
    wake();
  };
  let reading: ReturnType<Log["subscribe"]> | undefined;
  const unwatch = core.onState((state) => state === "closed" && wake());

  const end = (): Promise<IteratorResult<never>> => {
    isOver = true;
    reading?.stop();
    unwatch();
    wake();
    return Promise.resolve({ done: true, value: undefined });
  };
  return {
    async next() {
      reading ??= log.subscribe(take, {}, () => buffer.length >= buffered_max);
      while (!buffer.length) {
        if (isOver || core.state() === "closed") return end();
        reading.resume();
        await new Promise<void>((done) => (awake = done));
      }
      return { done: false, value: buffer.shift() as Message<never> };
    },
    return: end,
  };
}
