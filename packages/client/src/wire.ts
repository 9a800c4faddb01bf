// The objects of the protocol (docs/protocol.md §4, §7, §9) as they come in. Knows nothing of transports.
import type { Gap, Json, Member } from "./types.ts";

export interface WireMessage {
  channel: string;
  position: string;
  time: number;
  from?: string;
  data?: unknown;
  /** Base64; stands instead of `data` when the payload is not text. */
  bytes?: string;
}

export interface Problem {
  code: string;
  title?: string;
  detail?: string | undefined;
  status?: number;
  /** The only channel that it concerns. */
  channel?: string;
  action?: "retry_now" | "retry_later" | "refresh_token" | "stop";
  retry_after_ms?: number;
  limit?: { name: string; value: number };
}

export interface Hello {
  heartbeat_ms: number;
  channel?: string;
  cursor?: string;
  channels?: Array<{ channel: string; cursor: string }>;
}

/** The members of a channel at a position of its presence log. */
export interface PresenceState {
  /** Without `/presence`. */
  channel: string;
  cursor: string;
  count: number;
  /** Absent above the server's limit. */
  members?: Member[];
}

/** `data` of a message of a presence log. */
export interface PresenceChange {
  enter?: Member;
  update?: Member;
  leave?: { id: string };
  count?: number;
  state?: { count: number; members?: Member[] };
}

/** What comes in a stream or socket: a message, or a control object with one key. */
export interface Push extends Partial<WireMessage> {
  hello?: Hello;
  heartbeat?: { time: number; cursor?: string };
  gap?: Gap;
  problem?: Problem;
  presence?: PresenceState;
}

/** The answer of a poll; several channels: the plural fields, and a token as cursor. */
export interface Batch {
  channel?: string;
  messages: WireMessage[];
  cursor: string;
  more: boolean;
  gap?: Gap;
  gaps?: Gap[];
  problems?: Problem[];
  presence?: PresenceState | PresenceState[];
}

/** What makes a reader a member of a channel. */
export interface Lease {
  id: string;
  name?: string | undefined;
  data?: Json | undefined;
}

/** The log of who came and went in a channel. */
export const presenceOf = (channel: string): string => `${channel}/presence`;

/** The path of a channel below the server's address; `chat/presence` keeps its slash. */
export const pathOf = (channel: string): string =>
  `channels/${channel.split("/").map(encodeURIComponent).join("/")}`;
