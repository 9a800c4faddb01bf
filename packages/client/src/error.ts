// The one error class. Codes are the server's (docs/reference/codes.md) and the client's own.
import type { Problem } from "./wire.ts";

/**
 * Codes of the client itself: `closed`, `queue_full`, `outcome_unknown`, `connection_lost`, `timeout`, `silence`, `no_answer`,
 * `no_websocket`, `no_fetch`, `no_url`, `invalid_cursor`, `callback_failed`, `not_included`, `http_NNN` (an answer that was not efir's).
 */
export class EfirError extends Error {
  readonly code: string;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;
  /** Where to read about the code. */
  readonly docs: string;
  /** The server's problem (RFC 9457), where it was the server that refused. */
  readonly problem: Problem | undefined;

  constructor(code: string, text = "", more: { retryable?: boolean; problem?: Problem; cause?: unknown } = {}) {
    super(text ? `${code}: ${text}` : code, "cause" in more ? { cause: more.cause } : undefined);
    this.name = "EfirError";
    this.code = code;
    this.problem = more.problem;
    const action = more.problem?.action;
    this.retryable = more.retryable ?? (action !== undefined && action !== "stop");
    this.docs = `docs/reference/codes.md#${code}`;
  }
}

/** An error that can pass: it is tried again. */
export const passing = (code: string, cause?: unknown): EfirError =>
  new EfirError(code, "", { retryable: true, cause });

/** The server's refusal. */
export const refused = (problem: Problem): EfirError =>
  new EfirError(problem.code, problem.detail ?? problem.title, { problem });

/** Whether the server itself said that trying the same again is of no use. */
export const isFinal = (error: unknown): error is EfirError & { problem: Problem } =>
  error instanceof EfirError && error.problem?.action === "stop";
