// What is read: each channel's place in its log, and who is told. Drops what was told already, notices holes and has them read
// again, lets a subscriber that begins elsewhere catch up. Knows nothing of transports.
import { EfirError, refused } from "./error.ts";
import type { Wanted } from "./link.ts";
import { distance, parsePosition, type Position } from "./position.ts";
import type { Gap, History, HistoryOptions, Message, SubscribeOptions } from "./types.ts";
import type { Lease, PresenceState, Problem, WireMessage } from "./wire.ts";

/** A reading that starts over this often without closing a hole is told as a gap. */
const tries_max = 3;

/** One who is told. Alive until `isOver`. */
interface Subscriber {
  tell(message: Message): void;
  begin: SubscribeOptions;
  /** The last message that it was told; undefined: begins wherever the channel stands. */
  at: Position | undefined;
  /** It is told what comes live; otherwise it catches up, or rests. */
  isLive: boolean;
  isOver: boolean;
  /** Wants no more for now: an iterator whose buffer is full. */
  isFull?(): boolean;
}

/** A channel's reading side. */
export interface Log {
  readonly name: string;
  /** The last position that was told, or from where reading goes on. */
  at(): Position | undefined;
  wanted(): Wanted | undefined;
  /** Makes this client a member, or no longer. */
  lease(lease: Lease | undefined): void;
  subscribe(tell: (message: Message) => void, begin: SubscribeOptions, isFull?: () => boolean): Reading;
  onGap(fn: (gap: Gap) => void): () => void;
  /** A presence log's state came; taken before what follows it. */
  onState(fn: (state: PresenceState) => void): () => void;
  onJoined(fn: (cursor: string) => void): () => void;
  /** Reads anew, from now on. */
  forget(): void;

  take(message: WireMessage): void;
  gap(gap: Gap): void;
  joined(cursor: string): void;
  state(state: PresenceState): void;
  refuse(problem: Problem): void;
}

export interface Reading {
  stop(): void;
  /** Takes up again after `isFull`. */
  resume(): void;
}

/** Whom channels ask and tell. */
export interface Reader {
  /** `wanted()` of some channel has changed. */
  changed(): void;
  /** An error that nobody else is told. */
  report(error: EfirError): void;
  history(channel: string, options: HistoryOptions): Promise<History>;
  /** Calls back later, unless the client is closed by then. */
  later(ms: number, fn: () => void): void;
}

/** Calls a callback of the application: what it throws is reported and goes no further. */
export function call<A>(reader: Pick<Reader, "report">, fn: (value: A) => void, value: A): void {
  try {
    fn(value);
  } catch (error) {
    reader.report(new EfirError("callback_failed", String(error), { cause: error }));
  }
}

/** A set of listeners: adding gives how to remove. */
export function listeners<A>(reader: Pick<Reader, "report">) {
  const all = new Set<{ fn: (value: A) => void }>();
  return {
    count: () => all.size,
    add(fn: (value: A) => void): () => void {
      const one = { fn };
      all.add(one);
      return () => void all.delete(one);
    },
    tell(value: A): void {
      for (const { fn } of [...all]) call(reader, fn, value);
    },
  };
}

