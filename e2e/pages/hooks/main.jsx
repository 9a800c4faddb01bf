// Two components that read one channel and are in it, each of which can be shown and taken away. For paths/hooks.mjs.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "efir";
import { useChannel, useConnection, usePresence } from "efir/react";

const name = new URLSearchParams(location.search).get("channel");
const client = connect(location.origin, { member: { id: "reader" } });

function Reader({ id, who, keep }) {
  const { messages, publish } = useChannel(client, name, { after: "start", keep });
  const { members, count, error } = usePresence(client, name, who && { name: who });
  const names = members.map((member) => member.name ?? "").join(" ");
  return (
    <section id={id} data-names={names} data-count={count} data-error={error?.message ?? ""} onClick={() => void publish(id)}>
      {messages.map((message) => message.data).join(" ")}
    </section>
  );
}

function App() {
  const [shown, show] = useState({ one: true, two: false, looks: false });
  const [who, call] = useState("first");
  const { state } = useConnection(client);
  globalThis.show = (change) => show((before) => ({ ...before, ...change }));
  globalThis.call = call;
  return (
    <main data-state={state}>
      {shown.one && <Reader id="one" who={who} />}
      {shown.two && <Reader id="two" who={who} keep={2} />}
      {shown.looks && <Reader id="looks" />}
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
