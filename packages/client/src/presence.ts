// Who is in a channel (docs/protocol.md §9): a state and its changes, read from the log `{channel}/presence`, and a lease of our own.
// Entering, changing and leaving are told by a command or a request; the lease goes with whatever reads the channel.
import type { Core } from "./core.ts";
import { asError, lasting } from "./error.ts";
import { ask as askServer, askJson } from "./http.ts";
import { call, listeners } from "./log.ts";
import { randomId } from "./outbox.ts";
import type { Member, Presence, Who } from "./types.ts";
import { pathOf, presenceOf, type PresenceChange } from "./wire.ts";

/** A lease that was asked for by a request lasts for 30 s. */
const renew_ms = 12_000;
/** How long a client that is closed waits for the answer to its leaving. */
const away_ms_max = 5_000;

/** For `efir/core`: `connect(url, { transports, presence })`. */
export function presence(core: Core, channel: string): Presence {
  const log = core.log(presenceOf(channel));
  const own = core.log(channel);
  const listening = listeners<Presence>(core.report);
  const members = new Map<string, Member>();
  let count = 0;
  let isKnown = false;
  let stopReading: (() => void) | undefined;
  let who: Who | undefined;
  let unwatch: (() => void) | undefined;

  const set = (state: { count: number; members?: Member[] }): void => {
    members.clear();
    for (const member of state.members ?? []) members.set(member.id, member);
    count = state.count;
    isKnown = true;
    listening.tell(self);
  };
  const change = ({ enter, update, leave, state, count: total }: PresenceChange): void => {
    if (state) return set(state);
    const member = enter ?? update;
    if (member) members.set(member.id, member);
    if (leave) members.delete(leave.id);
    if (total !== undefined) members.clear();
    count = total ?? members.size;
    listening.tell(self);
  };
  log.onState(set);
  // What changed in between is in the state.
  log.onGap(() => log.forget());

  /** Enters, or changes what is told of the member; begins once there is a connection. */
  const tell = async (to: Who): Promise<void> => {
    const isFirst = !who;
    const told = (who = { ...who, ...to });
    await connected(core);
    if (who !== told) return;
    try {
      await (enterSocket() ?? ask("PUT", JSON.stringify({ name: who.name, data: who.data })));
    } catch (error) {
      // Refused: then the lease must not go with every request, or those would be refused as well.
      if (isFirst) who = undefined;
      throw error;
    }
    if (who !== told) return;
    own.lease({ id: memberId(core), ...who });
    unwatch ??= watch();
  };
  const enterSocket = (): Promise<unknown> | undefined =>
    core.carrier()?.command?.("enter", JSON.stringify({ channel, member: memberId(core), ...who }));

  const ask = (method: string, body?: string): Promise<unknown> => {
    const query = { member: memberId(core), transport: (body && core.transport()) ?? undefined };
    return askJson(core, pathOf(presenceOf(channel)), query, { method, body: body ?? null });
  };

  /** A new socket has entered nowhere; a page that goes takes its leases with it, also those that have some time left. */
  const watch = (): (() => void) => {
    // By a request that outlives the client.
    const away = (): void => {
      const signal = AbortSignal.timeout(away_ms_max);
      const query = { member: memberId(core) };
      askServer(core, pathOf(presenceOf(channel)), query, { method: "DELETE", keepalive: true, signal }).catch(() => undefined);
    };
    const back = (): void => void enterSocket()?.catch(core.report);
    const renew = (): void => {
      if (core.carrier()?.isLeaseless) ask("PUT", JSON.stringify({})).catch(core.report);
    };
    const timer = setInterval(renew, renew_ms);
    const off = [
      core.on("transport", back),
      core.on("state", (state) => {
        if (state !== "closed") return;
        away();
        unwatch?.();
      }),
    ];
    globalThis.addEventListener?.("pagehide", away);
    return () => {
      clearInterval(timer);
      off.forEach((stop) => stop());
      globalThis.removeEventListener?.("pagehide", away);
    };
  };

  const self: Presence = {
    enter: (to = {}) => tell({ name: core.member.name, data: core.member.data, ...to }),
    update: tell,
    async leave() {
      who = undefined;
      own.lease(undefined);
      unwatch?.();
      unwatch = undefined;
      if (core.state() === "closed") return;
      try {
        await (core.carrier()?.command?.("leave", JSON.stringify({ channel })) ?? ask("DELETE"));
      } catch (error) {
        // With the connection every lease of it is gone, too, and a client that is closed has left.
        if (!["connection_lost", "closed"].includes(asError(error).code)) throw error;
      }
    },
    members,
    get count() {
      return count;
    },
    subscribe(fn) {
      const remove = listening.add(fn);
      if (isKnown) queueMicrotask(() => call(core.report, fn, self));
      if (!stopReading) {
        const isRead = log.at() !== undefined;
        stopReading = log.subscribe(({ data }) => change(data as PresenceChange), {});
        // Read for somebody else already (a sibling of tabs.ts): the state comes only at the beginning.
        if (isRead) log.forget();
      }
      return () => {
        remove();
        if (listening.all.size) return;
        stopReading?.();
        stopReading = undefined;
        isKnown = false;
      };
    },
  };
  return self;
}

/** Resolves once there is a connection; rejects when there will be none. */
function connected(core: Core): Promise<void> {
  return new Promise((done, failed) => {
    const look = (): void => {
      if (core.state() === "closed") failed(lasting("closed"));
      else if (core.carrier()) done();
      else return;
      stop();
    };
    const stop = core.on("state", look);
    look();
  });
}

let processId: string | undefined;

/** The id that was given, or one a browser profile, or one a process. */
function memberId({ member }: Core): string {
  if (member.id) return member.id;
  try {
    const kept = localStorage.getItem("efir:member") ?? randomId();
    localStorage.setItem("efir:member", kept);
    return kept;
  } catch {
    return (processId ??= randomId());
  }
}
