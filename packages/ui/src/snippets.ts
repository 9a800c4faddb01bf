// The same by hand: for each transport some lines of browser JavaScript and the curl line. They run as they stand, with no library.
import { encodeName, readableName } from "./channel.ts";
import type { TransportName } from "./wire.ts";

export interface Snippet {
  javascript: string;
  curl: string;
}

/** `base` is where the page was opened (with a slash at its end). */
export function snippet(transport: TransportName, base: string, channel: string): Snippet {
  const channels = new URL("channels/", base).href;
  return writers[transport](channels + readableName(channel), channels + encodeName(channel));
}

const writers: Record<TransportName, (readable: string, encoded: string) => Snippet> = {
  "short-poll": (readable, encoded) => ({
    javascript: `const channel = "${readable}";
let after = "start";
for (;;) {
  const answer = await fetch(\`\${channel}?after=\${after}\`, { cache: "no-store" });
  const batch = await answer.json();
  for (const message of batch.messages) console.log(message.data);
  after = batch.cursor;
  if (!batch.more) await new Promise((next) => setTimeout(next, 2000));
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl '${encoded}'`,
  }),
  "long-poll": (readable, encoded) => ({
    javascript: `const channel = "${readable}";
let after = "start";
for (;;) {
  const answer = await fetch(\`\${channel}?wait=25&after=\${after}\`, { cache: "no-store" });
  const batch = await answer.json();
  for (const message of batch.messages) console.log(message.data);
  after = batch.cursor;
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl '${encoded}?wait=25'`,
  }),
  sse: (readable, encoded) => ({
    javascript: `const channel = "${readable}";
const source = new EventSource(channel);
source.onmessage = (event) => {
  const message = JSON.parse(event.data);
  console.log(message.data);
};
source.addEventListener("gap", (event) => console.warn(event.data));
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl -N -H 'Accept: text/event-stream' '${encoded}'`,
  }),
  "http-stream": (readable, encoded) => ({
    javascript: `const channel = "${readable}";
const headers = { Accept: "application/x-ndjson" };
const answer = await fetch(channel, { headers, cache: "no-store" });
const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
for (let rest = "", part; !(part = await reader.read()).done; ) {
  const lines = (rest + part.value).split("\\n");
  rest = lines.pop();
  for (const line of lines) console.log(JSON.parse(line));
}
// fetch(channel, { method: "POST", body: "Hello" });`,
    curl: `curl -N -H 'Accept: application/x-ndjson' '${encoded}'`,
  }),
  websocket: (readable, encoded) => ({
    javascript: `const socket = new WebSocket("${readable.replace(/^http/, "ws")}");
socket.onmessage = (event) => {
  const message = JSON.parse(event.data);
  if (message.position) console.log(message.data);
};
socket.onopen = () => socket.send("Hello");`,
    curl: `curl -N '${encoded.replace(/^http/, "ws")}'`,
  }),
};
