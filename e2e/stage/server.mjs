// The efir under test: a process of its own on a loopback port that stays the same over restarts, so that browsers find it again.
// Knows nothing of browsers.
import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./until.mjs";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Short times, so that nobody waits for a heartbeat or a reconnection; everything else is the server's default. */
const brisk = { heartbeat: "200ms", poll_interval: "1s", retry_min: "50ms", retry_max: "150ms" };

/** `EFIR_BIN`, or the newer of the two builds of this checkout. */
export function binary() {
  if (process.env.EFIR_BIN) return process.env.EFIR_BIN;
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
  const builds = ["release", "debug"].map((profile) => path.join(target, profile, "efir"));
  const age = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newest = builds.sort((a, b) => age(b) - age(a))[0];
  if (age(newest) === 0) throw new Error("no efir to test: `cargo build -p efir-server` first, or name one in EFIR_BIN");
  return newest;
}

/** Ours without what configures an efir: each test says itself what it needs. */
function plainEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EFIR_")));
}

/**
 * An address of the loopback network that no other server here uses, so that nobody takes the port of one that is away. Elsewhere than on
 * Linux the network has one address only.
 */
function ownHost() {
  if (process.platform !== "linux") return "127.0.0.1";
  started += 1;
  return `127.${128 + ((process.pid >> 8) & 127)}.${process.pid & 255}.${1 + (started % 254)}`;
}
let started = 0;

export async function freePort(host) {
  const probe = createServer();
  await new Promise((ready, failed) => probe.once("error", failed).listen(0, host, ready));
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  return port;
}

export class Server {
  #args;
  #child;
  #said = "";
  #page;

  constructor({ host, port, args, times, page }) {
    [this.host, this.port, this.#page] = [host, port, page];
    this.url = `http://${host}:${port}`;
    const settings = Object.entries({ ...brisk, ...times }).flatMap(([name, value]) => ["--set", `times.${name}=${value}`]);
    this.#args = ["serve", "--listen", `${host}:${port}`, ...settings, ...args];
  }

  /**
   * Starts it and waits until it answers. `args` are further ones of the command line, `times` of its table [times]. `page` "any" for tests
   * that look at no page; `isAlone`: on a loopback address of its own, so that it finds its port again however long it was away.
   */
  static async start({ args = [], times = {}, page = "full", isAlone = false } = {}) {
    const host = isAlone ? ownHost() : "127.0.0.1";
    const server = new Server({ host, port: await freePort(host), args, times, page });
    await server.launch();
    return server;
  }

  /** Starts the process, at first or again on the same port. */
  async launch() {
    const child = spawn(binary(), this.#args, { stdio: ["ignore", "pipe", "pipe"], env: plainEnvironment(), cwd: tmpdir() });
    this.#child = child;
    this.#said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (this.#said = `${this.#said}${data}`.slice(-4_000)));
    let isOver = false;
    child.once("error", (error) => (this.#said += error.message));
    child.once("close", () => (isOver = true));
    const info = await until("efir answers GET /info", async () => isOver || this.#info(), { within_ms: 30_000 });
    if (isOver) throw new Error(`efir does not start:\n${this.#said}`);
    if (this.#page === "full" && info.page !== "full") {
      await this.stop();
      throw new Error(
        `this efir has the page "${info.page}", and browsers can test the full one only: build it with Node at hand and without EFIR_PAGE=plain`,
      );
    }
  }

  async #info() {
    const answer = await fetch(`${this.url}/info`, { signal: AbortSignal.timeout(2_000) });
    return answer.ok && answer.json();
  }

  /** Ends it at once, with no good-bye to anybody. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** Ends it in good order. */
  terminate() {
    return this.#end("SIGTERM");
  }

  /** Ends it after a test. */
  stop() {
    return this.kill();
  }

  async #end(signal) {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((exit) => child.once("exit", exit));
    child.kill(signal);
    await gone;
  }

  /** Publishes as a program would. Gives the server's reply. */
  async publish(channel, payload) {
    const isText = typeof payload === "string";
    const answer = await fetch(this.address(channel), {
      method: "POST",
      headers: { "Content-Type": isText ? "text/plain" : "application/json" },
      body: isText ? payload : JSON.stringify(payload),
    });
    if (!answer.ok) throw new Error(`publishing in ${channel}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** The bytes of a short poll from the channel's beginning. */
  async read(channel) {
    const answer = await fetch(`${this.address(channel)}?after=start`);
    return Buffer.from(await answer.arrayBuffer());
  }

  address(channel) {
    return `${this.url}/channels/${encodeURIComponent(channel)}`;
  }
}
