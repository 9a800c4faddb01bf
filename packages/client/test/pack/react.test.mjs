// The hooks while a server renders: they show the beginning and open nothing. Stands on a built dist; in a browser they are looked at by
// e2e/paths/hooks.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { useChannel, useConnection, usePresence } from "../../dist/react.js";

function refuse(what) {
  return () => {
    throw new Error(`${what} while rendering`);
  };
}

test("rendering opens nothing, and shows that nothing is known yet", () => {
  const client = { state: "online", transport: "sse", on: refuse("listened"), channel: refuse("asked for a channel") };
  const Chat = () => {
    const { messages, gap } = useChannel(client, "chat", { last: 50 });
    const { members, count, error } = usePresence(client, "chat", { name: "Ann" });
    const { state, transport } = useConnection(client);
    return createElement("p", null, JSON.stringify({ messages, gap, members, count, error, state, transport }));
  };
  const shown = renderToString(createElement(Chat)).replaceAll("&quot;", '"');
  const beginning = { messages: [], gap: null, members: [], count: 0, error: null, state: "connecting", transport: null };
  assert.equal(shown, `<p>${JSON.stringify(beginning)}</p>`);
});
