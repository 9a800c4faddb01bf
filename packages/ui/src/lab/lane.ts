// One transport under test: a reader of its own on the run's channel, what it received, how long that took, and what went between
// client and server. Built on the page's raw readers, not on the client library: the library chooses, probes and hides requests,
// and here every request is to be seen and counted. Knows no markup; lab.ts owns five of them.
import { signal } from "@preact/signals";
import { clientId, encodeName } from "../channel.ts";
import { publish } from "../publish.ts";
import { Reader, type State } from "../reader.ts";
import type { Traffic } from "../traffic.ts";
import { transports } from "../transports/list.ts";
import type { Message, TransportName } from "../wire.ts";
import type { Clock } from "./clock.ts";
import type { Figures } from "./results.ts";
import { Samples, type Point } from "./samples.ts";
import { Track, type Plans } from "./track.ts";

/** Where a run is read, and when it began. */
export interface Place {
  base: string;
  channel: string;
  clock: Clock;
  /** `performance.now()` of this page. */
  began: number;
}

/** The generator's payload: which of how many, and when it was to be published on the server's clock (ms since 1970). */
interface Payload {
  n?: number;
  planned?: number;
  pad?: string;
}

const no_traffic: Traffic = { requests: 0, empty: 0, bytes_down: 0, bytes_up: 0 };

export class Lane {
  readonly name: TransportName;
  readonly isHeld: boolean;
  readonly state = signal<State>({ kind: "connecting" });
  readonly track: Track;
  /** Names this client of this run to the server's counters. */
  client: string;
  readonly #plans: Plans;
  readonly #transport;
  #place: Place | undefined;
  #reader: Reader | undefined;
  #samples = new Samples();
  /** The ordinals that came. */
  #seen = new Set<number>();
  #last = 0;
  #gaps = 0;
  /** How often it stood; each time after the first is a reconnection. */
  #stood = 0;
  #payload_bytes = 0;
  /** What stands around all payloads in their message objects. */
  #envelope_bytes = 0;
  #received = 0;
  #traffic = no_traffic;
  #overhead: number | undefined;

  constructor(name: TransportName, plans: Plans, way_ms: () => number) {
    this.name = name;
    this.#plans = plans;
    this.track = new Track(way_ms);
    this.client = clientId(name);
    this.#transport = transports[name]();
    this.isHeld = this.#transport.isHeld;
  }

  /** Reads the run's channel from its beginning. */
  begin(place: Place): void {
    this.end();
    this.#place = place;
    this.client = clientId(this.name);
    this.#samples = new Samples();
    this.#seen = new Set();
    this.#last = this.#gaps = this.#stood = this.#payload_bytes = this.#envelope_bytes = this.#received = 0;
    this.#traffic = no_traffic;
    this.#overhead = undefined;
    this.track.clear();
    this.#reader = this.#readerOf(place);
    this.#reader.start();
  }

  end(): void {
    this.#reader?.stop({ kind: "paused" });
    this.#reader = undefined;
  }

  /** The network is back: try now. */
  hurry(): void {
    this.#reader?.hurry();
  }

  /** Lets go while another window has the long requests, and goes on after its cursor. */
  allow(isAllowed: boolean): void {
    if (isAllowed) this.#reader?.start();
    else this.#reader?.stop({ kind: "paused" });
  }

  /** Publishes from here the way this transport can: a frame in the socket, or a request of its own. */
  async say(): Promise<void> {
    if (!this.#place) return;
    const payload = JSON.stringify({ said: this.name });
    if (this.#transport.publish) {
      if (this.#transport.publish(payload)) this.track.send(true)();
      return;
    }
    const answered = this.track.send(false);
    await publish(address(this.#place, {}), payload).then(answered, () => undefined);
  }

  /** What the server counted until now. What came until now belongs to it: the overhead is reckoned from both together. */
  count(traffic: Traffic | undefined): void {
    if (!traffic) return;
    this.#traffic = traffic;
    const around = traffic.bytes_down + traffic.bytes_up - this.#payload_bytes;
    if (this.#seen.size > 0 && traffic.requests > 0) this.#overhead = around / this.#seen.size;
  }

  /** The greatest ordinal that came; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  has(ordinal: number): boolean {
    return this.#seen.has(ordinal);
  }

  /** Bytes of a message around its payload, on average; 0 before the first. */
  get envelope(): number {
    return this.#received > 0 ? this.#envelope_bytes / this.#received : 0;
  }

  points(): Point[] {
    return this.#samples.points();
  }

  figures(published: number): Figures {
    const { requests, empty, bytes_down, bytes_up } = this.#traffic;
    const messages = this.#seen.size;
    const quantiles = this.#samples.quantiles();
    return {
      messages,
      missing: Math.max(0, published - messages),
      gaps: this.#gaps,
      p50: quantiles?.p50,
      p99: quantiles?.p99,
      requests,
      empty,
      down: bytes_down,
      up: bytes_up,
      overhead: this.#overhead,
      reconnects: Math.max(0, this.#stood - 1),
    };
  }

  #readerOf(place: Place): Reader {
    const isCurrent = (): boolean => this.#place === place;
    return new Reader(
      this.#transport,
      {
        address: ({ last, ...query }) =>
          address(place, { ...query, ...(last === undefined ? {} : { after: "start" }), client: this.client }),
        // Nobody marks here what was caught up, so nobody needs to ask.
        head: () => Promise.resolve(undefined),
      },
      {
        state: (state) => {
          if (!isCurrent()) return;
          if (state.kind === "online" && this.state.peek().kind !== "online") this.#stood += 1;
          this.state.value = state;
        },
        message: ({ message, at }) => {
          if (isCurrent()) this.#take(message, at, place);
        },
        gap: () => {
          if (isCurrent()) this.#gaps += 1;
        },
        refused: () => undefined,
        heartbeat: () => undefined,
        begin: () => this.track.begin(),
      },
    );
  }

  #take(message: Message, at: number, { clock, began }: Place): void {
    const payload = (message.data ?? {}) as Payload;
    this.#payload_bytes += bytesOf(payload);
    this.#envelope_bytes += JSON.stringify({ ...message, data: 0 }).length - 1;
    this.#received += 1;
    const { n, planned } = payload;
    // What a visitor says in the channel has no plan.
    if (typeof n !== "number" || typeof planned !== "number") return this.track.arrive(at, at);
    const here = planned - clock.offset_ms - performance.timeOrigin;
    this.#seen.add(n);
    this.#last = Math.max(this.#last, n);
    this.#plans.note(n, here);
    this.#samples.add((here - began) / 1_000, at - here);
    this.track.arrive(Math.min(here, at), at);
  }
}

/** The bytes of the payload as it was published; its filling is ASCII. */
function bytesOf(payload: Payload): number {
  const { pad = "", ...rest } = payload;
  return JSON.stringify({ ...rest, pad: "" }).length + pad.length;
}

function address({ base, channel }: Place, query: Record<string, string>): string {
  const url = new URL(`channels/${encodeName(channel)}`, base);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url.href;
}
