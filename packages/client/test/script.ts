// Transports and a server that do what a test says, at the seam where the client meets them.
import { connect, type Client, type CoreOptions, type Options, type TransportName } from "../src/core.ts";
import { passing } from "../src/error.ts";
import type { Connection, Link, Transport } from "../src/link.ts";

/** A connection that was opened, seen from the server's side. */
export interface Opened {
  readonly name: TransportName;
  readonly link: Link;
  isClosed: boolean;
  syncs: number;
  wakes: number;
  commands: Command[];
}

export interface Command {
  name: string;
  fields: { channel?: string; key?: string; data?: unknown };
  done(reply: unknown): void;
  failed(error: unknown): void;
}

export interface Stage {
  readonly client: Client;
  /** All connections, in the order in which they were opened. */
  readonly opened: Opened[];
  /** The last one of a transport. */
  last(name: TransportName): Opened;
  /** What the client told, in order: `state:online`, `transport:sse`, `error:code`. */
  readonly told: string[];
  readonly requests: Asked[];
}

export interface Asked {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body: string;
  reply(body: unknown, status?: number): void;
  fail(): void;
}

/** A client whose transports and requests are all in the hands of the test. */
export function stage(names: TransportName[], options: Options & { commands?: boolean } = {}): Stage {
  const opened: Opened[] = [];
  const requests: Asked[] = [];
  const told: string[] = [];
  const transports: Transport[] = names.map((name) => ({
    name,
    open(link): Connection {
      const one: Opened = { name, link, isClosed: false, syncs: 0, wakes: 0, commands: [] };
      opened.push(one);
      return {
        sync: () => (one.syncs += 1),
        wake: () => (one.wakes += 1),
        close: () => {
          one.isClosed = true;
          for (const { failed } of one.commands) failed(passing("connection_lost"));
        },
        ...(options.commands && {
          command: (command: string, fields: string) =>
            new Promise((done, failed) => {
              one.commands.push({ name: command, fields: JSON.parse(fields) as Command["fields"], done, failed });
            }),
        }),
      };
    },
  }));
  const fetchScripted = ((url: string, init: RequestInit = {}) =>
    new Promise<Response>((done, failed) => {
      requests.push({
        url: new URL(url),
        method: init.method ?? "GET",
        headers: init.headers as Record<string, string>,
        body: typeof init.body === "string" ? init.body : "",
        reply: (body, status = 200) => done(new Response(JSON.stringify(body), { status })),
        fail: () => failed(new TypeError("network")),
      });
      init.signal?.addEventListener("abort", () => failed(init.signal!.reason));
    })) as typeof fetch;
  const client = connect("http://efir.test", { fetch: fetchScripted, ...options, transports } as CoreOptions);
  client.on("state", (state) => told.push(`state:${state}`));
  client.on("transport", (name) => told.push(`transport:${name}`));
  client.on("error", (error) => told.push(`error:${error.code}`));
  return { client, opened, requests, told, last: (name) => opened.findLast((one) => one.name === name)! };
}

/** The server's first word. */
export const hello = ({ link }: Opened): void => link.up(20_000);

export const say = ({ link }: Opened, channel: string, position: string, data: unknown = position): void =>
  link.take({ channel, position, time: 1, data });

/** A receipt as the server writes it. */
export const receipt = (epoch: string, offset: number, duplicate = false): object => ({
  position: `${epoch}-${offset}`,
  offset,
  epoch,
  durability: "memory",
  duplicate,
  subscribers: 1,
});
