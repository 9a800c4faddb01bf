// WebSocket: one connection on /socket, all channels, both ways. Twin of `socket` in efir-transports (docs/protocol.md §8).
import { EfirError, passing } from "../error.ts";
import type { Connection, Link, Transport } from "../link.ts";
import { takeHello } from "../responses.ts";
import type { PresenceState, Push } from "../wire.ts";

interface Frame extends Push {
  /** Of the command that this answers. */
  id?: number;
  reply?: { channel?: string; cursor?: string; presence?: PresenceState; expires?: number };
}

type Answered = (answer: Frame) => void;

/** A token that lasts no longer is not renewed in place. */
const renew_ms_min = 1e4;
/** A token that lasts for months is renewed all the same; timers cannot wait so long. */
const renew_ms_max = 1e8;

export const websocket: Transport = {
  name: "websocket",
  isUsable: (place) => !!place.WebSocket,
  open,
};

function open(link: Link): Connection {
  const socket = new link.WebSocket!(`${link.base.replace(/^http/, "ws")}socket?client=${link.client}`);
  /** Who waits for the answer to a command, by its id. */
  const asked = new Map<number, Answered | undefined>();
  /** What this socket is subscribed to, and by which reading. */
  const read = new Map<string, number>();
  let ids = 0;
  let isUp = false;
  /** Of the next token. */
  let timer: ReturnType<typeof setTimeout>;

  const send = (name: string, fields: string, answered?: Answered): void => {
    asked.set(++ids, answered);
    socket.send(`{"id":${ids},"${name}":${fields}}`);
  };
  const command = (name: string, fields: string): Promise<unknown> =>
    new Promise((done, failed) =>
      send(name, fields, ({ reply, problem }) => (problem ? failed(new EfirError(problem)) : done(reply))),
    );

  /**
   * Says who is there before anything else; what follows does not wait for the answer: a refusal comes first, and ends it all. And says it
   * anew when half of the token's time is over. Where that comes to nothing, the time ends, and the next socket begins.
   */
  const greet = async (answered: Answered): Promise<void> => {
    const token = await link.token();
    isUp = true;
    if (token)
      send("authorize", JSON.stringify({ token }), (answer) => {
        // Of a clock that is wrong, or a token that is nearly over, nothing is made.
        const left_ms = answer.reply?.expires! - Date.now();
        if (left_ms > renew_ms_min) timer = setTimeout(() => greet(sync).catch(sync), Math.min(left_ms / 2, renew_ms_max));
        answered(answer);
      });
    else answered({});
    sync();
  };

  const sync = (): void => {
    if (!isUp) return;
    const wanted = link.wanted();
    for (const [channel, reading] of read) {
      if (wanted.find((one) => one.channel === channel)?.reading === reading) continue;
      read.delete(channel);
      // Refused where the subscription was refused before.
      send("unsubscribe", JSON.stringify({ channel }));
    }
    for (const { channel, reading, after, last } of wanted) {
      if (read.has(channel)) continue;
      read.set(channel, reading);
      send("subscribe", JSON.stringify({ channel, after, last }), ({ reply, problem }) => {
        if (problem) link.take({ problem: { ...problem, channel } });
        else {
          link.joined(channel, reply!.cursor!);
          link.take({ presence: reply!.presence! });
        }
      });
    }
  };

  socket.onmessage = ({ data }: MessageEvent<string>) => {
    link.heard();
    const frame = JSON.parse(data) as Frame;
    const { id } = frame;
    if (frame.hello) greet((answer) => (answer.problem ? link.take(answer) : takeHello(link, frame))).catch(link.down);
    else if (id) {
      asked.get(id)?.(frame);
      asked.delete(id);
    } else link.take(frame);
  };
  // Some implementations throw an error that nobody listens to.
  socket.onclose = socket.onerror = () => link.down();

  return {
    sync,
    command,
    wake: () => send("ping", "{}"),
    close() {
      clearTimeout(timer);
      asked.forEach((answered) => answered?.(passing("connection_lost")));
      socket.close();
    },
  };
}