export function openLog(name: string, reader: Reader): Log {
  const subscribers = new Set<Subscriber>();
  const gaps = listeners<Gap>(reader);
  const states = listeners<PresenceState>(reader);
  const joins = listeners<string>(reader);
  /** The server's text of where reading goes on. */
  let cursor: string | undefined;
  let at: Position | undefined;
  let begin: SubscribeOptions = {};
  let reading = 0;
  let tries = 0;
  /** A hole was seen, and the new reading has not begun yet: what still comes of the old one behind the hole does not count. */
  let isMending = false;
  let isRefused = false;
  let lease: Lease | undefined;

  const isRead = (): boolean => (subscribers.size > 0 || lease !== undefined) && !isRefused;

  /** Begins to read anew from where the cursor stands. */
  const reread = (): void => {
    reading += 1;
    reader.changed();
  };

  const stand = (text: string | undefined): void => {
    cursor = text;
    at = parsePosition(text);
  };

  const startOver = (from: SubscribeOptions): void => {
    stand(from.after === "start" ? undefined : from.after);
    begin = from;
    tries = 0;
    isRefused = isMending = false;
    reread();
  };

  /** What stands between the cursor and `to` did not come. Once it is clear that it will not, that is a gap like any other. */
  const hole = (to: string): void => {
    if (isMending) return;
    isMending = true;
    tries += 1;
    if (tries <= tries_max) return reread();
    const after = cursor;
    stand(to);
    gaps.tell({ channel: name, reason: "hole", ...(after ? { after } : {}), resume_from: to });
    reread();
  };

  const tellOne = (subscriber: Subscriber, message: Message, position: Position): void => {
    if (subscriber.isOver || (subscriber.at && distance(subscriber.at, position) <= 0)) return;
    subscriber.at = position;
    call(reader, subscriber.tell, message);
  };

  /** Reads for one subscriber what the channel has behind it, until both stand at the same place. */
  const catchUp = async (subscriber: Subscriber): Promise<void> => {
    let { after, last } = subscriber.begin;
    if (subscriber.at) after = `${subscriber.at.epoch}-${subscriber.at.offset}`;
    for (let failures = 0; !subscriber.isOver && !subscriber.isFull?.();) {
      try {
        const batch = await reader.history(name, after ? { after, limit: 1000 } : { last, limit: 1000 });
        if (subscriber.isOver) return;
        failures = 0;
        if (batch.gap) gaps.tell(batch.gap);
        for (const message of batch.messages) {
          tellOne(subscriber, message, parsePosition(message.position)!);
          after = message.position;
          // The rest is read again once there is room for it.
          if (subscriber.isFull?.()) return;
        }
        after = batch.cursor;
        subscriber.at = parsePosition(after);
        // Both logs of one epoch: from here on the subscriber is told with the others, whatever it has already is skipped.
        if (subscriber.at && at && !(distance(subscriber.at, at) > 0)) {
          subscriber.isLive = true;
          return;
        }
        // The channel itself has not begun to be read yet; it will be joined at or before this place.
        if (!at && !batch.more) await pause(200);
      } catch (error) {
        if (error instanceof EfirError && !error.retryable) return reader.report(error);
        failures += 1;
        await pause(Math.random() * Math.min(20_000, 300 * 2 ** failures));
      }
    }
  };
  const pause = (ms: number): Promise<void> => new Promise((done) => reader.later(ms, done));

  const log: Log = {
    name,
    at: () => at,
    wanted: () =>
      isRead()
        ? { channel: name, reading, after: cursor ?? begin.after, last: cursor ? undefined : begin.last, lease }
        : undefined,

    lease(to) {
      const wasRead = isRead();
      lease = to;
      if (wasRead) reader.changed();
      else startOver({});
    },

    subscribe(tell, from, isFull) {
      const subscriber: Subscriber = { tell, begin: from, at: undefined, isLive: true, isOver: false };
      if (isFull) subscriber.isFull = isFull;
      const isFirst = subscribers.size === 0;
      // A refused channel is asked for again by whoever still wants it.
      if (isRefused && !isFirst) {
        isRefused = false;
        reread();
      }
      const isElsewhere = from.after !== undefined || from.last !== undefined;
      subscribers.add(subscriber);
      if (isFirst && !(lease && !isElsewhere && !isRefused)) startOver(from);
      else if (isElsewhere) {
        subscriber.isLive = false;
        void catchUp(subscriber);
      }
      return {
        stop() {
          if (subscriber.isOver) return;
          subscriber.isOver = true;
          subscribers.delete(subscriber);
          if (subscribers.size === 0) {
            if (!lease) stand(undefined);
            reader.changed();
          }
        },
        resume() {
          if (subscriber.isLive || subscriber.isOver) return;
          void catchUp(subscriber);
        },
      };
    },

    onGap: gaps.add,
    onState: states.add,
    onJoined: joins.add,
    forget: () => startOver({}),

    take(wire) {
      const position = parsePosition(wire.position);
      if (!position || !isRead()) return;
      const step = at ? distance(at, position) : 1;
      if (step <= 0) return;
      // Also a message of another epoch that no gap has announced.
      if (step !== 1) return hole(`${position.epoch}-${position.offset - 1}`);
      cursor = wire.position;
      at = position;
      tries = 0;
      const message = readMessage(wire);
      for (const subscriber of [...subscribers]) {
        if (!subscriber.isLive) continue;
        tellOne(subscriber, message, position);
        if (subscriber.isFull?.()) subscriber.isLive = false;
      }
    },

    gap(gap) {
      const to = parsePosition(gap.resume_from);
      if (!to || !isRead()) return;
      // Told a second time, by a connection that was opened before we came this far.
      if (at && gap.after !== cursor && distance(at, to) <= 0) return;
      stand(gap.resume_from);
      // A log that was set back or began anew: what comes now is not what was told under the same numbers.
      for (const subscriber of subscribers)
        if (gap.reason === "position_ahead" || subscriber.at?.epoch !== to.epoch) subscriber.at = undefined;
      gaps.tell(gap);
    },

    joined(text) {
      if (!isRead()) return;
      isMending = false;
      const to = parsePosition(text);
      if (!at) stand(text);
      // Begun "from now on" by a connection that was opened before we had a cursor: what came in between would be missing.
      else if (to && text !== cursor && !(distance(at, to) <= 0)) hole(text);
      joins.tell(cursor ?? text);
    },

    state(state) {
      if (!isRead()) return;
      stand(state.cursor);
      states.tell(state);
    },

    refuse(problem) {
      if (problem.action === "stop") {
        isRefused = true;
        reader.changed();
      } else reader.later(problem.retry_after_ms ?? 1000, reread);
      reader.report(refused(problem));
    },
  };
  return log;
}

/** The message as the application sees it: bytes as bytes. */
export function readMessage(wire: WireMessage): Message {
  if (wire.bytes === undefined) return wire as Message;
  const { bytes, ...rest } = wire;
  return { ...rest, data: Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0)) };
}
