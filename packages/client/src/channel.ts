// A channel as the application holds it: subscribing, iterating, publishing, history. The log behind it is in log.ts.
import type { Core } from "./core.ts";
import { lasting } from "./error.ts";
import { readHistory } from "./history.ts";
import type { Log } from "./log.ts";
import { parsePosition } from "./position.ts";
import type { Channel, History, Message, Presence } from "./types.ts";

/** An iterator keeps so many messages; what comes beyond is read again when there is room. */
const buffered_max = 1_000;

export function openChannel(
  core: Core,
  name: string,
  openPresence: ((core: Core, channel: string) => Presence) | undefined,
): Channel {
  // In a path they would name something else.
  if (/^\.\.?$|\//.test(name)) throw lasting("invalid_channel", name);
  const log = core.log(name);
  let presence: Presence | undefined;
  return {
    name,
    subscribe: (fn, begin = {}) => {
      const { after } = begin;
      // The server would refuse it; here the caller sees it at once.
      if (after && after !== "start" && !parsePosition(after)) throw lasting("invalid_cursor", after);
      return log.subscribe(fn, begin).stop;
    },
    [Symbol.asyncIterator]: () => iterate(core, log),
    publish: (data, options) => core.publish(name, data, options),
    history: (options = {}) => readHistory(core, name, options) as Promise<History<never>>,
    get presence() {
      if (!openPresence) throw lasting("not_included", "efir/presence");
      return (presence ??= openPresence(core, name));
    },
    on: (_event, fn) => log.onGap(fn),
  };
}

async function* iterate(core: Core, log: Log): AsyncGenerator<Message<never>> {
  const buffer: Message[] = [];
  let wake = (): void => undefined;
  const reading = log.subscribe(
    (message) => {
      buffer.push(message);
      wake();
    },
    {},
    () => buffer.length >= buffered_max,
  );
  const unwatch = core.on("state", () => wake());
  try {
    for (;;) {
      while (buffer[0]) yield buffer.shift() as Message<never>;
      if (core.state() === "closed") return;
      reading.resume();
      await new Promise<void>((done) => (wake = done));
    }
  } finally {
    reading.stop();
    unwatch();
  }
}
