// What both polls have in common: a batch, and where each channel stands after it.
import { rest } from "./backoff.ts";
import type { Link, Wanted } from "./link.ts";
import type { Query } from "./http.ts";
import { read } from "./responses.ts";
import { entriesOf } from "./token.ts";
import type { Batch } from "./wire.ts";

/** How the next answer is waited for. */
export interface Rest {
  /** Before the next request. */
  rest_ms: number;
  /** From this answer to the next one, at most. */
  silence_ms: number;
}

/** Asks once and gives the answer to the link; rests before the next request. */
export async function poll(
  link: Link,
  wanted: Wanted[],
  { signal, query }: { signal: AbortSignal; query: Query },
  restOf: (batch: Batch, response: Response) => Rest,
): Promise<void> {
  const response = await read(link, wanted, { signal }, query);
  const batch = JSON.parse(await textOf(response, link.heard)) as Batch;
  const { rest_ms, silence_ms } = restOf(batch, response);
  if (signal.aborted) return;
  link.up(silence_ms);
  for (const gap of batch.gap ? [batch.gap] : (batch.gaps ?? [])) link.take({ gap });
  for (const presence of [batch.presence ?? []].flat()) link.take({ presence });
  for (const problem of batch.problems ?? []) link.take({ problem });
  for (const message of batch.messages) link.take(message);
  if (batch.channel) link.joined(batch.channel, batch.cursor);
  else for (const [channel, cursor] of entriesOf(batch.cursor, wanted)) link.joined(channel, cursor);
  if (rest_ms) await rest(rest_ms, signal);
}

/** The whole answer; a slow path shows life with each piece of it. */
async function textOf(response: Response, heard: () => void): Promise<string> {
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    heard();
    text += decoder.decode(value, { stream: true });
  }
}

/**
 * A poll that does not wait gives the newest messages when it has no cursor; "from now on" is none of them, and the cursor.
 * Presence logs give their state.
 */
export const fromNow = (one: Wanted): Wanted =>
  one.after !== undefined || one.last !== undefined || one.channel.includes("/") ? one : { ...one, last: 0 };
