// One pane: a client of its own on one transport, with what it has received and how it fares, as signals that the view shows.
// Knows nothing of markup. page.ts makes the five and says which may run.
import { signal } from "@preact/signals";
import { clientId, encodeName } from "./channel.ts";
import { LatencySamples, type Latency } from "./latency.ts";
import type { Outbox } from "./outbox.ts";
import { readMessage, type Readable } from "./payload.ts";
import { memberId, nickname } from "./preferences.ts";
import { publish } from "./publish.ts";
import { Reader, type Arrived, type Source, type State } from "./reader.ts";
import { Timeline } from "./timeline.ts";
import type { Traffic } from "./traffic.ts";
import { transports } from "./transports/list.ts";
import { Fault } from "./transports/transport.ts";
import type { Batch, Gap, Message, Problem, TransportName } from "./wire.ts";

/** A line of the list. */
export type Entry =
  | {
      kind: "message";
      key: string;
      message: Message;
      readable: Readable;
      isCaughtUp: boolean;
      latency_ms: number | undefined;
    }
  | { kind: "gap"; key: string; gap: Gap };

/** Why the last thing typed was not sent. */
export type Refusal = { kind: "unconnected" } | { kind: "unreachable" } | { kind: "problem"; problem: Problem };

/** More than that nobody scrolls back; older ones are in the log. */
const entries_max = 300;
const head_ms_max = 1_500;

export class Pane {
  readonly name: TransportName;
  /** Names this client to the server's counters. */
  readonly client: string;
  readonly isHeld: boolean;
  readonly timeline = new Timeline();
  readonly state = signal<State>({ kind: "connecting" });
  readonly isCut = signal(false);
  /** Newest first. */
  readonly entries = signal<readonly Entry[]>([]);
  readonly latency = signal<Latency | undefined>(undefined);
  readonly traffic = signal<Traffic | undefined>(undefined);
  /** How many payloads are on their way, not yet taken or refused. */
  readonly sending = signal(0);
  readonly refusal = signal<Refusal | undefined>(undefined);
  readonly #base: string;
  readonly #outbox: Outbox;
  readonly #transport;
  readonly #samples = new LatencySamples();
  #channel = "";
  #reader: Reader | undefined;
  /** False while the window is hidden or another one holds the long requests. */
  #isAllowed = false;
  /** Came in during the present task; shown together. */
  #fresh: Entry[] = [];
  #gaps = 0;

  constructor(name: TransportName, base: string, outbox: Outbox) {
    this.name = name;
    this.client = clientId(name);
    this.#base = base;
    this.#outbox = outbox;
    this.#transport = transports[name]();
    this.isHeld = this.#transport.isHeld;
  }

  /** Leaves the channel it was on and reads another one from its newest messages. */
  join(channel: string): void {
    this.#reader?.stop({ kind: "connecting" });
    this.#channel = channel;
    this.#fresh = [];
    this.entries.value = [];
    this.latency.value = undefined;
    this.#samples.clear();
    this.#reader = this.#readerOf(channel);
    this.#settle();
  }

  /** Whether this window may run it. */
  allow(isAllowed: boolean): void {
    if (this.#isAllowed === isAllowed) return;
    this.#isAllowed = isAllowed;
    this.#settle();
  }

  /** Cuts the cable, or plugs it in again. */
  cut(isCut: boolean): void {
    if (this.isCut.value === isCut) return;
    this.isCut.value = isCut;
    if (isCut) this.timeline.cut(performance.now());
    else this.timeline.plug(performance.now());
    this.#settle();
  }

  hurry(): void {
    this.#reader?.hurry();
  }

  /** Publishes what was typed; false, with `refusal` set, when it was not taken. */
  async send(text: string): Promise<boolean> {
    this.refusal.value = undefined;
    const payload = JSON.stringify({
      text,
      from: nickname.value,
      member: memberId,
      via: this.name,
      sent: this.#outbox.stamp(),
    });
    this.timeline.mark("sent", performance.now());
    if (this.#transport.publish) {
      const isSent = this.#transport.publish(payload);
      if (!isSent) this.refusal.value = { kind: "unconnected" };
      return isSent;
    }
    this.sending.value += 1;
    try {
      await publish(this.#address({ client: this.client }), payload);
      return true;
    } catch (error) {
      this.refusal.value =
        error instanceof Fault ? { kind: "problem", problem: error.problem } : { kind: "unreachable" };
      return false;
    } finally {
      this.sending.value -= 1;
    }
  }

  #settle(): void {
    if (this.isCut.value) this.#reader?.stop({ kind: "cut" });
    else if (!this.#isAllowed) this.#reader?.stop({ kind: "paused" });
    else this.#reader?.start();
  }

  /** The channel's address; `client` in the query makes the server count it as this pane's traffic. */
  #address(query: Record<string, string>): string {
    const address = new URL(`channels/${encodeName(this.#channel)}`, this.#base);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address.href;
  }

  #readerOf(channel: string): Reader {
    const isCurrent = (): boolean => this.#channel === channel;
    const source: Source = {
      // Reading makes the visitor a member of the channel, with this pane as one of the transports.
      address: (query) =>
        this.#address({ ...query, client: this.client, member: memberId, name: nickname.peek() }),
      head: () => this.#head(),
    };
    return new Reader(this.#transport, source, {
      state: (state) => {
        if (isCurrent()) this.state.value = state;
      },
      message: (arrived) => {
        if (isCurrent()) this.#message(arrived);
      },
      gap: (gap) => {
        if (!isCurrent()) return;
        this.timeline.mark("gap", performance.now());
        this.#add({ kind: "gap", key: `gap-${(this.#gaps += 1)}`, gap });
      },
      refused: (problem) => (this.refusal.value = { kind: "problem", problem }),
      heartbeat: () => this.timeline.mark("heartbeat", performance.now()),
      begin: () => this.timeline.begin(performance.now()),
    });
  }

  /** One short question beside the transport, not counted as its traffic: it serves the mark "caught up" alone. */
  async #head(): Promise<string | undefined> {
    const address = this.#address({ last: "1", transport: "short-poll" });
    try {
      const response = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(head_ms_max) });
      return response.ok ? ((await response.json()) as Batch).cursor : undefined;
    } catch {
      return undefined;
    }
  }

  #message({ message, at, isCaughtUp }: Arrived): void {
    const readable = readMessage(message);
    const latency_ms = isCaughtUp ? undefined : this.#outbox.latency(readable.sent, at);
    if (latency_ms !== undefined) this.latency.value = this.#samples.add(latency_ms);
    this.timeline.mark(isCaughtUp ? "caught-up" : "message", performance.now());
    this.#add({ kind: "message", key: message.position, message, readable, isCaughtUp, latency_ms });
  }

  #add(entry: Entry): void {
    this.#fresh.unshift(entry);
    if (this.#fresh.length > 1) return;
    queueMicrotask(() => {
      this.entries.value = [...this.#fresh, ...this.entries.peek()].slice(0, entries_max);
      this.#fresh = [];
    });
  }
}
