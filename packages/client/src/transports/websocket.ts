// WebSocket: one connection on /socket, all channels, both ways. Twin of `socket` in efir-transports (docs/protocol.md §8).
import { EfirError, passing, refused } from "../error.ts";
import type { Connection, Link, Transport, Wanted } from "../link.ts";
import type { PresenceState, Push } from "../wire.ts";

/** How much longer than a heartbeat's time silence may last. */
const patience_ms = 5_000;

interface Answer extends Push {
  id?: number;
  reply?: { channel?: string; cursor?: string; presence?: PresenceState };
}

interface Asked {
  done(reply: unknown): void;
  failed(error: EfirError): void;
}

export const websocket: Transport = {
  name: "websocket",
  isUsable: (place) => !!place.WebSocket,
  open,
};

function open(link: Link): Connection {
  const socket = connect(link);
  /** Commands without an answer yet, by id. */
  const asked = new Map<number, Asked>();
  /** What this socket is subscribed to, and where it entered, as it was asked for. */
  const read = new Map<string, number>();
  const entered = new Map<string, string>();
  let ids = 0;
  let isUp = false;

  const send = (name: string, fields: string): Promise<unknown> =>
    new Promise((done, failed) => {
      ids += 1;
      asked.set(ids, { done, failed });
      socket?.send(`{"id":${ids},"${name}":${fields}}`);
    });
  /** A command for a channel, whose refusal is the channel's. */
  const tell = (name: string, channel: string, fields: object, forget?: () => void): void => {
    send(name, JSON.stringify({ channel, ...fields })).catch(({ problem }: EfirError) => {
      if (!problem) return;
      forget?.();
      link.take({ problem: { ...problem, channel } });
    });
  };

  const subscribe = ({ channel, reading, after, last }: Wanted): void => {
    read.set(channel, reading);
    tell("subscribe", channel, { after, last }, () => read.delete(channel));
  };
  const enter = ({ channel, lease }: Wanted): void => {
    if (!lease) return;
    const { id: member, name, data } = lease;
    entered.set(channel, JSON.stringify(lease));
    tell("enter", channel, { member, name, data }, () => entered.delete(channel));
  };
  const sync = (): void => {
    if (!isUp) return;
    const wanted = new Map(link.wanted().map((one) => [one.channel, one]));
    for (const [channel, reading] of read) {
      if (wanted.get(channel)?.reading === reading) continue;
      read.delete(channel);
      // Refused only where the subscription was refused before.
      send("unsubscribe", JSON.stringify({ channel })).catch(() => undefined);
    }
    for (const channel of entered.keys()) {
      if (wanted.get(channel)?.lease) continue;
      entered.delete(channel);
      tell("leave", channel, {});
    }
    for (const one of wanted.values()) {
      if (!read.has(one.channel)) subscribe(one);
      if (one.lease && entered.get(one.channel) !== JSON.stringify(one.lease)) enter(one);
    }
  };

  const answer = ({ id, reply, problem }: Answer): void => {
    const one = asked.get(id!);
    asked.delete(id!);
    if (problem) return one?.failed(refused(problem));
    if (reply?.cursor && reply.channel) {
      link.joined(reply.channel, reply.cursor);
      if (reply.presence) link.take({ presence: reply.presence });
    }
    one?.done(reply);
  };

  const leave = (): void => {
    isUp = false;
    for (const { failed } of asked.values()) failed(passing("connection_lost"));
    asked.clear();
  };

  if (socket) {
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      link.heard();
      const push = JSON.parse(data) as Answer;
      if (push.id !== undefined) return answer(push);
      if (!push.hello) return link.take(push);
      isUp = true;
      link.up(push.hello.heartbeat_ms + patience_ms);
      sync();
    };
    socket.onclose = ({ code, reason }) => {
      leave();
      link.down(new EfirError("connection_lost", `${code} ${reason}`, { retryable: true }));
    };
  } else link.down(passing("no_websocket"));

  return {
    sync,
    command: send,
    wake: () => {
      if (isUp) send("ping", "{}").catch(() => undefined);
    },
    close() {
      leave();
      if (!socket) return;
      socket.onmessage = socket.onclose = null;
      // A socket that is still being opened complains about its end.
      socket.onerror = () => undefined;
      socket.close();
    },
  };
}

function connect(link: Link): WebSocket | undefined {
  try {
    return new link.WebSocket!(`${link.base.replace(/^http/, "ws")}socket?${link.query}`);
  } catch {
    return undefined;
  }
}
