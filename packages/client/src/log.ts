// What is read of a channel: the place in its log, and who is told. Drops what was told already, notices holes and has them read
// again, lets a subscriber that begins elsewhere catch up. Knows nothing of transports.
import { backoff, rest } from "./backoff.ts";
import type { Core } from "./core.ts";
import { asError, EfirError, failureOf } from "./error.ts";
import { readHistory, readMessage } from "./history.ts";
import type { Wanted } from "./link.ts";
import { distance, parsePosition, type Position } from "./position.ts";
import type { Gap, Message, SubscribeOptions } from "./types.ts";
import type { Lease, PresenceState, Problem, WireMessage } from "./wire.ts";

/** A hole that is still there after so many readings is told as a gap. */
const tries_max = 3;

export interface Log {
  /** The last position that was told, or from where reading goes on. */
  at(): Position | undefined;
  /** The channel, or nothing while it is not to be read. */
  wanted(): Wanted[];
  /** Makes whoever reads for us a member of the channel, or no longer. */
  lease(lease: Lease | undefined): void;
  /** `missed` is told the gaps of this subscriber alone, instead of `onGap`. Gives how to stop. */
  subscribe(tell: (message: Message) => void, begin: SubscribeOptions, missed?: (gap: Gap) => void): () => void;
  onGap(fn: (gap: Gap) => void): () => void;
  /** A presence log's state came; told before what follows it. */
  onState(fn: (state: PresenceState) => void): () => void;
  /** Reads anew, from now on. */
  forget(): void;

  take(message: WireMessage): void;
  gap(gap: Gap): void;
  joined(cursor: string): void;
  state(state: PresenceState): void;
  refuse(problem: Problem): void;
}

/** One who is told. */
interface Subscriber {
  tell(message: Message): void;
  readonly begin: SubscribeOptions;
  /** The last message that it was told; undefined: begins wherever the channel stands. */
  at?: Position | undefined;
  /** It catches up; otherwise it is told what comes. */
  isBehind?: boolean;
  missed: (gap: Gap) => void;
}

/** Calls a callback of the application: what it throws is reported and goes no further. */
export function call<A>(report: (error: EfirError) => void, fn: (value: A) => unknown, value: A): void {
  const failed = (error: unknown): void => report(failureOf(error));
  try {
    // An `async` callback throws later.
    (fn(value) as PromiseLike<unknown> | undefined)?.then?.(undefined, failed);
  } catch (error) {
    failed(error);
  }
}

/** A set of listeners: adding gives how to remove. */
export function listeners<A>(report: (error: EfirError) => void) {
  const all = new Set<[(value: A) => void]>();
  return {
    all,
    add(fn: (value: A) => void): () => void {
      // The same function twice is two listeners.
      const one: [typeof fn] = [fn];
      all.add(one);
      return () => void all.delete(one);
    },
    tell(value: A): void {
      for (const [fn] of [...all]) call(report, fn, value);
    },
  };
}

const isPlaced = ({ after, last }: SubscribeOptions): boolean => (after ?? last) !== undefined;

