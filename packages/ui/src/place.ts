// Which channel the visitor is in: what the page's address names after `#`. The two chat pages share it.
import { signal } from "@preact/signals";
import { channelName, channelOfHash, encodeName } from "./channel.ts";

const first_channel = "chat";

const ofAddress = (): string => channelOfHash(location.hash) ?? first_channel;

export const channel = signal(ofAddress());

addEventListener("hashchange", () => (channel.value = ofAddress()));

/** Goes to another channel; false when it cannot be one. */
export function visit(typed: string): boolean {
  const name = channelName(typed);
  if (name === undefined) return false;
  if (name !== channel.value) location.hash = encodeName(name);
  return true;
}
