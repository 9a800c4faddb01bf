// What the server keeps, read by a request of its own, whatever the transport.
import { askJson } from "./http.ts";
import type { Place } from "./link.ts";
import type { History, HistoryOptions, Message } from "./types.ts";
import { pathOf, type Batch, type WireMessage } from "./wire.ts";

export async function readHistory(place: Place, channel: string, options: HistoryOptions): Promise<History> {
  const batch = await askJson<Batch>(place, pathOf(channel), options);
  return { ...batch, messages: batch.messages.map(readMessage) };
}

/** The message as the application sees it: bytes as bytes. */
export function readMessage({ bytes, ...message }: WireMessage): Message {
  if (bytes !== undefined) message.data = Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0));
  return message as Message;
}
