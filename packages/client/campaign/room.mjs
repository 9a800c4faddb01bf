// Where one scenario takes place: a server, a proxy before it, readers and publishers, one history. At its end the judge has the word.
import assert from "node:assert/strict";
import os from "node:os";
import path from "node:path";
import { Proxy } from "../../../e2e/stage/proxy.mjs";
import { Server } from "../../../e2e/stage/server.mjs";
import { until } from "../../../e2e/stage/until.mjs";
import { ClientPublisher, HttpPublisher, Reader } from "./actors.mjs";
import { connect } from "./client.mjs";
import { History } from "./history.mjs";

/** Polls come soon, heartbeats often; everything else as it is for everybody. */
const times = { heartbeat: "200ms", poll_interval: "100ms" };
let rooms = 0;

export class Room {
  history = new History();
  #actors = [];
  #names = 0;

  /** `transport`: what its clients use; none for automatic choice. `args` and `times` are the server's. */
  static async open({ transport, args = [], times: own = {} } = {}) {
    const room = new Room();
    room.transport = transport;
    room.server = await Server.start({ page: "any", isAlone: true, args, times: { ...times, ...own } });
    room.proxy = await Proxy.before(room.server.port, room.server.host);
    // Straight to the server, so that a scenario's messages are there whatever happens to its clients.
    room.direct = new HttpPublisher("direct", room.server.url, room.history);
    return room;
  }

  client(options = {}) {
    return connect(this.proxy.url, { WebSocket: globalThis.WebSocket, transport: this.transport, ...options });
  }

  reader(options) {
    return this.#keep(new Reader(`reader ${++this.#names}`, this.client(options), this.history));
  }

  publisher(options) {
    return this.#keep(new ClientPublisher(`publisher ${++this.#names}`, this.client(options), this.history));
  }

  #keep(actor) {
    this.#actors.push(actor);
    return actor;
  }

  /** Publishes past the proxy; gives the receipt. */
  publish(channel, data) {
    return this.direct.publish(channel, data, undefined);
  }

  /** Publishes `m1`, `m2` … past the proxy; gives the last receipt. */
  async publishMany(channel, from, to) {
    let receipt;
    for (let n = from; n <= to; n += 1) receipt = await this.publish(channel, `m${n}`);
    return receipt;
  }

  /** Waits until a reader has a channel up to a receipt; longer than the longest rest between two attempts of a client. */
  has(reader, channel, receipt, within_ms = 45_000) {
    return until(`${reader.name} has ${receipt.position} of ${channel}`, () => reader.has(channel, receipt.position), { within_ms, seen: () => report(reader) });
  }

  /** Ends the server (`kill`: SIGKILL; `terminate`: in good order) and starts it again, with an empty memory. */
  async restart(how = "kill") {
    await this.server[how]();
    this.history.lost();
    await this.server.launch();
  }

  /** Every reader has said all that it was told; the history must hold. */
  async settle() {
    for (const actor of this.#actors) if (actor instanceof Reader) actor.settle();
    const judged = await this.history.judge(path.join(os.tmpdir(), `efir-scenario-${process.pid}-${++rooms}.jsonl`));
    assert.ok(judged.holds, judged.words);
    for (const { name, errors } of this.#actors) {
      const unexpected = errors.filter(({ code }) => code === "callback_failed");
      assert.deepEqual(unexpected, [], name);
    }
    return judged;
  }

  async close() {
    for (const actor of this.#actors) actor.close();
    await this.proxy.close();
    await this.server.stop();
  }
}

/** For words about a reader that does not get what it should. */
export function report({ client, tracks, errors }) {
  const at = Object.fromEntries([...tracks].map(([channel, { position, gaps }]) => [channel, `${position}, ${gaps} gaps`]));
  return { state: client.state, transport: client.transport, at, errors: errors.slice(-3).map((error) => error.message) };
}
