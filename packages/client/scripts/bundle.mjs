// The whole client as one minified ES module, dist/efir.js: what every efir serves at /efir.js. And the licences, which go where the
// package goes. Run behind tsc, on what tsc made; what it made of files that are gone goes, too.
import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { rolldown } from "rolldown";

const root = new URL("..", import.meta.url);
const { version, license } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

for (const name of readdirSync(new URL("dist/", root), { recursive: true })) {
  const source = /^(.+?)(?:\.d\.ts|\.js)$/.exec(name)?.[1];
  if (source && !existsSync(new URL(`src/${source}.ts`, root))) rmSync(new URL(`dist/${name}`, root));
}

const file = (path) => new URL(`dist/${path}.js`, root).pathname;
/** Pages cannot import by parts: they get the transports by their names, too. */
const all = ["index", ...["websocket", "sse", "http_stream", "long_poll", "short_poll"].map((name) => `transports/${name}`), "tabs"];
const entry = {
  name: "entry",
  resolveId: (id) => (id === "entry" ? "\0entry" : undefined),
  load: (id) => (id === "\0entry" ? all.map((path) => `export * from ${JSON.stringify(file(path))};`).join("\n") : undefined),
};

const bundle = await rolldown({ input: "entry", plugins: [entry] });
await bundle.write({
  file: new URL("dist/efir.js", root).pathname,
  format: "es",
  minify: true,
  comments: false,
  postBanner: `/*! efir ${version} | ${license} */`,
});
await bundle.close();

for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(new URL(`../../${name}`, root), new URL(`dist/${name}`, root));
