// What a message says, whoever sent it: this page, a curl line, a program that sends its own JSON, or bytes.
import type { Message } from "./wire.ts";

export type Content =
  { kind: "text"; text: string } | { kind: "json"; json: string } | { kind: "bytes"; count: number };

export interface Readable {
  content: Content;
  from: string | undefined;
  /** The visitor's id, where the sender says it. */
  member: string | undefined;
  /** The transport that the sender says it used. */
  via: string | undefined;
  /** The sender's own stamp; this page knows its own again by it. */
  sent: number | undefined;
}

/** Makes a message of the wire readable. */
export function readMessage({ data, bytes, from }: Message): Readable {
  return bytes === undefined ? readPayload(data, from) : plain({ kind: "bytes", count: countBytes(bytes) }, from);
}

/** Makes a payload readable. A proven sender (`from` of the envelope) beats the one that the payload claims. */
export function readPayload(data: unknown, from?: string): Readable {
  if (data instanceof Uint8Array) return plain({ kind: "bytes", count: data.length }, from);
  if (typeof data === "string") return plain({ kind: "text", text: data }, from);
  const fields: Record<string, unknown> =
    typeof data === "object" && data !== null && !Array.isArray(data) ? { ...data } : {};
  const text = stringOf(fields["text"]);
  return {
    content: text === undefined ? { kind: "json", json: spaced(data) } : { kind: "text", text },
    from: from ?? stringOf(fields["from"]),
    member: stringOf(fields["member"]),
    via: stringOf(fields["via"]),
    sent: typeof fields["sent"] === "number" ? fields["sent"] : undefined,
  };
}

/** Whether a visitor said it: by id where the message names one (several may have one name), otherwise by name. */
export function isBy({ member, from }: Readable, visitor: { id: string; name: string }): boolean {
  return member === undefined ? from === visitor.name : member === visitor.id;
}

function plain(content: Content, from: string | undefined): Readable {
  return { content, from, member: undefined, via: undefined, sent: undefined };
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
