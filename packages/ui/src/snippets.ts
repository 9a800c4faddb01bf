// The same by hand: for each transport some lines of browser JavaScript and the curl line. They run as they stand, with no library.
import { encodeName } from "./channel.ts";
import type { TransportName } from "./wire.ts";

export interface Snippet {
  javascript: string;
  curl: string;
}

/** `base` is where the page was opened (with a slash at its end). */
export function snippet(transport: TransportName, base: string, channel: string): Snippet {
  const address = new URL(`channels/${encodeName(channel)}`, base).href;
  return writers[transport](address);
}

const writers: Record<TransportName, (address: string) => Snippet> = {
  "short-poll": (address) => ({
    javascript: `const channel = "${address}";
let after = "start";
for (;;) {
  const answer = await fetch(\`\${channel}?after=\${after}\`, { cache: "no-store" });
  const batch = await answer.json();
  for (const message of batch.messages) console.log(message.data);
  after = batch.cursor;
  if (!batch.more) await new Promise((next) => setTimeout(next, 2000));
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl '${address}'`,
  }),
  "long-poll": (address) => ({
    javascript: `const channel = "${address}";
let after = "start";
for (;;) {
  const answer = await fetch(\`\${channel}?wait=25&after=\${after}\`, { cache: "no-store" });
  const batch = await answer.json();
  for (const message of batch.messages) console.log(message.data);
  after = batch.cursor;
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl '${address}?wait=25'`,
  }),
  sse: (address) => ({
    javascript: `const channel = "${address}";
const source = new EventSource(channel);
source.onmessage = (event) => {
  const message = JSON.parse(event.data);
  console.log(message.data);
};
source.addEventListener("gap", (event) => console.warn(event.data));
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl -N -H 'Accept: text/event-stream' '${address}'`,
  }),
  "http-stream": (address) => ({
    javascript: `const channel = "${address}";
const headers = { Accept: "application/x-ndjson" };
const answer = await fetch(channel, { headers, cache: "no-store" });
const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
for (let rest = "", part; !(part = await reader.read()).done; ) {
  const lines = (rest + part.value).split("\\n");
  rest = lines.pop();
  for (const line of lines) console.log(JSON.parse(line));
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl -N -H 'Accept: application/x-ndjson' '${address}'`,
  }),
  websocket: (address) => {
    const socket = address.replace(/^http/, "ws");
    return {
      javascript: `const socket = new WebSocket("${socket}");
socket.onmessage = (event) => {
  const message = JSON.parse(event.data);
  if (message.position) console.log(message.data);
};
socket.onopen = () => socket.send("Hello");`,
      curl: `curl -N '${socket}'`,
    };
  },
};
