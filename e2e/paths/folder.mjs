// An empty folder in which somebody follows a paper: files are written and commands run there as the text has them, but for the ports,
// which are free ones here. What still runs at the end is ended.
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "../stage/until.mjs";
import { commands } from "./blocks.mjs";

/** The addresses of a paper's server; in the folder they are those of the server under test. */
const written_hosts = ["localhost", "127.0.0.1"];
const written_port = 8080;
const command_ms_max = 100_000;

/** Packages of papers in the versions that are tested; a paper names no version, as its readers would not. */
const versions = { react: "19.3.1", "react-dom": "19.3.1", vite: "8.3.8", vue: "3.5.45", svelte: "5.57.3", "@sveltejs/vite-plugin-svelte": "7.3.1" };

export class Folder {
  #port;
  #environment;
  #running = [];

  /** `port`: where the server is, or will be when the paper starts one. `binary`: the program `efir`. */
  constructor(port, binary) {
    this.#port = port;
    this.place = mkdtempSync(path.join(tmpdir(), "efir-path-"));
    this.#environment = {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EFIR_") && !name.startsWith("NODE_TEST"))),
      PATH: `${path.dirname(binary)}${path.delimiter}${process.env.PATH}`,
      EFIR_LISTEN: `127.0.0.1:${port}`,
      NO_COLOR: "1",
      npm_config_prefer_offline: "true",
      npm_config_audit: "false",
      npm_config_fund: "false",
      npm_config_update_notifier: "false",
    };
  }

  write(block) {
    const file = path.join(this.place, block.name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, this.#here(block.text));
  }

  /** Runs the commands of a block one after the other; a server or a development server is left running. Gives those processes. */
  async follow(block) {
    const left = [];
    for (const command of commands(block)) {
      if (/^(efir|npx vite)\b(?! build)/.test(command)) left.push(this.start(command));
      else await this.run(command);
    }
    return left;
  }

  /** Runs a command to its end and gives what it printed. */
  async run(command) {
    const running = this.start(command);
    await until(`«${command}» ends`, () => running.isOver, { within_ms: command_ms_max, seen: () => running.said });
    if (running.code !== 0) throw new Error(`«${command}» ended with ${running.code}:\n${running.said}`);
    return running.printed;
  }

  start(command) {
    const running = new Running(this.#here(command), this.place, this.#environment);
    this.#running.push(running);
    return running;
  }

  async close() {
    await Promise.all(this.#running.map((running) => running.end()));
    rmSync(this.place, { recursive: true, force: true });
  }

  #here(text) {
    let moved = text;
    for (const host of written_hosts) moved = moved.replaceAll(`${host}:${written_port}`, `${host}:${this.#port}`);
    // Vite takes the next free one from there on.
    if (moved === "npx vite") return `${moved} --port ${this.#port + 1}`;
    if (!moved.startsWith("npm install")) return moved;
    return moved
      .split(" ")
      .map((word) => (word in versions ? `${word}@${versions[word]}` : word))
      .join(" ");
  }
}

/** A command that was started; `printed` is its standard output, `said` that and its complaints. */
class Running {
  printed = "";
  said = "";
  isOver = false;
  code = undefined;
  #child;
  #gone;

  constructor(command, place, environment) {
    // A group of its own: what a shell starts ends with it.
    this.#child = spawn("bash", ["-c", command], { cwd: place, env: environment, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stdout.setEncoding("utf8").on("data", (text) => {
      this.printed += text;
      this.said += text;
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.said += text));
    this.#gone = new Promise((gone) => {
      this.#child.once("close", (code, signal) => {
        this.isOver = true;
        this.code = code ?? signal;
        gone();
      });
    });
  }

  /** Ends it and all that it started, and waits for that. */
  async end() {
    if (!this.isOver) process.kill(-this.#child.pid, "SIGKILL");
    await this.#gone;
  }
}
