// The visitor's network as the server keeps it: what is switched on, what passed through it, and for a run when it was out of order.
// The server opens it again by itself after a while, so a page that is looked at repeats its wish. Knows no markup.
import { signal } from "@preact/signals";
import { Fault } from "../transports/transport.ts";
import type { Problem } from "../wire.ts";
import type { Endpoint, Passed } from "./endpoint.ts";
import { isOpen, open_network, type Network } from "./parameters.ts";
import type { Fault as FaultSpan } from "./results.ts";

/** Sooner than the server forgets (120 s). */
const repeat_ms = 45_000;

export class Cable {
  readonly network = signal<Network>(open_network);
  readonly passed = signal<Passed | undefined>(undefined);
  readonly problem = signal<Problem | undefined>(undefined);
  readonly #endpoint: Endpoint;
  #spans: FaultSpan[] = [];
  /** `performance.now()` at the run's beginning. */
  #began = 0;
  /** One request at a time, and the newest wish last. */
  #sending: Promise<void> = Promise.resolve();
  #wishes = 0;

  /** Called when a cut cable is whole again: a browser whose network comes back tells its pages so. */
  readonly #onPlug: () => void;
  #isCut = false;

  constructor(endpoint: Endpoint, onPlug: () => void) {
    this.#endpoint = endpoint;
    this.#onPlug = onPlug;
    setInterval(() => {
      if (!isOpen(this.network.peek()) && document.visibilityState === "visible") void this.#send();
    }, repeat_ms);
    document.addEventListener("visibilitychange", () => {
      if (!isOpen(this.network.peek()) && document.visibilityState === "visible") void this.refresh().catch(() => undefined);
    });
  }

  /** Switches; resolves when the server has it. */
  set(change: Partial<Network>): Promise<void> {
    this.network.value = { ...this.network.peek(), ...change };
    this.#mark();
    return this.#send();
  }

  /** A run begins: what is switched on now counts from its beginning. */
  begin(now: number): void {
    this.#began = now;
    this.#spans = [];
    this.#mark();
  }

  /** When the network was out of order in this run; what still is ends now. */
  faults(now: number): FaultSpan[] {
    const at = this.#second(now);
    return this.#spans.map((span) => ({ ...span, to: Number.isFinite(span.to) ? span.to : at }));
  }

  /** Asks what passed. Faults that ended by themselves, while nobody looked, are shown as ended. */
  async refresh(): Promise<void> {
    const wishes = this.#wishes;
    await this.#sending;
    const passed = await this.#endpoint.passed();
    this.passed.value = passed;
    if (!passed.isMended || wishes !== this.#wishes || isOpen(this.network.peek()) || this.problem.peek()) return;
    this.network.value = open_network;
    this.#mark();
  }

  #send(): Promise<void> {
    this.#wishes += 1;
    this.#sending = this.#sending.then(async () => {
      try {
        const network = this.network.peek();
        await this.#endpoint.setNetwork(network);
        this.problem.value = undefined;
        if (this.#isCut && !network.cut) this.#onPlug();
        this.#isCut = network.cut;
      } catch (error) {
        this.problem.value = error instanceof Fault ? error.problem : { code: "unreachable" };
      }
    });
    return this.#sending;
  }

  #mark(): void {
    const { cut, drop, buffer, delay_ms, slow_bytes_per_s } = this.network.peek();
    const is = { cut, drop, buffer, delay: delay_ms > 0, slow: slow_bytes_per_s > 0 };
    const at = this.#second(performance.now());
    for (const what of Object.keys(is) as Array<FaultSpan["what"]>) {
      const open = this.#spans.findIndex((span) => span.what === what && !Number.isFinite(span.to));
      const span = this.#spans[open];
      if (is[what] && !span) this.#spans.push({ what, from: at, to: Number.POSITIVE_INFINITY });
      if (!is[what] && span) this.#spans[open] = { ...span, to: at };
    }
  }

  #second(now: number): number {
    return Math.max(0, Math.round((now - this.#began) / 100) / 10);
  }
}
