// The public types: all that an application sees of the client. Wire objects are in wire.ts.
import type { EfirError } from "./error.ts";
import type { Share } from "./link.ts";
import type { Transport } from "./link.ts";

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined };

export type TransportName = "websocket" | "sse" | "http-stream" | "long-poll" | "short-poll";

/**
 * `connecting`: an attempt is being made. `online`: messages come. `offline`: the connection is lost, the next attempt waits its
 * turn. `closed`: `close()` was called, or the server said that coming back is of no use (the `error` event says why).
 */
export type State = "connecting" | "online" | "offline" | "closed";

export interface Options {
  /**
   * A token, or what gives one; asked for before each request and by each new socket, so that it may change. Where it fails, that is
   * reported (`callback_failed`), and it is asked again with the next attempt. Sent as `Authorization: Bearer …` with requests, as the
   * first command of a WebSocket; an EventSource shows a ticket that was got with it.
   *
   * A token that the server refuses is reported (`unauthorized`, `token_expired`), and the client comes back as after any loss, asking
   * for a token anew. One that ends while messages come loses none of them; a WebSocket goes on with the next one, for which it is asked
   * when half of the time is over. A client is one user: for another one, connect anew.
   */
  token?: string | (() => string | Promise<string>) | undefined;
  /** The transports that may be used, best first. All five when not given (`efir/core`: must be given). */
  transports?: readonly Transport[] | undefined;
  /** Use only this one from the beginning, as `client.use`. */
  transport?: TransportName | undefined;
  /** Who this client is in presence. */
  member?: Who & {
    /** 1–64 of `A-Z a-z 0-9 . _ ~ -`. When not given: a random one a browser profile (so several tabs are one member) or process. */
    id?: string | undefined;
  };
  /** `tabs()` of `efir/tabs`: the tabs of this origin share one connection. */
  share?: Share | undefined;
  /** What may wait to be published; 1,000 messages and 1 MiB when not given. Beyond it `publish` rejects with `queue_full`. */
  offline?: { messages?: number | undefined; bytes?: number | undefined } | undefined;
  /** This client's name where the server counts (`GET /traffic?client=…`), a random one when not given. 1–64 as a member's id. */
  client?: string | undefined;
  /** Stands in for the global one. */
  fetch?: typeof fetch | undefined;
  /** Stands in for the global one. Where there is none (Node 20), negotiation goes on with the other transports. */
  WebSocket?: (new (url: string) => Socket) | undefined;
}

/** What is used of a WebSocket: a browser's, undici's and that of `ws` have it, and no types of the DOM are needed to say so. */
export interface Socket {
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(text: string): void;
  close(): void;
}

export interface ClientEvents {
  state: State;
  /** The transport that messages come by now; `null` while there is none. */
  transport: TransportName | null;
  /** What nobody else is told: a callback that threw, a channel that was refused, the server's "stop". */
  error: EfirError;
}

export interface Client {
  readonly state: State;
  readonly transport: TransportName | null;
  /** The server's address, with a slash at the end. */
  readonly url: string;
  /** Calls `fn` on each change; gives how to stop that. */
  on<K extends keyof ClientEvents>(event: K, fn: (value: ClientEvents[K]) => void): () => void;
  /**
   * The channel of that name: the same object each time, for as long as the client lives. Throws `invalid_channel` for what no channel
   * can be called: nothing, `.`, `..`, more than 255 bytes of UTF-8, `/`, control characters.
   */
  channel<T = unknown>(name: string): Channel<T>;
  /**
   * Goes over to one transport and stays with it, without losing a message; `null` chooses automatically again. With `tabs()` it has an
   * effect in the tab that holds the connection.
   */
  use(transport: TransportName | null): void;
  /** Lets go of everything; what is not published yet is rejected with `closed`. */
  close(): void;
}

