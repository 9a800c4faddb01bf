// One request and its answer, or an `EfirError`. Used by the transports that are requests, for publishing and for history.
import { asError, EfirError } from "./error.ts";
import type { Place } from "./link.ts";
import type { Problem } from "./wire.ts";

/** How long an answer that comes at once may take. */
const answer_ms_max = 10_000;

/** What stands behind the `?`; what is undefined is left out. */
export type Query = object;

/** Asks; `path` is below the server's address. Gives an answer of the 2xx, rejects otherwise. */
export async function ask(place: Place, path: string, query: Query, init: RequestInit): Promise<Response> {
  // JSON leaves out what is undefined.
  const pairs = JSON.parse(JSON.stringify({ ...query, client: place.client })) as Record<string, string>;
  const token = await place.token();
  const response = await place.fetch(`${place.base + path}?${new URLSearchParams(pairs)}`, {
    cache: "no-store",
    ...init,
    headers: { ...(token && { Authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string>) },
  });
  if (response.ok) return response;
  // A problem (RFC 9457); what something on the way answered in its own way can pass.
  throw new EfirError({
    code: `http_${response.status}`,
    action: "retry_later",
    retry_after_ms: +response.headers.get("Retry-After")! * 1000 || 0,
    ...((await response.json().catch(() => undefined)) as Problem | undefined),
  });
}

/** As `ask`, with a limit of time for the whole answer, and not beyond the client's end. Rejects with an `EfirError`. */
export async function askJson<T>(place: Place, path: string, query: Query, init?: RequestInit): Promise<T> {
  try {
    const response = await ask(place, path, query, {
      ...init,
      signal: AbortSignal.any([AbortSignal.timeout(answer_ms_max), place.over]),
    });
    return (await response.json()) as T;
  } catch (error) {
    throw asError(error);
  }
}
