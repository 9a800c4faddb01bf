// Publishing over HTTP: one payload, one key, as many attempts as it takes; the key keeps it from standing twice in the log.
import { backoff, pause } from "./backoff.ts";
import { Fault, readProblem } from "./transports/transport.ts";

const attempts_max = 4;
const answer_ms_max = 8_000;

/** Publishes JSON text. Rejects with the server's `Fault`, or with the network's own error when no attempt got through. */
export async function publish(address: string, payload: string): Promise<void> {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await post(address, payload, key);
    } catch (error) {
      const isFinal = error instanceof Fault && !["retry_now", "retry_later"].includes(error.problem.action ?? "stop");
      if (isFinal || attempt === attempts_max) throw error;
      const floor_ms = error instanceof Fault ? error.problem.retry_after_ms : 0;
      await pause(backoff(attempt, Math.random(), floor_ms), AbortSignal.timeout(60_000));
    }
  }
}

async function post(address: string, payload: string, key: string): Promise<void> {
  const response = await fetch(address, {
    method: "POST",
    cache: "no-store",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: payload,
    signal: AbortSignal.timeout(answer_ms_max),
  });
  if (!response.ok) throw new Fault(await readProblem(response));
}
