// What is to be published: one queue a channel, in order, bounded. Each message has a key, so that it can be sent as often as it takes;
// where the log began anew since it was first sent, nobody can know what became of it, and that is said.
import { EfirError, isFinal, passing } from "./error.ts";
import { askJson } from "./http.ts";
import type { Connection, Place } from "./link.ts";
import { parsePosition } from "./position.ts";
import type { PublishOptions, Receipt } from "./types.ts";
import { pathOf } from "./wire.ts";

/** So many messages of a channel may be on their way in a socket. */
const window_max = 64;
/** A longer payload goes by a request of its own: a socket is closed where it is too long, a request is answered. */
const frame_bytes_max = 65_536;
/** The server remembers keys for 5 min; a retry later than this may not be known to it any more. */
const key_ms_max = 270_000;

/** A message that is not published yet. */
interface Letter {
  /** JSON text, or bytes. */
  readonly body: string | Uint8Array;
  readonly bytes: number;
  readonly key: string;
  readonly again: boolean;
  /** The epoch known when it was first sent, and when that was. */
  epoch: string | undefined;
  sentAt: number;
  isOnItsWay: boolean;
  done(receipt: Receipt): void;
  failed(error: EfirError): void;
}

interface Queue {
  readonly channel: string;
  readonly letters: Letter[];
  /** The channel's epoch; undefined while it has to be asked for: nothing is known yet, or an answer was lost. */
  epoch: string | undefined;
  isAsking: boolean;
  /** A message is on its way by a request, which another one could overtake. */
  isAlone: boolean;
  failures: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export interface Outbox {
  publish(channel: string, data: unknown, options: PublishOptions): Promise<Receipt>;
  /** The client is online, or by something else than before. */
  flush(): void;
  close(): void;
}

/** Whom the outbox asks. */
export interface Post {
  readonly place: Place;
  /** What carries now; undefined while offline. */
  carrier(): Connection | undefined;
  /** The epoch of a channel's last message that was read, where it is read. */
  epochOf(channel: string): string | undefined;
  readonly messages_max: number;
  readonly bytes_max: number;
}

export function openOutbox(post: Post): Outbox {
  const queues = new Map<string, Queue>();
  let count = 0;
  let bytes = 0;
  let isClosed = false;

  const settle = (queue: Queue, letter: Letter, how: () => void): void => {
    const at = queue.letters.indexOf(letter);
    if (at < 0) return;
    queue.letters.splice(at, 1);
    count -= 1;
    bytes -= letter.bytes;
    how();
  };

  /** Sends what may be sent now. */
  const pump = (queue: Queue): void => {
    const carrier = post.carrier();
    if (!carrier || isClosed || queue.timer || queue.isAsking || queue.isAlone || !queue.letters.length) return;
    queue.epoch ??= queue.letters.some((letter) => letter.sentAt) ? undefined : post.epochOf(queue.channel);
    if (!queue.epoch) return askEpoch(queue);
    let onTheirWay = queue.letters.filter((letter) => letter.isOnItsWay).length;
    for (const letter of [...queue.letters]) {
      if (letter.isOnItsWay) continue;
      if (letter.sentAt && isDoubtful(queue, letter)) continue;
      const command = letter.body.length > frame_bytes_max ? undefined : carrier.command;
      // A request may overtake another one; a socket keeps the order.
      const isFree = command ? onTheirWay < window_max : queue.letters[0] === letter;
      if (!isFree) return;
      onTheirWay += 1;
      void send(queue, letter, command);
      if (!command) return;
    }
  };

  /** Of a letter that was sent before: whether sending it again could let it stand twice. Then it is settled, or begins anew. */
  const isDoubtful = (queue: Queue, letter: Letter): boolean => {
    if (letter.epoch === queue.epoch && Date.now() - letter.sentAt < key_ms_max) return false;
    if (letter.again) {
      letter.sentAt = 0;
      return false;
    }
    settle(queue, letter, () => letter.failed(new EfirError("outcome_unknown")));
    return true;
  };

  const send = async (queue: Queue, letter: Letter, command: Connection["command"]): Promise<void> => {
    const isFirst = !letter.sentAt;
    if (isFirst) {
      letter.epoch = queue.epoch;
      letter.sentAt = Date.now();
    }
    letter.isOnItsWay = true;
    queue.isAlone = !command;
    try {
      const receipt = await (command ? overSocket(queue, letter, command) : overHttp(queue, letter));
      queue.failures = 0;
      queue.isAlone = false;
      queue.epoch = receipt.epoch;
      const isUnknown = !isFirst && receipt.epoch !== letter.epoch && !letter.again;
      settle(queue, letter, () => (isUnknown ? letter.failed(new EfirError("outcome_unknown")) : letter.done(receipt)));
    } catch (error) {
      letter.isOnItsWay = queue.isAlone = false;
      failed(queue, letter, error instanceof EfirError ? error : passing("no_answer", error), isFirst);
    }
    pump(queue);
  };

  const failed = (queue: Queue, letter: Letter, error: EfirError, isFirst: boolean): void => {
    if (isFinal(error)) return settle(queue, letter, () => letter.failed(error));
    // Refused means not appended; no answer means that nobody knows.
    if (!error.problem || error.code.startsWith("http_")) queue.epoch = undefined;
    else if (isFirst) letter.sentAt = 0;
    // What was lost with its connection leaves with the next one.
    if (error.code !== "connection_lost") rest(queue, error);
  };

  const rest = (queue: Queue, error: unknown): void => {
    if (queue.timer || isClosed) return;
    queue.failures += 1;
    const floor_ms = (error instanceof EfirError && error.problem?.retry_after_ms) || 0;
    queue.timer = setTimeout(
      () => {
        queue.timer = undefined;
        pump(queue);
      },
      floor_ms + Math.random() * Math.min(20_000, 300 * 2 ** queue.failures),
    );
  };

  const askEpoch = (queue: Queue): void => {
    queue.isAsking = true;
    void askJson<{ cursor: string }>(post.place, `${pathOf(queue.channel)}?last=0`).then(
      ({ cursor }) => {
        queue.isAsking = false;
        queue.epoch = parsePosition(cursor)?.epoch;
        pump(queue);
      },
      (error: unknown) => {
        queue.isAsking = false;
        if (!isFinal(error)) return rest(queue, error);
        for (const letter of [...queue.letters]) settle(queue, letter, () => letter.failed(error));
      },
    );
  };

  const overHttp = ({ channel }: Queue, { body, key }: Letter): Promise<Receipt> =>
    askJson(post.place, pathOf(channel), {
      method: "POST",
      headers: {
        "Content-Type": typeof body === "string" ? "application/json" : "application/octet-stream",
        "Idempotency-Key": key,
      },
      body: body as string | Uint8Array<ArrayBuffer>,
    });

  return {
    publish(channel, data, { key, again = false }) {
      return new Promise((done, failed) => {
        if (isClosed) return failed(new EfirError("closed"));
        const body = data instanceof Uint8Array ? data : JSON.stringify(data);
        if (body === undefined) return failed(new EfirError("invalid_json"));
        const size = typeof body === "string" ? new TextEncoder().encode(body).length : body.length;
        if (count >= post.messages_max || bytes + size > post.bytes_max)
          return failed(new EfirError("queue_full", "", { retryable: true }));
        count += 1;
        bytes += size;
        const queue = queues.get(channel) ?? newQueue(channel);
        queues.set(channel, queue);
        const sending = { epoch: undefined, sentAt: 0, isOnItsWay: false };
        queue.letters.push({ body, bytes: size, key: key ?? randomId(), again, ...sending, done, failed });
        pump(queue);
      });
    },
    flush() {
      for (const queue of queues.values()) {
        // Perhaps the server came back with another epoch; a message that is on its way has noted what was known before.
        if (!queue.letters.some((letter) => letter.isOnItsWay)) queue.epoch = undefined;
        if (queue.letters.length) pump(queue);
        else queues.delete(queue.channel);
      }
    },
    close() {
      isClosed = true;
      for (const queue of queues.values()) {
        clearTimeout(queue.timer);
        for (const letter of [...queue.letters]) settle(queue, letter, () => letter.failed(new EfirError("closed")));
      }
    },
  };
}

const newQueue = (channel: string): Queue => ({
  channel,
  letters: [],
  epoch: undefined,
  isAsking: false,
  isAlone: false,
  failures: 0,
  timer: undefined,
});

function overSocket(
  { channel }: Queue,
  { body, key }: Letter,
  command: NonNullable<Connection["command"]>,
): Promise<Receipt> {
  const payload =
    typeof body === "string"
      ? `"data":${body}`
      : `"bytes":"${btoa(Array.from(body, (byte) => String.fromCharCode(byte)).join(""))}"`;
  const fields = `{"channel":${JSON.stringify(channel)},"key":${JSON.stringify(key)},${payload}}`;
  return command("publish", fields) as Promise<Receipt>;
}

/** 96 random bits. */
export const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(36).padStart(2, "0")).join("");
