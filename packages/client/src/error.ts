// The one error class. Codes are the server's (docs/reference/codes.md) and the client's own.
import type { Problem } from "./wire.ts";

/**
 * Codes of the client itself: `closed`, `queue_full`, `outcome_unknown`, `connection_lost`, `silence`, `no_answer`,
 * `no_url`, `no_transport`, `invalid_channel`, `invalid_cursor`, `invalid_key`, `invalid_json`, `callback_failed`, `not_included`,
 * `http_NNN` (an answer that was not efir's).
 */
export class EfirError extends Error {
  declare readonly code: string;
  /** Whether the same may succeed later. */
  declare readonly retryable: boolean;
  /** Where to read about the code. */
  declare readonly docs: string;
  /** The server's problem (RFC 9457), with its `status`, where it was the server that refused. */
  declare readonly problem: Problem;

  constructor(problem: Problem, cause?: unknown) {
    const { code, detail, action, channel } = problem;
    super(detail ? `${code}: ${detail}` : code, { cause });
    this.name = "EfirError";
    this.code = code;
    this.problem = problem;
    // A channel that wants a token where none was shown: asked again, none is shown either.
    this.retryable = action !== "stop" && !(channel && code === "unauthorized");
    this.docs = `docs/reference/codes.md#${code}`;
  }
}

/** An error that can pass: it is tried again. */
export const passing = (code: string, cause?: unknown): EfirError =>
  new EfirError({ code, action: "retry_later" }, cause);

/** An error that stays. */
export const lasting = (code: string, detail?: string, cause?: unknown): EfirError =>
  new EfirError({ code, detail, action: "stop" }, cause);

/** What a callback of the application threw. */
export const failureOf = (error: unknown): EfirError => lasting("callback_failed", String(error), error);

/** What was thrown, as an error of ours. */
export const asError = (error: unknown, code = "no_answer"): EfirError =>
  error instanceof EfirError ? error : passing(code, error);
