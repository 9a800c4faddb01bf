// Who is in the channel, as the server tells it by presence. Where a server tells nothing, that is a state as well, and the room goes on.
// Knows nothing of markup.
import { effect, signal } from "@preact/signals";
import type { Member, Presence } from "efir";
import { nickname } from "../preferences.ts";

/** A name that is being typed is told when it rests. */
const rest_ms = 600;

export type Told =
  | { kind: "asking" }
  /** The server has no presence, or refuses it here. */
  | { kind: "untold"; why: string }
  | { kind: "members"; members: readonly Member[]; count: number }
  /** More than the server lists. */
  | { kind: "count"; count: number };

export class Company {
  readonly told = signal<Told>({ kind: "asking" });
  readonly #own: string;

  constructor(own: string) {
    this.#own = own;
  }

  /** Enters and follows; gives how to leave. */
  join(presence: Presence): () => void {
    let isThere = true;
    const refused = (error: unknown): void => {
      if (isThere && this.told.value.kind === "asking")
        this.told.value = { kind: "untold", why: error instanceof Error ? error.message : String(error) };
    };
    this.told.value = { kind: "asking" };
    const unsubscribe = presence.subscribe((now) => (this.told.value = this.#read(now)));
    presence.enter({ name: nickname.peek() }).catch(refused);
    const stop = followName((name) => presence.update({ name }).catch(refused));
    return () => {
      isThere = false;
      stop();
      unsubscribe();
      presence.leave().catch(() => undefined);
    };
  }

  #read({ members, count }: Presence): Told {
    if (count > members.size) return { kind: "count", count };
    return { kind: "members", members: sorted([...members.values()], this.#own), count };
  }
}

/** Oneself first, then by name. */
function sorted(members: Member[], own: string): Member[] {
  const rank = (member: Member): string => `${member.id === own ? 0 : 1}${(member.name ?? member.id).toLowerCase()}`;
  return members.sort((a, b) => rank(a).localeCompare(rank(b)) || a.since - b.since);
}

/** Tells a changed name once it rests. */
function followName(tell: (name: string) => void): () => void {
  let told = nickname.peek();
  return effect(() => {
    const name = nickname.value;
    if (name === told) return undefined;
    const timer = setTimeout(() => {
      told = name;
      tell(name);
    }, rest_ms);
    return () => clearTimeout(timer);
  });
}
