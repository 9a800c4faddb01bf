// The hooks' types, as a component sees them.
import type { Client, Gap, Member, Message, State, TransportName } from "efir";
import { useChannel, useConnection, usePresence } from "efir/react";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

export function Chat({ client }: { client: Client }) {
  const { messages, gap, publish } = useChannel<{ text: string }>(client, "chat", { last: 50, keep: 100 });
  const { members, count, error } = usePresence(client, "chat", { name: "Ann", data: { typing: false } });
  const { state, transport } = useConnection(client);
  same<typeof messages, readonly Message<{ text: string }>[]>(true);
  same<typeof gap, Gap | null>(true);
  same<typeof members, readonly Member[]>(true);
  same<typeof count, number>(true);
  same<typeof error, Error | null>(true);
  same<typeof state, State>(true);
  same<typeof transport, TransportName | null>(true);
  void publish({ text: "one" }, { key: "1" });
  // @ts-expect-error the channel's messages have a text
  void publish({ words: "one" });
  // @ts-expect-error what was shown is not changed
  messages.push({});
  // @ts-expect-error a client comes first
  useChannel("chat");
  return <p>{messages.map((message) => message.data.text)}</p>;
}
