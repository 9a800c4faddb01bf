// What publishers and readers did and saw, in the order of real time, in the format of crates/efir-testkit/src/history.rs; and its judge.
// Knows nothing of proxies or faults.
import { execFile } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "../../../e2e/stage/server.mjs";

export class History {
  entries = [];
  /** By channel: the epoch that publishers were told since the server's memory was lost last. */
  epochs = new Map();
  /** How many publishes were accepted. */
  acknowledged = 0;
  #ops = 0;
  /** Channel of each publish that was sent since then. */
  #sent = new Map();

  record(actor, event) {
    this.entries.push({ actor, event });
  }

  /** A publish is sent; gives its number. */
  publish(actor, channel, key, data) {
    this.#ops += 1;
    this.#sent.set(this.#ops, channel);
    this.record(actor, { publish: { op: this.#ops, channel, key: key ?? null, payload: mark(data) } });
    return this.#ops;
  }

  accepted(actor, op, { position, duplicate }) {
    this.acknowledged += 1;
    if (this.#sent.has(op)) this.epochs.set(this.#sent.get(op), place(position).epoch);
    this.record(actor, { accepted: { op, position: place(position), duplicate } });
  }

  refused(actor, op, code) {
    this.record(actor, { refused: { op, code } });
  }

  unanswered(actor, op) {
    this.record(actor, { unanswered: { op } });
  }

  /** `from`: "now", "start", {last: N} or {after: CURSOR}. */
  open(actor, transport, channel, from) {
    this.record(actor, { open: { transport, channel, from } });
  }

  received(actor, { channel, position, data }) {
    this.record(actor, { received: { channel, position: place(position), payload: mark(data) } });
  }

  gap(actor, { channel, reason, after, resume_from, epoch }) {
    this.record(actor, { gap: { channel, reason, after: after ?? "", resume_from: place(resume_from), epoch: epoch ?? "" } });
  }

  settled(actor, channel) {
    this.record(actor, { settled: { channel } });
  }

  lost() {
    this.epochs.clear();
    this.#sent.clear();
    this.record("server", "lost");
  }

  /** What a channel keeps from here on. */
  keeps(channel, messages_max) {
    this.record("server", { keeps: { channel, messages_max } });
  }

  /** Writes it into a file and lets `efir-judge` judge it: its counts, and `words` about what is wrong. */
  async judge(file) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, this.entries.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    return judge(file);
  }
}

/** `efir-judge` on one file. */
export function judge(file) {
  return new Promise((told, failed) => {
    execFile(program(), [file], { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (stdout === "") return failed(new Error(`efir-judge says nothing about ${file}: ${error?.message ?? ""} ${stderr}`));
      told({ ...JSON.parse(stdout), holds: error === null, words: stderr });
    });
  });
}

/** `EFIR_JUDGE`, or the newer of the two builds of this checkout. */
function program() {
  if (process.env.EFIR_JUDGE) return process.env.EFIR_JUDGE;
  const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
  const age = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const [newest] = ["release", "debug"].map((profile) => path.join(target, profile, "efir-judge")).sort((a, b) => age(b) - age(a));
  if (age(newest) === 0) throw new Error("no judge: `cargo build -p efir-testkit` first, or name one in EFIR_JUDGE");
  return newest;
}

/** `<epoch>-<offset>` in two parts. */
export function place(position) {
  const at = String(position).lastIndexOf("-");
  return { epoch: position.slice(0, at), offset: Number(position.slice(at + 1)) };
}

/** How a payload is written down. */
export function mark(data) {
  if (typeof data === "string") return `text:${data}`;
  if (data instanceof Uint8Array) return `bytes:${Buffer.from(data).toString("base64")}`;
  return `json:${JSON.stringify(data)}`;
}
