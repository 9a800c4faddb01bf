// How the page is built: hashed assets, nothing inline (so that a strict Content-Security-Policy fits later), one address of its
// own for each paper that the page links to, and `build.json`, by which `/info` and the browser tests know that this is the full page.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const server = "http://127.0.0.1:8080";

/** Writes `build.json` beside `index.html`. */
function buildRecord(): Plugin {
  return {
    name: "build-record",
    apply: "build",
    generateBundle() {
      const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8")) as {
        version: string;
      };
      const record = { page: "full", version, built: new Date().toISOString() };
      this.emitFile({ type: "asset", fileName: "build.json", source: `${JSON.stringify(record)}\n` });
    },
  };
}

/** `import protocol from "paper:protocol"` gives the address of docs/protocol.md as plain text, which every browser shows. */
function papers(): Plugin {
  const prefix = "\0paper:";
  return {
    name: "papers",
    resolveId: (id) => (id.startsWith("paper:") ? `\0${id}` : undefined),
    load(id) {
      if (!id.startsWith(prefix)) return undefined;
      const name = id.slice(prefix.length);
      const file = new URL(`../../docs/${name}.md`, import.meta.url);
      if (this.environment.mode === "dev") return `export default ${JSON.stringify(`/@fs${file.pathname}`)};`;
      const reference = this.emitFile({ type: "asset", name: `${name}.txt`, source: readFileSync(file, "utf8") });
      return `export default import.meta.ROLLUP_FILE_URL_${reference};`;
    },
  };
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: "./",
  resolve: { alias: { efir: here("../client/src/index.ts") } },
  plugins: [papers(), buildRecord()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { chat: here("index.html"), "by-hand": here("by-hand/index.html"), lab: here("lab/index.html") } },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/channels": { target: server, ws: true },
      "/subscribe": { target: server, ws: true },
      "/socket": { target: server, ws: true },
      "/lab/via": { target: server, ws: true },
      "/lab/runs": server,
      "/lab/network": server,
      "/lab/clock": server,
      "/traffic": server,
      "/info": server,
    },
  },
});
