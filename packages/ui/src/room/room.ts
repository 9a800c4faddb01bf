// The main room: one client of `efir`, the channel that the visitor is in, and what the page shows of both, as signals.
// Knows nothing of markup; view/ shows it. The client does the carrying: here stands no transport, no cursor, no retry.
import { computed, effect, signal, untracked } from "@preact/signals";
import { connect, EfirError, type Channel, type Client, type Message, type State, type TransportName } from "efir";
import { home } from "../look/home.ts";
import { Outbox } from "../outbox.ts";
import { isBy, readPayload } from "../payload.ts";
import { channel } from "../place.ts";
import { memberId, nickname } from "../preferences.ts";
import { Cable } from "./cable.ts";
import { Conversation, type Draft, type Fate } from "./conversation.ts";
import { Company } from "./company.ts";

/** What was said before the visitor came, at most. */
const history_first = 50;
/** A state shorter than this is not spoken of: a switch of transports, a server that comes back at once. */
const patience_ms = 900;
/** Refusals that say "not now": the same may be tried again. Others say that the message itself must change. */
const again_codes: readonly string[] = ["queue_full", "closed", "timeout"];

/** What the client does, or that its cable is cut by the visitor. */
export type Air = State | "cut";

export class Room {
  readonly cable = new Cable();
  readonly conversation = signal(new Conversation());
  readonly company: Company;
  readonly transport = signal<TransportName | null>(null);
  /** The visitor's choice; null: the client chooses. */
  readonly chosen = signal<TransportName | null>(null);
  /** Milliseconds from sending to own receipt of the newest own message, over the present transport. */
  readonly latency_ms = signal<number | undefined>(undefined);
  /** Why the client gave up for good. */
  readonly fault = signal<EfirError | undefined>(undefined);
  /** Why the visitor may not read this channel. */
  readonly denied = signal<EfirError | undefined>(undefined);
  /** For how many messages of others the visitor was not looking. */
  readonly unseen = signal(0);
  readonly #state = signal<State>("connecting");
  readonly air = computed<Air>(() => (this.cable.isCut.value ? "cut" : this.#state.value));
  /** As `air`, without what passes at once. */
  readonly steadyAir = signal<Air>("connecting");
  readonly #client: Client;
  readonly #outbox = new Outbox();
  #leave: () => void = () => undefined;
  #channel: Channel | undefined;
  /** The transport that `latency_ms` speaks of. */
  #timed: TransportName | undefined;
  #drafts = 0;

  constructor() {
    const { fetch, WebSocket } = this.cable;
    this.#client = connect(home(), { fetch, WebSocket, member: { id: memberId, name: nickname.peek() } });
    this.company = new Company(memberId);
  }

  /** Begins; called once. */
  start(): void {
    const client = this.#client;
    const settle = (): void => {
      this.#state.value = client.state;
      this.transport.value = client.transport;
    };
    client.on("state", settle);
    client.on("transport", (transport) => {
      settle();
      // The figure is one of a transport; that there is none just now does not make it wrong.
      if (transport !== null && transport !== this.#timed) this.latency_ms.value = undefined;
      this.#timed = transport ?? this.#timed;
    });
    client.on("error", (error) => {
      if (!(error instanceof EfirError)) return;
      if (client.state === "closed") this.fault.value = error;
      if (!error.retryable && error.problem.channel === channel.peek()) this.denied.value = error;
    });
    settle();
    effect(() => this.#steady(this.air.value));
    effect(() => {
      const name = channel.value;
      untracked(() => this.#enter(name));
    });
    addEventListener("beforeunload", (event) => {
      // What waits lives in this window only.
      if (this.conversation.value.drafts.some(({ fate }) => fate.kind === "sending")) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.unseen.value = 0;
    });
  }

  /** Goes over to a transport with nothing lost or repeated; null lets the client choose. */
  use(transport: TransportName | null): void {
    this.chosen.value = transport;
    this.#client.use(transport);
  }

  /** Cuts the cable, or plugs it in again. */
  cut(isCut: boolean): void {
    if (isCut) return this.cable.cut();
    this.cable.plug();
    // What a browser says when its network is back: the client need not wait for its next attempt.
    dispatchEvent(new Event("online"));
  }

  say(text: string): void {
    this.#drafts += 1;
    const sent = this.#outbox.stamp();
    void this.#publish({ key: `${memberId}-${sent}-${this.#drafts}`, text, sent, fate: { kind: "sending" } });
  }

  /** Tries a refused draft again, with the same key: it cannot come to stand twice in one log. */
  again(draft: Draft): void {
    void this.#publish({ ...draft, fate: { kind: "sending" } });
  }

  discard(draft: Draft): void {
    this.conversation.value = this.conversation.value.discard(draft.key);
  }

  async #publish(draft: Draft): Promise<void> {
    const place = this.#channel;
    if (!place) return;
    this.conversation.value = this.conversation.value.draft(draft);
    const settle = (fate: Fate): void => {
      if (this.#channel === place) this.conversation.value = this.conversation.value.settle(draft.key, fate);
    };
    const via = this.transport.value ?? undefined;
    try {
      const payload = { text: draft.text, from: nickname.value, member: memberId, via, sent: draft.sent };
      await place.publish(payload, { key: draft.key });
      settle({ kind: "accepted" });
    } catch (error) {
      settle(fateOf(error));
    }
  }

  #enter(name: string): void {
    this.#leave();
    const place = this.#client.channel(name);
    this.#channel = place;
    this.conversation.value = new Conversation();
    this.latency_ms.value = undefined;
    this.denied.value = undefined;
    const endings = [
      place.subscribe((message) => this.#take(message), { last: history_first }),
      place.on("gap", (gap) => (this.conversation.value = this.conversation.value.gap(gap.reason))),
      this.company.join(place.presence),
    ];
    this.#leave = () => endings.forEach((end) => end());
  }

  #take({ position, time, data, from }: Message): void {
    const readable = readPayload(data, from);
    const isOwn = isBy(readable, { id: memberId, name: nickname.value });
    const latency_ms = this.#outbox.latency(readable.sent, performance.now());
    if (isOwn && latency_ms !== undefined) this.latency_ms.value = latency_ms;
    if (!isOwn && document.visibilityState === "hidden") this.unseen.value += 1;
    this.conversation.value = this.conversation.value.take({ position, time, readable, isOwn });
  }

  #steady(air: Air): () => void {
    // Good news, and what the visitor did on purpose, at once.
    if (air === "online" || air === "cut" || air === "closed") {
      this.steadyAir.value = air;
      return () => undefined;
    }
    const timer = setTimeout(() => (this.steadyAir.value = air), patience_ms);
    return () => clearTimeout(timer);
  }
}

function fateOf(error: unknown): Fate {
  if (!(error instanceof EfirError)) return { kind: "refused", why: String(error), isRetryable: true };
  if (error.code === "outcome_unknown") return { kind: "unknown" };
  return { kind: "refused", why: error.message, isRetryable: error.retryable || again_codes.includes(error.code) };
}
