// The objects of the protocol as the page reads them (docs/protocol.md §4). Knows nothing of transports, panes or the document.

export type TransportName = "short-poll" | "long-poll" | "sse" | "http-stream" | "websocket";

export const transportNames: readonly TransportName[] = ["short-poll", "long-poll", "sse", "http-stream", "websocket"];

export interface Message {
  channel: string;
  position: string;
  /** Milliseconds since 1970 UTC, the server's clock. */
  time: number;
  /** There when the server has proven who sent it. */
  from?: string;
  /** The JSON that was published, or a string for text. */
  data?: unknown;
  /** Base64; stands instead of `data` when the payload is not text. */
  bytes?: string;
}

export interface Gap {
  channel?: string;
  reason: string;
  after?: string;
  resume_from?: string;
  epoch?: string;
}

export interface Problem {
  code: string;
  title?: string;
  detail?: string;
  status?: number;
  /** On a socket: the frame sent that was refused (1, 2, 3 …); the connection itself goes on. */
  ordinal?: number;
  action?: "retry_now" | "retry_later" | "refresh_token" | "stop";
  retry_after_ms?: number;
}

export interface Hello {
  channel: string;
  cursor: string;
  heartbeat_ms: number;
}

/** What a stream or socket carries: a message, or a control object with one key, its name. */
export type Push =
  | { kind: "message"; message: Message }
  | { kind: "hello"; hello: Hello }
  | { kind: "heartbeat"; cursor: string | undefined }
  | { kind: "gap"; gap: Gap }
  | { kind: "problem"; problem: Problem }
  | { kind: "other" };

/** The answer of a poll. */
export interface Batch {
  channel: string;
  messages: Message[];
  cursor: string;
  more: boolean;
  gap?: Gap;
}

type Json = Record<string, unknown>;

/** Reads one object of an NDJSON line or a WebSocket frame. Unknown control objects are `other`: later servers may send more. */
export function readPush(text: string): Push {
  const json = JSON.parse(text) as Json;
  if ("position" in json) return { kind: "message", message: json as unknown as Message };
  const name = Object.keys(json)[0] ?? "";
  return readControl(name, json[name] as Json);
}

/** Reads the inner object of a control object: SSE sends it alone, its name is the event's. */
export function readControl(name: string, inner: Json): Push {
  switch (name) {
    case "hello":
      return { kind: "hello", hello: inner as unknown as Hello };
    case "heartbeat":
      return { kind: "heartbeat", cursor: typeof inner["cursor"] === "string" ? inner["cursor"] : undefined };
    case "gap":
      return { kind: "gap", gap: inner as unknown as Gap };
    case "problem":
      return { kind: "problem", problem: inner as unknown as Problem };
    default:
      return { kind: "other" };
  }
}
