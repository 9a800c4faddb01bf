// What a page pays for the client: bundles what an application would import, prints raw, minified and gzipped bytes, and fails where
// the smallest useful choice (core, WebSocket, Server-Sent Events) is over its limit. Run on a built dist.
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";

/** Gzipped bytes of core + websocket + sse. */
const limit = 6 * 1024;

const choices = {
  "core + websocket + sse": `
    export { connect } from "efir/core";
    export { websocket } from "efir/transports/websocket";
    export { sse } from "efir/transports/sse";`,
  "connect of efir, all transports": `export { connect } from "efir";`,
  "all that efir exports": `export * from "efir";`,
};

/** Kilobytes gzipped, as their makers' browser builds weighed when issue 4 was written. */
const peers = "phoenix 8.3, socket.io-client 13.0, signalr 14.3, centrifuge 19.5, ably 57.9";

const root = new URL("..", import.meta.url).pathname;

/** Bundles a module given as text, which imports this package by its own name, as an application does. */
async function bundled(text, minify) {
  const entry = {
    name: "entry",
    resolveId: (id) => (id === "entry" ? "\0entry" : undefined),
    load: (id) => (id === "\0entry" ? text : undefined),
  };
  const own = {
    name: "own-name",
    resolveId(id) {
      const path = /^efir(?:\/(.+))?$/.exec(id);
      return path ? `${root}dist/${path[1] ?? "index"}.js` : undefined;
    },
  };
  const bundle = await rolldown({ input: "entry", plugins: [entry, own] });
  const { output } = await bundle.generate({ format: "es", minify, comments: !minify });
  await bundle.close();
  return Buffer.from(output[0].code);
}

let isOver = false;
for (const [name, text] of Object.entries(choices)) {
  const raw = (await bundled(text, false)).length;
  const min = await bundled(text, true);
  const gzipped = gzipSync(min, { level: 9 }).length;
  console.log(`${name.padEnd(32)} raw ${show(raw)}   min ${show(min.length)}   gzip ${show(gzipped)} (${(gzipped / 1024).toFixed(2)} KB)`);
  if (name.startsWith("core") && gzipped > limit) isOver = true;
}
console.log(`limit of the first line: ${show(limit)} gzipped; others, in KB: ${peers}`);
if (isOver) {
  console.error("size: core + websocket + sse is over its limit");
  process.exitCode = 1;
}

function show(bytes) {
  return bytes.toLocaleString("en").padStart(7);
}
