// `efir`: the client with everything. Where bytes count, `efir/core` takes only the transports that it is given.
import { connect as connectCore } from "./core.ts";
import { presence } from "./presence.ts";
import { httpStream } from "./transports/http_stream.ts";
import { longPoll } from "./transports/long_poll.ts";
import { shortPoll } from "./transports/short_poll.ts";
import { eventSource, sse } from "./transports/sse.ts";
import { websocket } from "./transports/websocket.ts";
import type { Client, Options } from "./types.ts";

/** Best first. */
const transports = [websocket, sse, httpStream, longPoll, shortPoll];

/**
 * Connects to a server; `url` may have a path below which the server is found, and is the page's origin when not given. Never fails
 * because of the network: it goes on trying until `close()`.
 *
 * Throws an `EfirError` `no_url` where there is neither.
 *
 * ```ts
 * const client = connect("https://efir.example");
 * const chat = client.channel<{ text: string }>("chat");
 * chat.subscribe((message) => console.log(message.data.text), { last: 50 });
 * await chat.publish({ text: "hello" });
 * ```
 */
export function connect(url?: string, options: Options = {}): Client {
  return connectCore(url, { presence, ...options, transports: options.transports ?? transports });
}

export { EfirError } from "./error.ts";
export { tabs } from "./tabs.ts";
export { eventSource, httpStream, longPoll, shortPoll, sse, websocket };
export type { Connection, Link, Place, Share, Transport, Wanted } from "./link.ts";
export type * from "./types.ts";
