// Which of this browser's windows keeps the long requests: HTTP/1.1 leaves all windows together six connections to a host, and each
// window would hold three. One visible window has the lease; the others do without, and may take it over.
// Spoken over BroadcastChannel alone: Web Locks exist only in secure contexts, and efir is also opened as http://some-host:8080.

/** What windows say to each other; `id` names the window, `since` is when it took the lease (ms since 1970). */
export type Word =
  { say: "who"; id: string } | { say: "mine"; id: string; since: number } | { say: "free"; id: string };

/** What a lease needs of the outside world. */
export interface Ether {
  post(word: Word): void;
  now(): number;
  /** Calls back after about that many milliseconds; gives how to call it off. */
  later(ms: number, step: () => void): () => void;
  random(): number;
}

/** How long a holder has to answer "who". */
const answer_ms = 150;
/** A window without the lease asks again this often: a holder that crashed says nothing. */
const ask_again_ms = 4_000;

export type LeaseState = "none" | "asking" | "held" | "elsewhere";

export class Lease {
  readonly #id: string;
  readonly #ether: Ether;
  readonly #onChange: (state: LeaseState) => void;
  #state: LeaseState = "none";
  #since = 0;
  #callOff: () => void = () => undefined;

  constructor(id: string, ether: Ether, onChange: (state: LeaseState) => void) {
    this.#id = id;
    this.#ether = ether;
    this.#onChange = onChange;
  }

  /** The window is visible and would like the lease. */
  want(): void {
    if (this.#state === "none") this.#ask();
  }

  /** The window is hidden or goes away. */
  release(): void {
    if (this.#state === "held") this.#ether.post({ say: "free", id: this.#id });
    this.#become("none");
  }

  /** Takes the lease from whoever has it. */
  take(): void {
    this.#since = this.#ether.now();
    this.#become("held");
    this.#ether.post({ say: "mine", id: this.#id, since: this.#since });
  }

  hear(word: Word): void {
    if (word.id === this.#id) return;
    if (this.#state === "held") {
      const isOurs = word.say === "who" || (word.say === "mine" && !isNewer(word, this.#since, this.#id));
      if (isOurs) this.#ether.post({ say: "mine", id: this.#id, since: this.#since });
      else if (word.say === "mine") this.#yieldLease();
      return;
    }
    if (this.#state === "none") return;
    if (word.say === "mine") this.#yieldLease();
    // Several may be waiting: a little chance keeps them from all taking it at once.
    if (word.say === "free") this.#schedule(this.#ether.random() * answer_ms, () => this.#ask());
  }

  #ask(): void {
    if (this.#state === "none") this.#become("asking");
    this.#ether.post({ say: "who", id: this.#id });
    this.#schedule(answer_ms, () => this.take());
  }

  #yieldLease(): void {
    this.#become("elsewhere");
    this.#schedule(ask_again_ms, () => this.#ask());
  }

  #become(state: LeaseState): void {
    this.#callOff();
    if (this.#state === state) return;
    this.#state = state;
    this.#onChange(state);
  }

  #schedule(ms: number, step: () => void): void {
    this.#callOff();
    this.#callOff = this.#ether.later(ms, step);
  }
}

/** The later taker wins; of two at the same millisecond the greater id. */
function isNewer(word: { id: string; since: number }, since: number, id: string): boolean {
  return word.since > since || (word.since === since && word.id > id);
}
