// WebSocket: one connection on /socket, all channels, both ways. Twin of `socket` in efir-transports (docs/protocol.md §8).
import { EfirError, passing } from "../error.ts";
import type { Connection, Link, Transport } from "../link.ts";
import { takeHello } from "../responses.ts";
import type { PresenceState, Push } from "../wire.ts";

interface Frame extends Push {
  /** Of the command that this answers. */
  id?: number;
  reply?: { channel?: string; cursor?: string; presence?: PresenceState };
}

type Answered = (answer: Frame) => void;

const lost = (): Frame => passing("connection_lost");

export const websocket: Transport = {
  name: "websocket",
  isUsable: (place) => !!place.WebSocket,
  open,
};

function open(link: Link): Connection {
  const socket = new link.WebSocket!(`${link.base.replace(/^http/, "ws")}socket?client=${link.client}`);
  /** Who waits for the answer to a command, by its id. */
  const asked = new Map<number, Answered>();
  /** What this socket is subscribed to, and by which reading. */
  const read = new Map<string, number>();
  let ids = 0;
  let isUp = false;

  const send = (name: string, fields: string, answered?: Answered): void => {
    if (!isUp) return answered?.(lost());
    ids += 1;
    if (answered) asked.set(ids, answered);
    socket.send(`{"id":${ids},"${name}":${fields}}`);
  };
  const command = (name: string, fields: string): Promise<unknown> =>
    new Promise((done, failed) =>
      send(name, fields, ({ reply, problem }) => (problem ? failed(new EfirError(problem)) : done(reply))),
    );

  const sync = (): void => {
    if (!isUp) return;
    const wanted = link.wanted();
    for (const [channel, reading] of read) {
      if (wanted.some((one) => one.channel === channel && one.reading === reading)) continue;
      read.delete(channel);
      // Refused only where the subscription was refused before.
      send("unsubscribe", JSON.stringify({ channel }));
    }
    for (const { channel, reading, after, last } of wanted) {
      if (read.has(channel)) continue;
      read.set(channel, reading);
      send("subscribe", JSON.stringify({ channel, after, last }), ({ reply, problem }) => {
        if (reply) {
          link.joined(channel, reply.cursor!);
          link.take({ presence: reply.presence! });
        } else if (problem!.status) {
          read.delete(channel);
          link.take({ problem: { ...problem!, channel } });
        }
      });
    }
  };

  const leave = (): void => {
    isUp = false;
    for (const answered of asked.values()) answered(lost());
    asked.clear();
  };

  socket.onmessage = ({ data }: MessageEvent<string>) => {
    link.heard();
    const frame = JSON.parse(data) as Frame;
    const { id, hello } = frame;
    if (hello) {
      isUp = true;
      takeHello(link, frame);
      sync();
    } else if (id) {
      asked.get(id)?.(frame);
      asked.delete(id);
    } else link.take(frame);
  };
  socket.onclose = () => {
    leave();
    link.down();
  };
  // The end follows; some implementations throw what nobody listens to.
  socket.onerror = () => undefined;

  return {
    sync,
    command,
    wake: () => send("ping", "{}"),
    close() {
      leave();
      socket.close();
    },
  };
}
