// `efir/react`: a channel, who is in it, and the connection as state of a component. Knows the client by its types alone. Whatever
// opens something lies behind useSyncExternalStore or an effect, never in a render, so that StrictMode's second mount and a render
// that React throws away cost nothing.
import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type { Channel, Client, Gap, Json, Member, Message, State, TransportName } from "./types.ts";

/** Where a component begins to read, and how much it keeps. */
export interface ChannelOptions {
  /** Begin after this position, or with the oldest message that is kept ("start"). */
  after?: string;
  /** Begin with the newest N messages. Without `after` and `last`: with what comes from now on. */
  last?: number;
  /** How many messages stay in `messages`; the oldest fall out. Default 500. */
  keep?: number;
}

/** What a component knows of a channel. */
export interface ChannelView<T> {
  /** Oldest first; a new array after each change, so that it can be a dependency. */
  readonly messages: readonly Message<T>[];
  /** The newest gap since the component stands there: something before the messages that follow it is lost. */
  readonly gap: Gap | null;
  /** As `channel.publish`. The same function in every render. */
  readonly publish: Channel<T>["publish"];
}

/** Who is in a channel. */
export interface PresenceView {
  readonly members: readonly Member[];
  /** How many there are; above the server's limit `members` is empty and only this is told. */
  readonly count: number;
  /** Why entering was refused; null while all is well. */
  readonly error: Error | null;
}

const keep_default = 500;

/**
 * The messages of a channel, and how to publish in it. Changed options begin anew.
 *
 * ```tsx
 * const { messages, publish } = useChannel<string>(client, "chat", { last: 50 });
 * ```
 */
export function useChannel<T = unknown>(client: Client, name: string, options: ChannelOptions = {}): ChannelView<T> {
  const { after, last, keep = keep_default } = options;
  const log = useMemo(() => new Log<T>(client, name, { after, last, keep }), [client, name, after, last, keep]);
  const { messages, gap } = useSyncExternalStore(log.subscribe, log.snapshot, log.snapshot);
  const publish = useCallback<Channel<T>["publish"]>((data, how) => client.channel<T>(name).publish(data, how), [client, name]);
  return useMemo(() => ({ messages, gap, publish }), [messages, gap, publish]);
}

/**
 * Who is in a channel. With `who` this client is in it, too, for as long as a component that says so is mounted; without, it only looks.
 *
 * ```tsx
 * const { members, count } = usePresence(client, "chat", { name: "Ann" });
 * ```
 */
export function usePresence(client: Client, name: string, who?: { name?: string; data?: Json }): PresenceView {
  const roll = useMemo(() => new Roll(client, name), [client, name]);
  const view = useSyncExternalStore(roll.subscribe, roll.snapshot, roll.snapshot);
  // What is said is compared, not the object that says it: `{ name }` is a new one in every render.
  const said = who && JSON.stringify(who);
  useEffect(() => {
    if (said === undefined) return undefined;
    return attendance(client, name).join(said, roll.refused);
  }, [client, name, said, roll]);
  return view;
}

/** The state of the connection and the transport that carries it. */
export function useConnection(client: Client): { readonly state: State; readonly transport: TransportName | null } {
  const state = useSyncExternalStore(
    useCallback((changed: () => void) => client.on("state", changed), [client]),
    () => client.state,
    () => "connecting" as const,
  );
  const transport = useSyncExternalStore(
    useCallback((changed: () => void) => client.on("transport", changed), [client]),
    () => client.transport,
    () => null,
  );
  return useMemo(() => ({ state, transport }), [state, transport]);
}

/** Something that is open while anybody listens to it, and shows a new object after each change. */
abstract class Store<Shown> {
  readonly #listeners = new Set<() => void>();
  #close: (() => void) | undefined;
  #shown: Shown;
  #isStale = false;

  constructor(first: Shown) {
    this.#shown = first;
  }

  /** Opens it, and returns what closes it. It may be opened again later, and then goes on where it was. */
  protected abstract open(): () => void;
  /** What is to be seen now; never the object that was given before. */
  protected abstract show(): Shown;

  protected changed = (): void => {
    this.#isStale = true;
    for (const listener of this.#listeners) listener();
  };

  /** One copy a render, however many messages came since the last one. */
  readonly snapshot = (): Shown => {
    if (this.#isStale) this.#shown = this.show();
    this.#isStale = false;
    return this.#shown;
  };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#close ??= this.open();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#close?.();
      this.#close = undefined;
    };
  };
}

