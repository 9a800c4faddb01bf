// What is to be published: one queue a channel, in order, bounded. Each message has a key, so that it can be sent as often as it takes;
// where the log began anew since it was first sent, nobody can know what became of it, and that is said.
import { backoff, rest } from "./backoff.ts";
import type { Core } from "./core.ts";
import { asError, EfirError, lasting, passing } from "./error.ts";
import { askJson } from "./http.ts";
import type { Connection } from "./link.ts";
import { parsePosition } from "./position.ts";
import type { PublishOptions, Receipt } from "./types.ts";
import { pathOf } from "./wire.ts";

/** So many messages of a channel may be on their way in a socket. */
const window_max = 64;
/**
 * A longer payload goes by a request of its own: a socket is closed where it is too long, a request is answered. So much every server
 * takes in a command, however short its messages have to be.
 */
const frame_bytes_max = 8_192;
/** The server remembers keys for 5 min; a retry later than this may not be known to it any more. */
const key_ms_max = 270_000;

/** A message that is not published yet. */
interface Letter {
  /** JSON text, or bytes. */
  readonly body: string | Uint8Array;
  readonly size: number;
  /** `null`: nothing would tell a second copy from the first. */
  readonly key: string | null;
  readonly again: boolean | undefined;
  /** When it was first sent, and the channel's epoch that was known then; 0 while nothing is doubtful about it. */
  sent: number;
  epoch?: string | undefined;
  isAway?: boolean;
  settle(outcome: Receipt | EfirError): void;
}

export interface Outbox {
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<Receipt>;
  /** The client is online, or by something else than before. */
  flush(): void;
  close(): void;
}

export function openOutbox(core: Core, { messages = 1_000, bytes = 1_048_576 } = {}): Outbox {
  const queues = new Map<string, ReturnType<typeof openQueue>>();
  return {
    async publish(channel, data, { key = randomId(), again } = {}) {
      if (core.over.aborted) throw lasting("closed");
      // As a header it could not even be sent.
      if (!/^[!-~]{1,128}$/.test(key ?? "-")) throw lasting("invalid_key", key!);
      // A copy: what the caller does with its bytes while they wait is not what was published.
      const body = data instanceof Uint8Array ? data.slice() : JSON.stringify(data);
      if (body === undefined) throw lasting("invalid_json");
      const size = typeof body === "string" ? bytesOf(body) : body.length;
      if (!messages || bytes < size) throw passing("queue_full");
      messages -= 1;
      bytes -= size;
      const queue = known(queues, channel, () => openQueue(core, channel));
      const outcome = await new Promise<Receipt | EfirError>((settle) =>
        queue.add({ body, size, key, again, sent: 0, settle }),
      );
      messages += 1;
      bytes += size;
      if (outcome instanceof EfirError) throw outcome;
      return outcome;
    },
    flush: () => queues.forEach((queue) => queue.flush()),
    close: () => queues.forEach((queue) => queue.close()),
  };
}

