// The one interface of all transports, and what they share: the request that can fail with a problem, and the watch over silence.
// A transport knows how its requests go; it knows nothing of cursors' rules, panes or the document. One file a transport beside this.
import type { Batch, Problem, Push } from "../wire.ts";

/** A request as it is drawn: open from its beginning until `end`. */
export interface Span {
  /** `ended`: in good order, or because we let go. */
  end(outcome: "messages" | "empty" | "ended" | "failed"): void;
}

/** What a transport is given: where to read, and whom to tell. */
export interface Link {
  /** The channel's address with this client's name and the cursor as it is now; `query` is added. */
  address(query?: Record<string, string>): string;
  /** The cursor to go on from; undefined before anything was read. */
  cursor(): string | undefined;
  /** The connection stands, or a request was answered. */
  up(): void;
  /** The connection is lost, and the browser itself is getting it back. */
  down(): void;
  push(push: Push): void;
  batch(batch: Batch): void;
  /** Draws a request from now on. */
  begin(): Span;
}

export interface Transport {
  /** Keeps a request open while nothing happens: one of the six connections that HTTP/1.1 leaves a page. */
  readonly isHeld: boolean;
  /**
   * Reads after the link's cursor until the connection ends: resolves when it ended in good order, rejects when it failed
   * (a `Fault` where the server said why). Must let go of everything when `signal` is aborted.
   */
  run(link: Link, signal: AbortSignal): Promise<void>;
  /** Sends a payload where the transport itself can carry one; false when it cannot just now. */
  publish?(payload: string): boolean;
}

/** Why an attempt failed, where the server said so. */
export class Fault extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title ?? problem.code);
    this.problem = problem;
  }
}

/** `fetch` that never touches the cache, and rejects with a `Fault` on any status but 2xx and 304. */
export async function request(
  address: string,
  signal: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Response> {
  const response = await fetch(address, { cache: "no-store", signal, headers });
  if (response.ok || response.status === 304) return response;
  throw new Fault(await readProblem(response));
}

/** The problem of an answer (RFC 9457); a made-up one where something between us and the server answered in its own way. */
export async function readProblem(response: Response): Promise<Problem> {
  const retryAfter_ms = Number(response.headers.get("Retry-After") ?? "0") * 1000 || 0;
  const own: Problem = { code: `http_${response.status}`, status: response.status, retry_after_ms: retryAfter_ms };
  try {
    const problem = (await response.json()) as Problem;
    return typeof problem.code === "string" ? { retry_after_ms: retryAfter_ms, ...problem } : own;
  } catch {
    return own;
  }
}

/**
 * Tells when a connection has been silent for too long: no browser event says that a path is dead.
 * The limit is the server's heartbeat and 5 s on top; until hello has named it, a fixed one.
 */
export class SilenceWatch {
  #limit_ms = 20_000;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onDead: () => void;

  constructor(onDead: () => void) {
    this.#onDead = onDead;
    this.heard();
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onDead, this.#limit_ms);
  }

  expect(heartbeat_ms: number): void {
    if (heartbeat_ms > 0) this.#limit_ms = heartbeat_ms + 5_000;
    this.heard();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
