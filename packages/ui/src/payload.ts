// What a message says, whoever sent it: this page, a curl line, a program that sends its own JSON, or bytes.
import type { Message } from "./wire.ts";

export type Content =
  { kind: "text"; text: string } | { kind: "json"; json: string } | { kind: "bytes"; count: number };

export interface Readable {
  content: Content;
  from: string | undefined;
  /** The transport that the sender says it used. */
  via: string | undefined;
  /** The sender's own stamp; this page knows its own again by it. */
  sent: number | undefined;
}

/** Makes a message readable. A proven sender (`from` of the envelope) beats the one that the payload claims. */
export function readMessage(message: Message): Readable {
  const { data } = message;
  const from = message.from;
  if (message.bytes !== undefined)
    return { content: { kind: "bytes", count: countBytes(message.bytes) }, from, via: undefined, sent: undefined };
  if (typeof data === "string") return { content: { kind: "text", text: data }, from, via: undefined, sent: undefined };
  const fields: Record<string, unknown> =
    typeof data === "object" && data !== null && !Array.isArray(data) ? { ...data } : {};
  const text = stringOf(fields["text"]);
  return {
    content: text === undefined ? { kind: "json", json: spaced(data) } : { kind: "text", text },
    from: from ?? stringOf(fields["from"]),
    via: stringOf(fields["via"]),
    sent: typeof fields["sent"] === "number" ? fields["sent"] : undefined,
  };
}

/** JSON on one line, with spaces at which it may wrap. A string in it has no line breaks of its own: they are escaped. */
function spaced(data: unknown): string {
  const lines = JSON.stringify(data, null, 1) ?? "";
  return lines.replace(/([[{])\n */g, "$1").replace(/\n *([\]}])/g, "$1").replace(/\n */g, " ");
}

/** Length of what a base64 text stands for. */
export function countBytes(base64: string): number {
  const digits = base64.replace(/=+$/, "").length;
  return Math.floor((digits * 3) / 4);
}

function stringOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