export interface Channel<T = unknown> {
  readonly name: string;
  /**
   * Calls `fn` once for each message, in order. Begins with what comes from now on; gives how to stop.
   * Several subscribers of a channel, each with its own place to begin, read it over the same connection.
   * Throws `invalid_cursor` for a place that cannot be.
   */
  subscribe(fn: (message: Message<T>) => void, options?: SubscribeOptions): () => void;
  /**
   * `for await (const message of channel)`: begins with what comes from now on. A slow reader makes nobody wait and loses nothing: when
   * 1,000 messages wait for it, it reads no further until they are taken.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>>;
  /**
   * Publishes JSON (or bytes, when given a `Uint8Array`). Resolves when the server has it. Sent again after losses and over other
   * transports under the same key, so that it stands in the log once; in order with what else this client publishes in the channel,
   * but for what the server refused for a while (`key_window_full`, `overloaded` …): those that were already on their way behind it,
   * at most 63, may come to stand before it.
   *
   * Rejects with an `EfirError`: `queue_full` (too much waits already), `outcome_unknown` (it was sent, the answer was lost and the
   * server's log began anew meanwhile), `invalid_key` (not 1–128 of visible ASCII), `invalid_json`, `closed`, or the server's refusal.
   */
  publish(data: T | Uint8Array, options?: PublishOptions): Promise<Receipt>;
  /** Reads what the server keeps, without subscribing. */
  history(options?: HistoryOptions): Promise<History<T>>;
  /** Who is here. */
  readonly presence: Presence;
  /** Messages after a cursor are no longer there: the reading goes on behind them. */
  on(event: "gap", fn: (gap: Gap) => void): () => void;
}

export interface SubscribeOptions {
  /** Begin after this position (of a message that was seen), or with the oldest message that is kept. */
  after?: string | "start" | undefined;
  /** Begin with the newest N that are kept. */
  last?: number | undefined;
}

export interface PublishOptions {
  /**
   * 1–128 visible ASCII characters; a random one when not given. Two publishes with one key and one payload are one message.
   * The server keeps each key for 5 min, a bounded number a channel: what is published many times a second and soon worth nothing
   * (the place of a pointer) can do without, `null`. Then it is sent once, and `outcome_unknown` where the answer is lost.
   */
  key?: string | null | undefined;
  /** Publish again where `outcome_unknown` would be told: the message may then stand in the log twice. */
  again?: boolean | undefined;
}

export interface HistoryOptions extends SubscribeOptions {
  /** At most so many messages; 100 when not given, at most 1,000. */
  limit?: number | undefined;
}

export interface History<T = unknown> {
  messages: Message<T>[];
  /** Where to read on: `history({ after: cursor })`. */
  cursor: string;
  /** A further read gives something at once. */
  more: boolean;
  gap?: Gap | undefined;
}

export interface Message<T = unknown> {
  channel: string;
  /** `<epoch>-<offset>`. */
  position: string;
  /** When the server took it: milliseconds since 1970 UTC, the server's clock. */
  time: number;
  /** There when the server has proven who sent it. */
  from?: string;
  /** The JSON that was published; a `Uint8Array` where it was bytes. */
  data: T;
}

export interface Gap {
  channel: string;
  /**
   * `trimmed`, `expired`, `epoch_changed`, `position_ahead`, `broker_loss`, `storage_truncated`, `denied`; `hole` where the server
   * left out messages and did not say so.
   */
  reason: string;
  /** The cursor that was given. */
  after?: string;
  /** Reading goes on after this position. */
  resume_from: string;
  epoch?: string;
}

export interface Receipt {
  position: string;
  offset: number;
  epoch: string;
  /** `memory`, `disk` or `broker`. */
  durability: string;
  /** An earlier attempt of this publish had got through. */
  duplicate: boolean;
  /** Streams and held polls of the channel on the node that answered. */
  subscribers: number;
}

export interface Who {
  name?: string | undefined;
  data?: Json | undefined;
}

export interface Member {
  id: string;
  name?: string;
  data?: Json;
  /** Those by which the member is here now, in alphabetical order. */
  transports: TransportName[];
  /** Milliseconds since 1970 UTC. */
  since: number;
}

export interface Presence {
  /** Becomes a member of the channel, for as long as this client is connected; resolves when the server has told the others. */
  enter(who?: Who): Promise<void>;
  /** Changes name or data. */
  update(who: Who): Promise<void>;
  leave(): Promise<void>;
  /** Whom the channel has, by id, while there is a subscriber of presence; empty where only the count is told (large channels). */
  readonly members: ReadonlyMap<string, Member>;
  readonly count: number;
  /** Calls `fn` with this object once the state is known, and after each change. */
  subscribe(fn: (presence: Presence) => void): () => void;
}
