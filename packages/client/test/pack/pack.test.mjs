// The package as npm carries it: what is in it, and that an empty folder which installs it can import and compile every part of it.
// Stands on a built dist.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));

const parts = ["efir", "efir/core", "efir/transports/websocket", "efir/transports/sse", "efir/transports/http-stream", "efir/transports/long-poll", "efir/transports/short-poll"];

let folder;
let packed;

function run(program, words, cwd) {
  return execFileSync(program, words, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), "efir-pack-"));
  [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root));
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", path.join(folder, packed.filename)], folder);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("it is ES modules without dependencies and side effects", () => {
  assert.equal(manifest.type, "module");
  assert.equal(manifest.sideEffects, false);
  assert.deepEqual(manifest.dependencies ?? {}, {});
  assert.deepEqual(manifest.bundleDependencies ?? [], []);
  for (const name of Object.keys(manifest.peerDependencies ?? {})) assert.equal(manifest.peerDependenciesMeta?.[name]?.optional, true, name);
  for (const name of ["preinstall", "install", "postinstall", "prepare"]) assert.equal(manifest.scripts?.[name], undefined, name);
});

test("it has what is built, its README and its licences, and nothing else", () => {
  const files = packed.files.map((file) => file.path);
  const strange = files.filter((file) => !/^dist\/[\w./-]+(?:\.js|\.d\.ts)$/.test(file) && !["package.json", "README.md", "dist/LICENSE-MIT", "dist/LICENSE-APACHE"].includes(file));
  assert.deepEqual(strange, []);
  for (const file of ["README.md", "dist/LICENSE-MIT", "dist/efir.js", "dist/index.js", "dist/index.d.ts"]) assert.ok(files.includes(file), file);
  for (const file of files.filter((file) => file.endsWith(".js") && file !== "dist/efir.js")) {
    assert.ok(files.includes(file.replace(/\.js$/, ".d.ts")), `the types of ${file}`);
  }
});

test("every module is imported by Node, and only its own files by it", () => {
  const look = `for (const part of ${JSON.stringify(parts)}) {
    const names = Object.keys(await import(part))
    if (names.length === 0) throw new Error(part + " exports nothing")
    console.log(part, names.sort().join(" "))
  }`;
  const said = run(process.execPath, ["--input-type=module", "-e", look], folder);
  assert.match(said, /^efir .*\bconnect\b/m);
  assert.match(said, /^efir\/core .*\bconnect\b/m);
  assert.match(said, /^efir\/transports\/long-poll longPoll$/m);
  for (const file of packed.files.filter((file) => file.path.endsWith(".js"))) {
    const text = readFileSync(path.join(root, file.path), "utf8");
    assert.doesNotMatch(text, /\brequire\(|\bmodule\.exports\b/, file.path);
    const imported = [...text.matchAll(/\b(?:from|import)\s*"([^"]+)"/g)].map((found) => found[1]);
    const others = imported.filter((name) => !name.startsWith("."));
    assert.deepEqual(others, file.path === "dist/react.js" ? ["react"] : [], file.path);
  }
});

test("the bundle for pages is one module of the same version", async () => {
  const text = readFileSync(path.join(folder, "node_modules/efir/dist/efir.js"), "utf8");
  assert.ok(text.startsWith(`/*! efir ${manifest.version} `), text.slice(0, 40));
  assert.doesNotMatch(text, /\bimport\s*[("{*]/);
  const bundle = await import(path.join(folder, "node_modules/efir/dist/efir.js"));
  const index = await import(path.join(folder, "node_modules/efir/dist/index.js"));
  for (const name of [...Object.keys(index), "websocket", "sse", "httpStream", "longPoll", "shortPoll", "tabs"]) assert.ok(name in bundle, name);
});

for (const resolution of ["nodenext", "bundler"]) {
  test(`an application compiles against it with moduleResolution ${resolution}`, () => {
    copyFileSync(path.join(root, "test/types/client.ts"), path.join(folder, "app.ts"));
    const options = {
      module: resolution === "bundler" ? "esnext" : "nodenext",
      moduleResolution: resolution,
      target: "es2022",
      lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    };
    const project = path.join(folder, `tsconfig.${resolution}.json`);
    writeFileSync(project, JSON.stringify({ compilerOptions: options, files: ["app.ts"] }));
    try {
      run(process.execPath, [path.join(root, "node_modules/typescript/bin/tsc"), "-p", project], folder);
    } catch (error) {
      assert.fail(`${error.stdout}${error.stderr}`);
    }
  });
}