export function openLog(core: Core, channel: string): Log {
  const subscribers = new Set<Subscriber>();
  const gaps = listeners<Gap>(core.report);
  const states = listeners<PresenceState>(core.report);
  /** The server's text of where reading goes on, or `start`. */
  let cursor: string | undefined;
  let at: Position | undefined;
  let begin: SubscribeOptions = {};
  let reading = 0;
  let tries = 0;
  /** A hole was seen, and the new reading has not begun yet: what still comes of the old one behind the hole does not count. */
  let isMending = false;
  let isRefused = false;
  let lease: Lease | undefined;

  const isRead = (): unknown => !isRefused && (lease || subscribers.size);

  const stand = (text: string | undefined): void => {
    cursor = text;
    at = parsePosition(text);
  };
  /** Begins to read anew from where the cursor stands. */
  const reread = (): void => {
    isRefused = false;
    reading += 1;
    core.changed();
  };
  const startOver = (from: SubscribeOptions): void => {
    begin = from;
    stand(from.after);
    tries = 0;
    isMending = false;
    reread();
  };

  /** What stands between the cursor and `to` did not come. Once it is clear that it will not, that is a gap like any other. */
  const hole = (to: string): void => {
    if (isMending) return;
    isMending = true;
    tries += 1;
    if (tries > tries_max) {
      gaps.tell({ channel, reason: "hole", after: cursor!, resume_from: to });
      stand(to);
    }
    reread();
  };

  const tell = (subscriber: Subscriber, message: Message, position: Position): void => {
    if (!subscribers.has(subscriber) || (subscriber.at && distance(subscriber.at, position) <= 0)) return;
    subscriber.at = position;
    call(core.report, subscriber.tell, message);
  };

  /** Reads for one subscriber what the channel has behind it, until both stand at the same place. */
  const catchUp = async (subscriber: Subscriber): Promise<void> => {
    let { after, last = 0 } = subscriber.begin;
    if (subscriber.at) after = `${subscriber.at.epoch}-${subscriber.at.offset}`;
    const goesOn = (): boolean => subscribers.has(subscriber) && !core.over.aborted;
    for (let failures = 0; goesOn(); ) {
      try {
        // Less at a time where much does not come through in time.
        const batch = await readHistory(core, channel, after ? { after, limit: 1_000 >> failures || 1 } : { last });
        if (batch.gap && goesOn()) subscriber.missed(batch.gap);
        for (const message of batch.messages) tell(subscriber, message, parsePosition(message.position)!);
        after = batch.cursor;
        subscriber.at = parsePosition(after);
        // Told with the others from here on; what it has already is skipped.
        if (at && !(distance(subscriber.at!, at) > 0)) return void (subscriber.isBehind = false);
        // The channel itself is not joined yet.
        failures = at ? 0 : 1;
      } catch (thrown) {
        const error = asError(thrown);
        if (!error.retryable) return void (goesOn() && core.report(error));
        failures += 1;
      }
      if (failures) await rest(backoff(failures), core.over);
    }
  };

  return {
    at: () => at,
    wanted: () =>
      isRead() ? [{ channel, reading, after: cursor, last: cursor ? undefined : begin.last, lease }] : [],

    lease(to) {
      const wasRead = isRead();
      lease = to;
      if (wasRead) core.changed();
      else startOver({});
    },

    subscribe(tell, from, missed = gaps.tell) {
      const subscriber: Subscriber = { tell, begin: from, missed };
      const isFirst = !subscribers.size;
      subscribers.add(subscriber);
      if (isFirst && (isPlaced(from) || isRefused || !lease)) startOver(from);
      else {
        // Where the first one asked for what was before, "from now on" is not where that begins.
        if (isPlaced(from) || (!at && isPlaced(begin))) {
          subscriber.isBehind = true;
          void catchUp(subscriber);
        }
        // A refused channel is asked for again by whoever still wants it.
        if (isRefused) reread();
      }
      return () => {
        if (!subscribers.delete(subscriber) || subscribers.size) return;
        if (!lease) stand(undefined);
        core.changed();
      };
    },

    onGap: gaps.add,
    onState: states.add,
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
      for (const subscriber of [...subscribers]) if (!subscriber.isBehind) tell(subscriber, message, position);
    },

    gap(gap) {
      const to = parsePosition(gap.resume_from);
      // Told a second time, by a connection that was opened before we came this far.
      if (!to || !isRead() || (at && gap.after !== cursor && distance(at, to) <= 0)) return;
      stand(gap.resume_from);
      // A log that was set back or began anew: what comes now is not what was told under the same numbers.
      for (const subscriber of subscribers)
        if (gap.reason === "position_ahead" || subscriber.at?.epoch !== to.epoch) subscriber.at = undefined;
      gaps.tell(gap);
    },

    joined(text) {
      if (!isRead()) return;
      if (!at) stand(text);
      // Perhaps the end of the batch that had the hole: the new reading will show.
      else if (isMending) isMending = false;
      // Begun "from now on" by a connection that was opened before we had a cursor: what came in between would be missing.
      else if (text !== cursor && !(distance(at, parsePosition(text)!) <= 0)) hole(text);
    },

    state(state) {
      if (!isRead()) return;
      stand(state.cursor);
      states.tell(state);
    },

    refuse(problem) {
      const error = new EfirError(problem);
      if (error.retryable) void rest(problem.retry_after_ms || 1_000, core.over).then(reread);
      else isRefused = true;
      core.changed();
      core.report(error);
    },
  };
}
