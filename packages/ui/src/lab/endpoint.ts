// The server's lab as HTTP: its clock, its generator, its network switches. All of it goes straight to the server, never through the
// visitor's network, or nobody could mend a cut cable. Knows nothing of what is measured.
import { Fault, readProblem } from "../transports/transport.ts";
import type { Network, Parameters } from "./parameters.ts";

const answer_ms_max = 8_000;
/** Between the answer and the first message, so that five readers stand by then. */
const wait_ms = 1_000;

export interface Run {
  run: string;
  channel: string;
  /** When the first message is planned, on the server's clock. */
  begins: number;
}

/** How far the generator is. */
export interface Progress {
  published: number;
  isOver: boolean;
}

/** What went through the visitor's network. */
export interface Passed {
  connections: number;
  bytes_down: number;
  bytes_up: number;
  /** The faults have ended, be it by themselves. */
  isMended: boolean;
}

type Json = Record<string, unknown>;

export class Endpoint {
  readonly #base: string;
  readonly visitor: string;
  #runs = 0;

  constructor(base: string, visitor: string) {
    this.#base = base;
    this.visitor = visitor;
  }

  /** The server as seen through this visitor's network: the base of all readers. */
  get via(): string {
    return new URL(`lab/via/${this.visitor}/`, this.#base).href;
  }

  /** Whether the server has a lab; undefined where it cannot be reached. */
  async isOn(): Promise<boolean | undefined> {
    try {
      return (await this.#ask("info"))["lab"] === true;
    } catch {
      return undefined;
    }
  }

  /** The server's time, in milliseconds since 1970, with fractions. */
  async time(): Promise<number> {
    return Number((await this.#ask("lab/clock"))["time"]);
  }

  async start(parameters: Parameters): Promise<Run> {
    this.#runs += 1;
    const channel = `lab:${this.visitor}:${this.#runs}`;
    const body = { visitor: this.visitor, channel, wait_ms, ...parameters };
    return (await this.#ask("lab/runs", { method: "POST", body })) as unknown as Run;
  }

  async progress(run: string): Promise<Progress> {
    const { published, state } = await this.#ask(`lab/runs/${encodeURIComponent(run)}`);
    return { published: Number(published ?? 0), isOver: state !== undefined && state !== "running" };
  }

  /** Ends a run. Works while the page goes away, too. */
  async end(run: string): Promise<void> {
    await this.#ask(`lab/runs/${encodeURIComponent(run)}`, { method: "DELETE" });
  }

  async setNetwork(network: Network): Promise<void> {
    await this.#ask(`lab/network/${this.visitor}`, { method: "PUT", body: { ...network } });
  }

  async passed(): Promise<Passed> {
    const counted = await this.#ask(`lab/network/${this.visitor}`);
    return {
      connections: Number(counted["connections"] ?? 0),
      bytes_down: Number(counted["bytes_down"] ?? 0),
      bytes_up: Number(counted["bytes_up"] ?? 0),
      isMended: Number(counted["ends_in_ms"] ?? 0) === 0,
    };
  }

  async #ask(path: string, { method = "GET", body }: { method?: string; body?: Json } = {}): Promise<Json> {
    const response = await fetch(new URL(path, this.#base), {
      method,
      cache: "no-store",
      keepalive: method === "DELETE" || method === "PUT",
      signal: AbortSignal.timeout(answer_ms_max),
      ...(body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {}),
    });
    if (!response.ok) throw new Fault(await readProblem(response));
    return response.status === 204 ? {} : ((await response.json()) as Json);
  }
}
