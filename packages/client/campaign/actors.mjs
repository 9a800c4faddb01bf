// Who reads and publishes in a campaign, each writing down what it did and saw. Readers use the client; publishers the client or plain HTTP.
import { setTimeout as pause } from "node:timers/promises";
import { place } from "./history.mjs";

/** A reader: one client with subscriptions, whose cursors it follows as an application would. */
export class Reader {
  /** By channel: the last position, how many gaps of which reason. */
  tracks = new Map();
  errors = [];
  #stops = new Map();

  constructor(name, client, history) {
    [this.name, this.client, this.history] = [name, client, history];
    this.stays = new Stays(client);
    client.on("error", (error) => this.errors.push(error));
  }

  /** Subscribes; `from` as in the history. */
  read(channel, from) {
    const options = from === "start" ? { after: "start" } : from === "now" ? {} : from;
    const track = this.tracks.get(channel) ?? { position: undefined, gaps: 0, texts: [] };
    this.tracks.set(channel, track);
    this.history.open(this.name, this.client.transport ?? "none", channel, from);
    const handle = this.client.channel(channel);
    const stopGaps = handle.on("gap", (gap) => {
      track.position = gap.resume_from;
      track.gaps += 1;
      this.history.gap(this.name, gap);
    });
    const stop = handle.subscribe((message) => {
      track.position = message.position;
      track.texts.push(typeof message.data === "string" ? message.data : undefined);
      this.history.received(this.name, message);
    }, options);
    this.#stops.set(channel, () => {
      stop();
      stopGaps();
    });
  }

  /** Unsubscribes and subscribes again in the same breath, after the last message or gap that it saw. */
  readAgain(channel) {
    const { position } = this.tracks.get(channel);
    this.#stops.get(channel)();
    this.read(channel, position === undefined ? "start" : { after: position });
  }

  /** Reads on over a `for await` from the oldest message; ends with the client. */
  async iterate(channel) {
    const track = { position: undefined, gaps: 0, texts: [] };
    this.tracks.set(channel, track);
    const handle = this.client.channel(channel);
    this.history.open(this.name, "none", channel, "now");
    handle.on("gap", (gap) => {
      track.gaps += 1;
      this.history.gap(this.name, gap);
    });
    for await (const message of handle) {
      track.position = message.position;
      track.texts.push(typeof message.data === "string" ? message.data : undefined);
      this.history.received(this.name, message);
    }
  }

  /** Whether the newest that it has of a channel is of this epoch, and at least at the offset. */
  has(channel, position) {
    const [own, wanted] = [this.tracks.get(channel)?.position, place(position)];
    return own !== undefined && place(own).epoch === wanted.epoch && place(own).offset >= wanted.offset;
  }

  settle() {
    for (const channel of this.tracks.keys()) this.history.settled(this.name, channel);
  }

  close() {
    for (const stop of this.#stops.values()) stop();
    this.client.close();
  }
}

/** Counts how often a client came back. */
class Stays {
  online = 0;

  constructor(client) {
    client.on("state", (state) => (this.online += state === "online" ? 1 : 0));
  }

  get reconnects() {
    return Math.max(0, this.online - 1);
  }
}

/** Publishes over a client; each publish ends with an answer or with an error that says that nobody knows. */
export class ClientPublisher {
  constructor(name, client, history) {
    [this.name, this.client, this.history] = [name, client, history];
    this.stays = new Stays(client);
    this.errors = [];
    client.on("error", (error) => this.errors.push(error));
  }

  /** `key`: none for the client's own. Gives the receipt, or the error's code. */
  async publish(channel, data, key) {
    // The client's own key is random: any other text stands for it.
    const op = this.history.publish(this.name, channel, key ?? `${this.name} ${this.history.entries.length}`, data);
    try {
      const receipt = await this.client.channel(channel).publish(data, key === undefined ? {} : { key });
      this.history.accepted(this.name, op, receipt);
      return receipt;
    } catch (error) {
      this.history.unanswered(this.name, op);
      return error.code ?? String(error);
    }
  }

  close() {
    this.client.close();
  }
}

/** Publishes as any program can: POST with a key, again until there is an answer. */
export class HttpPublisher {
  errors = [];
  isOver = false;

  constructor(name, url, history) {
    [this.name, this.url, this.history] = [name, url, history];
  }

  async publish(channel, data, key) {
    while (!this.isOver) {
      const op = this.history.publish(this.name, channel, key, data);
      const receipt = await this.#attempt(channel, data, key).catch(() => undefined);
      if (receipt !== undefined) {
        this.history.accepted(this.name, op, receipt);
        return receipt;
      }
      this.history.unanswered(this.name, op);
      await pause(20);
    }
    return "closed";
  }

  async #attempt(channel, data, key) {
    const [type, body] =
      data instanceof Uint8Array
        ? ["application/octet-stream", data]
        : typeof data === "string"
          ? ["text/plain", data]
          : ["application/json", JSON.stringify(data)];
    const headers = { "Content-Type": type, ...(key === undefined ? {} : { "Idempotency-Key": key }) };
    const answer = await fetch(`${this.url}/channels/${encodeURIComponent(channel)}`, { method: "POST", headers, body, signal: AbortSignal.timeout(3_000) });
    const receipt = await answer.json();
    if (answer.ok && typeof receipt.position === "string") return receipt;
    return undefined;
  }

  close() {
    this.isOver = true;
  }
}

/** A payload that exists once: JSON, text or bytes, mostly small. */
export function payload(random, name) {
  const filler = "я".repeat(random.chance(0.05) ? random.between(2_000, 8_000) : random.between(0, 60));
  if (random.chance(0.3)) return `${name} ${filler}`;
  if (random.chance(0.15)) return new Uint8Array(Buffer.concat([Buffer.from([0xff, 0xfe, 0x00]), Buffer.from(name + filler)]));
  return { name, filler, n: random.between(0, 1_000) };
}