/** The newest messages of a channel, as one component reads it. */
class Log<T> extends Store<{ messages: readonly Message<T>[]; gap: Gap | null }> {
  readonly #client: Client;
  readonly #name: string;
  readonly #from: { after: string | undefined; last: number | undefined; keep: number };
  readonly #kept: Message<T>[] = [];
  #gap: Gap | null = null;

  constructor(client: Client, name: string, from: { after: string | undefined; last: number | undefined; keep: number }) {
    super({ messages: [], gap: null });
    this.#client = client;
    this.#name = name;
    this.#from = from;
  }

  protected open(): () => void {
    const channel = this.#client.channel<T>(this.#name);
    const silence = channel.on("gap", (gap) => {
      this.#gap = gap;
      this.changed();
    });
    const leave = channel.subscribe((message) => this.#take(message), this.#where());
    return () => {
      leave();
      silence();
    };
  }

  protected show(): { messages: readonly Message<T>[]; gap: Gap | null } {
    return { messages: [...this.#kept], gap: this.#gap };
  }

  /** The second time (StrictMode, or a hidden tree that is shown again) it reads on behind what it has. */
  #where(): { after?: string; last?: number } {
    const { after, last } = this.#from;
    const cursor = this.#kept.at(-1)?.position ?? after;
    if (cursor !== undefined) return { after: cursor };
    return last === undefined ? {} : { last };
  }

  #take(message: Message<T>): void {
    this.#kept.push(message);
    if (this.#kept.length > this.#from.keep) this.#kept.shift();
    this.changed();
  }
}

/** Who is in a channel, as one component sees it. */
class Roll extends Store<PresenceView> {
  readonly #client: Client;
  readonly #name: string;
  #members: readonly Member[] = [];
  #count = 0;
  #error: Error | null = null;

  constructor(client: Client, name: string) {
    super({ members: [], count: 0, error: null });
    this.#client = client;
    this.#name = name;
  }

  protected open(): () => void {
    return this.#client.channel(this.#name).presence.subscribe((presence) => {
      this.#members = [...presence.members.values()];
      this.#count = presence.count;
      this.changed();
    });
  }

  protected show(): PresenceView {
    return { members: this.#members, count: this.#count, error: this.#error };
  }

  /** Entering succeeded (null) or was refused. */
  readonly refused = (error: Error | null): void => {
    if (this.#error === error) return;
    this.#error = error;
    this.changed();
  };
}

/** What one client says about itself in one channel, on behalf of all components that say so. */
class Attendance {
  readonly #client: Client;
  readonly #name: string;
  /** Who has joined, the newest last: it is the one that is heard. */
  readonly #joined = new Set<{ said: string; tell: (error: Error | null) => void }>();
  /** What was said last, whether it was heard or refused; undefined: nothing. */
  #said: string | undefined;
  #isIn = false;
  #isSettling = false;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = name;
  }

  join(said: string, tell: (error: Error | null) => void): () => void {
    const entry = { said, tell };
    this.#joined.add(entry);
    this.#settle();
    return () => {
      this.#joined.delete(entry);
      this.#settle();
    };
  }

  /** One step at a time, and none before the present turn is over: to leave and enter in one breath is neither. */
  #settle(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    void Promise.resolve().then(() => this.#steps());
  }

  async #steps(): Promise<void> {
    for (;;) {
      const newest = [...this.#joined].at(-1);
      if (newest?.said === this.#said) break;
      this.#said = newest?.said;
      let refusal: Error | null = null;
      try {
        await this.#step(newest?.said);
      } catch (error) {
        // Told to whoever wanted it; tried again when somebody says something else.
        refusal = error instanceof Error ? error : new Error(String(error));
      }
      newest?.tell(refusal);
    }
    this.#isSettling = false;
  }

  async #step(said: string | undefined): Promise<void> {
    const { presence } = this.#client.channel(this.#name);
    if (said !== undefined) {
      const who = JSON.parse(said) as { name?: string; data?: Json };
      await (this.#isIn ? presence.update(who) : presence.enter(who));
      this.#isIn = true;
    } else if (this.#isIn) {
      this.#isIn = false;
      await presence.leave();
    }
  }
}

const attendances = new WeakMap<Client, Map<string, Attendance>>();

function attendance(client: Client, name: string): Attendance {
  const ofClient = attendances.get(client) ?? new Map<string, Attendance>();
  attendances.set(client, ofClient);
  const known = ofClient.get(name) ?? new Attendance(client, name);
  ofClient.set(name, known);
  return known;
}
