// The types as an application sees them: by the package's own name, as they were built. Compiled, never run; what must not compile says so.
import { connect, EfirError, type Channel, type Client, type Member, type Message, type State, type TransportName } from "efir";
import { connect as connectCore } from "efir/core";
import { httpStream } from "efir/transports/http-stream";
import { longPoll } from "efir/transports/long-poll";
import { shortPoll } from "efir/transports/short-poll";
import { tabs } from "efir/tabs";
import { sse } from "efir/transports/sse";
import { websocket } from "efir/transports/websocket";

interface Line {
  text: string;
}

/** Holds at compile time that two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

export function connecting(): void {
  same<ReturnType<typeof connect>, Client>(true);
  connect();
  connect("https://efir.example/prefix", { token: "t", transport: "sse", offline: { messages: 10 }, share: tabs() });
  connect("https://efir.example", { token: async () => "fresh", member: { id: "ann", name: "Ann", data: { role: "host" } } });
  connect("https://efir.example", { transports: [websocket, sse, httpStream, longPoll, shortPoll] });
  connectCore("https://efir.example", { transports: [websocket, sse] });
  // @ts-expect-error a transport is a value that was imported, not a name
  connect("https://efir.example", { transports: ["sse"] });
  // @ts-expect-error there is no such transport
  connect("https://efir.example", { transport: "carrier-pigeon" });
  // @ts-expect-error the core brings no transport along: it has to be given some
  connectCore("https://efir.example");
  // @ts-expect-error an option that does not exist
  connect("https://efir.example", { retries: 3 });
}

export function client(client: Client): void {
  same<Client["state"], State>(true);
  same<Client["transport"], TransportName | null>(true);
  const stop: () => void = client.on("state", (state) => same<typeof state, State>(true));
  client.on("transport", (transport) => same<typeof transport, TransportName | null>(true));
  client.on("error", (error) => void error.message);
  client.use("long-poll");
  client.use(null);
  client.close();
  stop();
  // @ts-expect-error there is no such event
  client.on("message", () => undefined);
  // @ts-expect-error the state is the client's to set
  client.state = "online";
}

export async function channel(client: Client): Promise<void> {
  const chat = client.channel<Line>("chat");
  same<typeof chat, Channel<Line>>(true);
  const leave: () => void = chat.subscribe((message) => same<typeof message, Message<Line>>(true), { last: 50 });
  chat.subscribe((message) => void message.data.text, { after: "start" });
  for await (const message of chat) same<typeof message.data, Line>(true);
  const { position, duplicate } = await chat.publish({ text: "one" }, { key: "1" });
  same<typeof position, string>(true);
  same<typeof duplicate, boolean>(true);
  await chat.publish(new Uint8Array([1, 2]));
  const { messages, cursor, more } = await chat.history({ last: 10 });
  same<typeof messages, Message<Line>[]>(true);
  same<typeof cursor, string>(true);
  same<typeof more, boolean>(true);
  chat.on("gap", (gap) => void gap.reason.length);
  leave();
  // @ts-expect-error the channel's messages are lines
  await chat.publish("one");
  // @ts-expect-error nobody knows the type of what is in a channel unless it is said
  client.channel("chat").subscribe((message) => message.data.text);
  // @ts-expect-error there is no such event
  chat.on("message", () => undefined);
  // @ts-expect-error where to begin is one of the two
  chat.subscribe(() => undefined, { after: 3 });
}

export async function presence(client: Client): Promise<void> {
  const { presence } = client.channel("chat");
  same<typeof presence.members, ReadonlyMap<string, Member>>(true);
  same<typeof presence.count, number>(true);
  await presence.enter();
  await presence.enter({ name: "Ann", data: { typing: true } });
  await presence.update({ name: "Anna" });
  await presence.leave();
  const stop: () => void = presence.subscribe((now) => same<typeof now.count, number>(true));
  stop();
  const ann = presence.members.get("ann");
  if (ann) same<typeof ann.transports, TransportName[]>(true);
  // @ts-expect-error the members are the server's to say
  presence.members.set("bob", ann);
  // @ts-expect-error a name is a text
  await presence.enter({ name: 7 });
  // @ts-expect-error what cannot be JSON
  await presence.enter({ data: () => undefined });
}

export function errors(error: unknown): string | undefined {
  if (!(error instanceof EfirError)) return undefined;
  same<typeof error.code, string>(true);
  same<typeof error.retryable, boolean>(true);
  same<typeof error.docs, string>(true);
  return error.message;
}
