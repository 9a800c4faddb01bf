// Who is in a channel (docs/protocol.md §9): a state and its changes, read from the log `{channel}/presence`, and a lease of our own.
// The lease is carried by the connection that reads the channel; entering, changing and leaving are told by a command or a request.
import type { Core } from "./channel.ts";
import { askJson } from "./http.ts";
import { call, listeners, type Reading } from "./log.ts";
import { randomId } from "./outbox.ts";
import type { Member, Presence, Who } from "./types.ts";
import { pathOf, presenceOf, type PresenceChange } from "./wire.ts";

/** For `efir/core`: `connect(url, { transports, presence })`. */
export function presence(core: Core, channel: string): Presence {
  const log = core.log(presenceOf(channel));
  const own = core.log(channel);
  const listening = listeners<Presence>(core);
  const members = new Map<string, Member>();
  let count = 0;
  let isKnown = false;
  let reading: Reading | undefined;
  let who: Who | undefined;

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

  /** Enters, or changes what is told of the member. */
  const tell = async (to: Who): Promise<void> => {
    who = { ...who, ...to };
    const lease = { id: memberId(core), ...who };
    const fields = { name: lease.name, data: lease.data };
    own.lease(lease);
    const told = core.command("enter", { channel, member: lease.id, ...fields });
    await (told ?? put("PUT", lease.id, JSON.stringify(fields)));
  };
  const put = (method: string, id: string, body?: string): Promise<unknown> => {
    const query = `member=${id}&transport=${core.transport() ?? "short-poll"}`;
    const init = body === undefined ? { method } : { method, body };
    return askJson(core.place, `${pathOf(presenceOf(channel))}?${query}`, init);
  };

  const self: Presence = {
    enter: (to = {}) => tell({ name: core.member.name, data: core.member.data, ...to }),
    update: tell,
    async leave() {
      who = undefined;
      own.lease(undefined);
      await (core.command("leave", { channel }) ?? put("DELETE", memberId(core)));
    },
    members,
    get count() {
      return count;
    },
    subscribe(fn) {
      const remove = listening.add(fn);
      if (isKnown) queueMicrotask(() => call(core, fn, self));
      reading ??= log.subscribe(({ data }) => change(data as PresenceChange), {});
      return () => {
        remove();
        if (listening.count()) return;
        reading?.stop();
        reading = undefined;
        isKnown = false;
      };
    },
  };
  return self;
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
