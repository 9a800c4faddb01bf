// One leg of the campaign: a server, a bad network before it, publishers and readers of one transport (or of automatic choice), until so
// many faults have taken effect; then a good network, everything is waited for, and the judge has the word.
import { setTimeout as pause } from "node:timers/promises";
import { Proxy } from "../../../e2e/stage/proxy.mjs";
import { Server } from "../../../e2e/stage/server.mjs";
import { until } from "../../../e2e/stage/until.mjs";
import { ClientPublisher, HttpPublisher, Reader, payload } from "./actors.mjs";
import { History, place } from "./history.mjs";
import { plan } from "./plans.mjs";

/** The last one has no colleague on the wire. */
const channels = ["news", "общий-чат", "prices:eur"];
/** A leg that does not reach its faults ends all the same, and says so. */
const leg_ms_max = 240_000;
/** So that there is something to lose: a leg goes on until so many messages a fault were acknowledged. */
const messages_per_fault = 1;
/** Short, so that a leg has many connections in its time. */
const times = { heartbeat: "200ms", poll_interval: "100ms", hold: "2s", retry_min: "20ms", retry_max: "100ms", rotation_min: "3s", rotation_max: "9s" };

export class Leg {
  readers = [];
  publishers = [];
  history = new History();
  kills = 0;
  #isPublishing = true;
  /** Gaps that each cursor must have been told: one for each kill that it lived through. */
  #owed = new Map();

  /**
   * `way`: `{name, options, upgrades, isSwitching}`; `connect`: of the client under test; `random`: this leg's own stream; `settle_ms`: after
   * the last fault everything must be there within this time, far more than any wait of a client's.
   */
  constructor({ way, connect, random, faults, kills, settle_ms = 60_000 }) {
    Object.assign(this, { way, random, faults, kills_wanted: kills, settle_ms });
    this.connect = () => connect(this.proxy.url, { WebSocket: globalThis.WebSocket, ...way.options });
  }

  /** Runs it; `file` takes the history. Gives one row of the table, with `wrong`: all that does not hold, in words. */
  async run(file) {
    const begun = performance.now();
    this.server = await Server.start({ page: "any", isAlone: true, times });
    this.proxy = await Proxy.before(this.server.port, this.server.host);
    // Plain publishers suffer as well, but what befalls them is not counted: it is not the client that gets over it.
    this.proxy_plain = await Proxy.before(this.server.port, this.server.host);
    const wrong = [];
    try {
      // What a run that got stuck wrote down is judged as well.
      await this.#suffer().catch((error) => wrong.push(error.message));
      await this.#settle(wrong);
    } finally {
      this.#isPublishing = false;
      for (const actor of [...this.readers, ...this.publishers]) actor.close();
      await Promise.all([this.proxy.close(), this.proxy_plain.close()]);
      await this.server.stop();
    }
    const judged = await this.history.judge(file);
    if (!judged.holds) wrong.push(judged.words);
    return { ...judged, name: this.way.name, ...this.#counts(), seconds: (performance.now() - begun) / 1000, wrong };
  }

  #counts() {
    const actors = [...this.readers, ...this.publishers];
    return {
      faults: this.proxy.faults + this.kills,
      applied: { ...this.proxy.applied, kill: this.kills },
      connections: this.proxy.connections,
      reconnects: actors.reduce((sum, { stays }) => sum + (stays?.reconnects ?? 0), 0),
      kills: this.kills,
    };
  }

