// A cable that can be cut: `fetch` and `WebSocket` for the client, so that a visitor sees what a loss does without pulling a real one.
// Cut, nothing passes and whatever is open breaks, as when a network goes away. Knows nothing of the client that uses it.
import { signal } from "@preact/signals";

const broken = (): TypeError => new TypeError("the cable is cut");

export class Cable {
  readonly isCut = signal(false);
  /** Aborted by a cut: everything that is open hangs on it. */
  #whole = new AbortController();

  cut(): void {
    if (this.isCut.value) return;
    this.isCut.value = true;
    this.#whole.abort(broken());
  }

  plug(): void {
    if (!this.isCut.value) return;
    this.isCut.value = false;
    this.#whole = new AbortController();
  }

  /** The browser's own, over this cable. */
  readonly fetch: typeof fetch = (input, init) => {
    const whole = this.#whole.signal;
    if (whole.aborted) return Promise.reject(broken());
    const own = init?.signal;
    return fetch(input, { ...init, signal: own ? AbortSignal.any([own, whole]) : whole });
  };

  /** As `WebSocket`, to be constructed by the client. */
  readonly WebSocket: typeof WebSocket = this.#socketClass();

  #socketClass(): typeof WebSocket {
    const whole = (): AbortSignal => this.#whole.signal;
    class OverCable extends CableSocket {
      constructor(address: string | URL, protocols?: string | string[]) {
        super(address, protocols, whole());
      }
    }
    return OverCable as unknown as typeof WebSocket;
  }
}

type Hearer<E extends Event> = ((event: E) => void) | null;

/** A WebSocket that breaks with its cable: `error`, then `close` with 1006, as a browser tells a lost connection. */
class CableSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  onopen: Hearer<Event> = null;
  onmessage: Hearer<MessageEvent> = null;
  onerror: Hearer<Event> = null;
  onclose: Hearer<CloseEvent> = null;
  readonly #whole: AbortSignal;
  #socket: WebSocket | undefined;
  #isBroken = false;

  constructor(address: string | URL, protocols: string | string[] | undefined, whole: AbortSignal) {
    super();
    this.#whole = whole;
    if (whole.aborted) {
      queueMicrotask(() => this.#break());
      return;
    }
    const socket = new WebSocket(address, protocols);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    whole.addEventListener("abort", this.#break, { once: true });
    socket.onopen = () => this.#tell(new Event("open"), this.onopen);
    socket.onmessage = ({ data }: MessageEvent) => this.#tell(new MessageEvent("message", { data }), this.onmessage);
    socket.onerror = () => this.#tell(new Event("error"), this.onerror);
    socket.onclose = ({ code, reason, wasClean }) => {
      whole.removeEventListener("abort", this.#break);
      this.#tell(new CloseEvent("close", { code, reason, wasClean }), this.onclose);
    };
  }

  get readyState(): number {
    return this.#isBroken ? CableSocket.CLOSED : (this.#socket?.readyState ?? CableSocket.CONNECTING);
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get binaryType(): BinaryType {
    return this.#socket?.binaryType ?? "arraybuffer";
  }

  set binaryType(kind: BinaryType) {
    if (this.#socket) this.#socket.binaryType = kind;
  }

  send(payload: string | Blob | BufferSource): void {
    if (!this.#isBroken) this.#socket?.send(payload);
  }

  close(code?: number, reason?: string): void {
    this.#socket?.close(code, reason);
  }

  readonly #break = (): void => {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#whole.removeEventListener("abort", this.#break);
    const socket = this.#socket;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
      socket.close();
    }
    this.#tell(new Event("error"), this.onerror);
    this.#tell(new CloseEvent("close", { code: 1006, wasClean: false }), this.onclose);
  };

  #tell<E extends Event>(event: E, hearer: Hearer<E>): void {
    hearer?.call(this, event);
    this.dispatchEvent(event);
  }
}
