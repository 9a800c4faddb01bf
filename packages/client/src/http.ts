// One request and its answer, or an `EfirError`. Used by the transports that are requests, for publishing and for history.
import { EfirError, passing, refused } from "./error.ts";
import type { Place } from "./link.ts";
import type { Problem } from "./wire.ts";

/** How long an answer that comes at once may take. */
export const answer_ms_max = 10_000;

/** Asks; `path` is below the server's address. Gives an answer of the 2xx, rejects otherwise. */
export async function ask(place: Place, path: string, init: RequestInit = {}): Promise<Response> {
  const url = place.base + path + (path.includes("?") ? "&" : "?") + place.query;
  let response: Response;
  try {
    const headers = { ...(await place.headers()), ...(init.headers as Record<string, string>) };
    response = await place.fetch(url, { cache: "no-store", ...init, headers });
  } catch (error) {
    throw error instanceof EfirError ? error : passing("no_answer", error);
  }
  if (response.ok) return response;
  throw await refusal(response);
}

/** As `ask`, with a limit of time for the whole answer. */
export async function askJson<T>(place: Place, path: string, init: RequestInit = {}, ms = answer_ms_max): Promise<T> {
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), ms);
  try {
    return (await (await ask(place, path, { ...init, signal: clock.signal })).json()) as T;
  } catch (error) {
    throw error instanceof EfirError ? error : passing("no_answer", error);
  } finally {
    clearTimeout(timer);
  }
}

/** The problem of an answer (RFC 9457); what something on the way answered in its own way can pass. */
async function refusal(response: Response): Promise<EfirError> {
  const retry_after_ms = Number(response.headers.get("Retry-After")) * 1000 || 0;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  if (problem.code) return refused({ retry_after_ms, ...problem, code: problem.code });
  return new EfirError(`http_${response.status}`, "", {
    problem: { code: `http_${response.status}`, action: "retry_later", retry_after_ms },
  });
}
