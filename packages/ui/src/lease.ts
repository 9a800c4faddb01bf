// Which of this browser's windows keeps the long requests: HTTP/1.1 leaves all windows together six connections to a host, and each
// window would hold three. One visible window has the lease; the others do without, and may take it over.
// Spoken over BroadcastChannel alone: Web Locks exist only in secure contexts, and efir is also opened as http://some-host:8080.

/**
 * One window's hold on the lease; times in ms since 1970. `taken_over` is when its visitor took it over from another window, 0 where it
 * was nobody's.
 */
export interface Hold {
  id: string;
  since: number;
  taken_over: number;
}

/** What windows say to each other; `id` names the window. */
export type Word = { say: "who"; id: string } | ({ say: "mine" } & Hold) | { say: "free"; id: string };

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
  #hold: Hold;
  #callOff: () => void = () => undefined;

  constructor(id: string, ether: Ether, onChange: (state: LeaseState) => void) {
    this.#id = id;
    this.#hold = { id, since: 0, taken_over: 0 };
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
    this.#claim(this.#ether.now());
  }

  hear(word: Word): void {
    if (word.id === this.#id) return;
    if (this.#state === "held") {
      if (word.say === "mine" && isStronger(word, this.#hold)) this.#yieldLease();
      else if (word.say !== "free") this.#ether.post({ say: "mine", ...this.#hold });
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
    // It may only be busy: then it answers later, and is the stronger one.
    this.#schedule(answer_ms, () => this.#claim(0));
  }

  #claim(taken_over: number): void {
    this.#hold = { id: this.#id, since: this.#ether.now(), taken_over };
    this.#become("held");
    this.#ether.post({ say: "mine", ...this.#hold });
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

/** What a visitor did last counts; else who has had it for longer keeps it; of two at the same millisecond the greater id. */
function isStronger(one: Hold, other: Hold): boolean {
  if (one.taken_over !== other.taken_over) return one.taken_over > other.taken_over;
  if (one.since !== other.since) return one.since < other.since;
  return one.id > other.id;
}
