// The seam between the client and its transports: one small interface that all implement. A transport knows how its requests go;
// of cursors it knows only where each channel begins, and nothing of subscribers, negotiation or retries.
import type { Core } from "./core.ts";
import type { Options, TransportName } from "./types.ts";
import type { Lease, Push } from "./wire.ts";

/** Where the server is and how it is reached. */
export interface Place {
  /** The server's address, with a slash at the end. */
  readonly base: string;
  readonly fetch: typeof fetch;
  readonly WebSocket: Options["WebSocket"];
  /** Names this client, as `client=` of each request. */
  readonly client: string;
  /** The client is closed. */
  readonly over: AbortSignal;
  /** The token to show, asked for anew each time; nothing where there is none. */
  token(): Promise<string | undefined>;
}

/** A channel that is to be read. */
export interface Wanted {
  readonly channel: string;
  /** Another number: the reading begins anew, though the channel is the same. */
  readonly reading: number;
  /** A cursor, or `start`. */
  readonly after: string | undefined;
  /** The newest N; stands only where there is no `after`. */
  readonly last: number | undefined;
  /** This reader is a member of the channel. */
  readonly lease: Lease | undefined;
}

/** What a connection is given: what to read, and whom to tell. */
export interface Link extends Place {
  /** The channels to read, with their cursors as they are now. */
  wanted(): Wanted[];
  /** Bytes came in, whatever they are. */
  heard(): void;
  /** The server itself has spoken: `hello`, or an answer. `silence_ms`: after so long without a byte the path is dead. */
  up(silence_ms: number): void;
  /** A message or control object; after `up`, but for a problem that explains the end. */
  take(push: Push): void;
  /** The reading of a channel stands here: its join cursor, or the end of a batch. */
  joined(channel: string, cursor: string): void;
  /** The connection is over; the last call of a connection. */
  down(error?: unknown): void;
}

export interface Connection {
  /** `link.wanted()` has changed. */
  sync(): void;
  /** Carries a command (docs/protocol.md §8) with its fields as JSON text; only where the transport can send. */
  command?(name: string, fields: string): Promise<unknown>;
  /** It carries no leases: whoever is a member has to renew them by requests. */
  readonly isLeaseless?: boolean;
  /** The machine woke up, or the network changed: find out whether the path still lives. */
  wake(): void;
  /** Lets go of everything; nothing is told to the link after it. */
  close(): void;
}

export interface Transport {
  readonly name: TransportName;
  /** Whether it can work here at all; it can when not said. */
  isUsable?(place: Place): boolean;
  open(link: Link): Connection;
}

/** What `tabs()` gives; see tabs.ts. */
export interface Share {
  /** Called once a client, which does not begin before `core.carryBy`. Gives how to stop. */
  begin(core: Core): () => void;
}