  async #suffer() {
    this.proxy.fault(plan(this.random.of("plan"), this.way));
    this.proxy_plain.fault(plan(this.random.of("plan of plain publishers"), { upgrades: false }));
    this.#begin();
    for (const publisher of this.publishers) this.#publish(publisher);
    const moving = [this.#churn(), this.way.isSwitching && this.#switch()];
    const share = this.faults / (this.kills_wanted + 1);
    const isPast = (count) => this.proxy.faults >= count;
    for (let kill = 1; kill <= this.kills_wanted; kill += 1) {
      await until(`${this.way.name}: ${Math.round(share * kill)} faults`, () => isPast(share * kill), { within_ms: leg_ms_max, seen: () => this.#report() });
      await this.#kill();
    }
    const isEnough = () => isPast(this.faults - this.kills) && this.history.acknowledged >= this.faults * messages_per_fault;
    await until(`${this.way.name}: ${this.faults} faults`, isEnough, { within_ms: leg_ms_max, seen: () => this.#report() });
    this.#isPublishing = false;
    for (const proxy of [this.proxy, this.proxy_plain]) proxy.calm();
    await Promise.all(moving);
    await until(`${this.way.name}: every publish is answered`, () => this.publishers.every(({ isDone }) => isDone), { within_ms: this.settle_ms, seen: () => this.#report() });
  }

  #begin() {
    const reader = (name) => {
      const one = new Reader(name, this.connect(), this.history);
      this.readers.push(one);
      return one;
    };
    const [all, two, one, moving] = ["all", "two", "one", "moving"].map(reader);
    for (const channel of channels) all.read(channel, "start");
    for (const channel of channels.slice(0, 2)) two.read(channel, "start");
    one.read(channels[2], "start");
    for (const channel of channels) moving.read(channel, "start");
    reader("loop").iterate(channels[0]);
    for (const name of ["client publisher 1", "client publisher 2"]) this.publishers.push(new ClientPublisher(name, this.connect(), this.history));
    for (const name of ["http publisher 1", "http publisher 2"]) this.publishers.push(new HttpPublisher(name, this.proxy_plain.url, this.history));
  }

  async #publish(publisher) {
    const random = this.random.of(publisher.name);
    const isClient = publisher instanceof ClientPublisher;
    for (let n = 1; this.#isPublishing; n += 1) {
      const channel = random.pick(channels);
      // A client keeps the order of what it is given without waiting; whoever speaks plain HTTP has to wait.
      const burst = isClient && random.chance(0.25) ? random.between(2, 6) : 1;
      const sent = Array.from({ length: burst }, (_, part) => {
        const name = `${publisher.name} ${n}.${part}`;
        const key = !isClient || random.chance(0.5) ? name.replaceAll(" ", ".") : undefined;
        return publisher.publish(channel, payload(random, name), key);
      });
      await Promise.all(sent);
      await pause(random.between(5, 60));
    }
    publisher.isDone = true;
  }

  /** A reader that unsubscribes and subscribes again, after what it has. */
  async #churn() {
    const random = this.random.of("churn");
    const moving = this.readers.find(({ name }) => name === "moving");
    while (this.#isPublishing) {
      await pause(random.between(200, 1_500));
      if (!this.isKilling) moving.readAgain(random.pick(channels));
    }
  }

  /** Every client goes to another transport, again and again. */
  async #switch() {
    const random = this.random.of("switch");
    while (this.#isPublishing) {
      await pause(random.between(100, 600));
      const { client } = random.pick([...this.readers, ...this.publishers.filter((publisher) => publisher.client)]);
      client.use(random.pick(["websocket", "sse", "http-stream", "long-poll", "short-poll", null]));
    }
    for (const { client } of [...this.readers, ...this.publishers]) client?.use(null);
  }

  /** Every cursor is in the present epoch; then the server dies in the middle of everything and comes back with an empty memory. */
  async #kill() {
    this.isKilling = true;
    await until(`${this.way.name}: every cursor is of this life of the server`, () => this.readers.every((reader) => this.#isHere(reader)), {
      within_ms: this.settle_ms,
      seen: () => this.#report(),
    });
    await this.server.kill();
    this.history.lost();
    this.kills += 1;
    for (const reader of this.readers) for (const channel of reader.tracks.keys()) this.#owe(reader, channel);
    await pause(this.random.of(`kill ${this.kills}`).between(0, 400));
    await this.server.launch();
    this.isKilling = false;
  }

  #owe(reader, channel) {
    const name = `${reader.name} ${channel}`;
    this.#owed.set(name, (this.#owed.get(name) ?? 0) + 1);
  }

  /** Whether what a reader has of each channel is of the epoch that publishers were told last. */
  #isHere(reader) {
    return [...reader.tracks].every(([channel, { position }]) => position !== undefined && place(position).epoch === this.history.epochs.get(channel));
  }

  /** A last message in each channel, over no bad network; all readers must get it. */
  async #settle(wrong) {
    const last = new HttpPublisher("last publisher", this.server.url, this.history);
    const marks = new Map();
    for (const channel of channels) marks.set(channel, (await last.publish(channel, `the last in ${channel}`, "last")).position);
    const hasAll = (reader) => [...reader.tracks.keys()].every((channel) => reader.has(channel, marks.get(channel)));
    await until(`${this.way.name}: every reader has everything`, () => this.readers.every(hasAll), { within_ms: this.settle_ms, seen: () => this.#report() }).catch((error) =>
      wrong.push(error.message),
    );
    for (const reader of this.readers) {
      reader.settle();
      for (const [channel, { gaps }] of reader.tracks) {
        const owed = this.#owed.get(`${reader.name} ${channel}`) ?? 0;
        if (gaps !== owed) wrong.push(`${reader.name} was told ${gaps} gaps of ${channel}; the server was killed ${owed} times`);
      }
    }
    for (const { name, errors } of [...this.readers, ...this.publishers]) {
      const bad = errors.filter(({ code }) => code === "callback_failed");
      if (bad.length > 0) wrong.push(`${name}: ${bad.map((error) => error.message)}`);
    }
  }

  #report() {
    return {
      faults: this.proxy.applied,
      connections: this.proxy.connections,
      readers: this.readers.map(({ name, client, tracks, errors }) => ({
        name,
        state: client.state,
        transport: client.transport,
        at: Object.fromEntries([...tracks].map(([channel, { position }]) => [channel, position])),
        errors: errors.slice(-2).map((error) => error.message),
      })),
      publishers: this.publishers.map(({ name, isDone, client, errors }) => ({ name, isDone, state: client?.state, errors: errors.slice(-2).map((error) => error.message) })),
    };
  }
}
