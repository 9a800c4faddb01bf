// A channel as the application holds it: subscribing, iterating, publishing, history. The log behind it is in log.ts.
import type { Core } from "./core.ts";
import { lasting } from "./error.ts";
import { bytesOf } from "./outbox.ts";
import { readHistory } from "./history.ts";
import type { Log } from "./log.ts";
import { parsePosition } from "./position.ts";
import type { Channel, History, Message, Presence, SubscribeOptions } from "./types.ts";

/** An iterator keeps so many messages, and then stops to read until they are taken. */
const buffered_max = 1_000;

export function openChannel(
  core: Core,
  name: string,
  openPresence: ((core: Core, channel: string) => Presence) | undefined,
): Channel {
  // Refused at once: one such name would spoil the request in which the others are asked for as well.
  if (/^\.{0,2}$|[/\p{Cc}\p{Cs}]/u.test(name) || bytesOf(name) > 255) throw lasting("invalid_channel", name);
  const log = core.log(name);
  let presence: Presence | undefined;
  return {
    name,
    subscribe: (fn, begin = {}) => {
      const { after, last = 0 } = begin;
      if ((after && after !== "start" && !parsePosition(after)) || last >>> 0 !== last)
        throw lasting("invalid_cursor");
      return log.subscribe(fn, begin);
    },
    [Symbol.asyncIterator]: () => iterate(core, log),
    publish: (data, options) => core.publish(name, data, options),
    history: (options = {}) => readHistory(core, name, options) as Promise<History<never>>,
    get presence() {
      if (!openPresence) throw lasting("not_included");
      return (presence ??= openPresence(core, name));
    },
    on: (_event, fn) => log.onGap(fn),
  };
}

async function* iterate(core: Core, log: Log): AsyncGenerator<Message<never>> {
  const buffer: Message[] = [];
  let wake: (() => void) | undefined;
  let begin: SubscribeOptions = {};
  let stop: (() => void) | undefined;
  const tell = (message: Message): void => {
    begin = { after: message.position };
    if (buffer.push(message) >= buffered_max) stop = stop?.() as undefined;
    wake?.();
  };
  const unwatch = core.on("state", () => wake?.());
  try {
    for (;;) {
      while (buffer[0]) yield buffer.shift() as Message<never>;
      if (core.state() === "closed") return;
      stop ??= log.subscribe(tell, begin);
      await new Promise<void>((done) => (wake = done));
    }
  } finally {
    stop?.();
    unwatch();
  }
}