function openQueue(core: Core, channel: string) {
  const letters = new Set<Letter>();
  /** The channel's epoch; undefined while nothing is known yet; empty where an answer was lost, and the server has to be asked. */
  let epoch: string | undefined;
  /** Nothing may be sent: a request is on its way, which another one could overtake, or the server wants a rest. */
  let isBusy = false;
  let failures = 0;

  const settle = (letter: Letter, outcome: Receipt | EfirError): void => {
    if (letters.delete(letter)) letter.settle(outcome);
  };

  /** Sends what may be sent now. */
  const pump = (): void => {
    const carrier = core.carrier();
    if (!carrier || isBusy || !letters.size) return;
    epoch ??= core.log(channel).at()?.epoch;
    if (!epoch) return void askEpoch();
    let ahead = 0;
    for (const letter of letters) {
      if (!letter.isAway) {
        if (letter.sent && (!letter.key || letter.epoch !== epoch || Math.abs(Date.now() - letter.sent) > key_ms_max)) {
          // Sent again it could stand twice; not sent again, not at all.
          if (!letter.again) {
            settle(letter, lasting("outcome_unknown"));
            continue;
          }
          letter.sent = 0;
        }
        // A request may overtake another one; a socket keeps the order.
        const command = letter.size > frame_bytes_max ? undefined : carrier.command;
        if (ahead >= (command ? window_max : 1)) return;
        void send(letter, command);
        if (!command) return;
      }
      ahead += 1;
    }
  };

  const send = async (letter: Letter, command: Connection["command"]): Promise<void> => {
    const { body, key, sent } = letter;
    const isText = typeof body === "string";
    if (!sent) {
      letter.epoch = epoch;
      letter.sent = Date.now();
    }
    letter.isAway = true;
    /** It is this letter that has made it busy. */
    let isMine = !command;
    isBusy ||= isMine;
    try {
      const receipt = await (command
        ? (command(
            "publish",
            `${JSON.stringify({ channel, key, bytes: isText ? undefined : base64(body) }).slice(0, -1)}${isText ? `,"data":${body}` : ""}}`,
          ) as Promise<Receipt>)
        : askJson<Receipt>(core, pathOf(channel), {}, {
            method: "POST",
            headers: {
              "Content-Type": isText ? "application/json" : "application/octet-stream",
              ...(key && { "Idempotency-Key": key }),
            },
            body: body as string | Uint8Array<ArrayBuffer>,
          }));
      failures = 0;
      // What something on the way answered is no receipt, and throws.
      epoch = parsePosition(receipt.position)!.epoch;
      settle(letter, sent && epoch !== letter.epoch && !letter.again ? lasting("outcome_unknown") : receipt);
    } catch (thrown) {
      const error = asError(thrown);
      letter.isAway = false;
      if (error.retryable) {
        // Refused by the server means not appended; no answer means that nobody knows.
        if (!error.problem.status) epoch = "";
        else if (!sent) letter.sent = 0;
        // What was lost with its connection leaves with the next one.
        if (error.code !== "connection_lost" && (isMine ||= !isBusy)) await pause(error);
      } else settle(letter, error);
    }
    if (isMine) isBusy = false;
    pump();
  };

  const pause = ({ problem }: EfirError): Promise<void> => {
    isBusy = true;
    failures += 1;
    return rest((problem.retry_after_ms || 0) + backoff(failures), core.over);
  };

  const askEpoch = async (): Promise<void> => {
    isBusy = true;
    try {
      epoch = parsePosition((await askJson<{ cursor: string }>(core, pathOf(channel), { last: 0 })).cursor)!.epoch;
    } catch (thrown) {
      const error = asError(thrown);
      if (error.retryable) await pause(error);
      // Who may not read may publish all the same, but cannot know whether the log began anew: each time it may have.
      else epoch = randomId();
    }
    isBusy = false;
    pump();
  };

  return {
    add(letter: Letter): void {
      letters.add(letter);
      pump();
    },
    flush(): void {
      // Perhaps the server came back with another epoch; what is on its way has noted what was known before.
      if (![...letters].some((one) => one.isAway)) epoch = [...letters].some((one) => one.sent) ? "" : undefined;
      pump();
    },
    close(): void {
      for (const letter of letters) settle(letter, lasting("closed"));
    },
  };
}

/** What a map has for a key; made where it has nothing. */
export function known<T>(map: Map<string, T>, key: string, make: () => T): T {
  if (!map.has(key)) map.set(key, make());
  return map.get(key)!;
}

export const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

const base64 = (bytes: Uint8Array): string =>
  btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));

/** 128 random bits; `randomUUID` exists on secure pages only. */
export const randomId = (): string =>
  crypto.getRandomValues(new Uint32Array(4)).reduce((text, part) => text + part.toString(36), "");
