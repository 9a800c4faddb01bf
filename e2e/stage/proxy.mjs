// A TCP proxy on loopback: it counts every byte and knows which request of HTTP/1.1 it belongs to, which is what a client really sends,
// seen from outside; and it spoils connections on demand, as bad networks and other people's proxies do (`faults.mjs`).
import { connect, createServer } from "node:net";
import { Cable } from "./cable.mjs";
import { spoil } from "./faults.mjs";

export class Proxy {
  /** All requests so far, in the order of their arrival. */
  exchanges = [];
  /** Connections accepted so far. */
  connections = 0;
  /** How often each kind of fault took effect. */
  applied = {};
  #server;
  #cables = new Set();
  #plan = () => [];

  /** Starts one before a server on a port of 127.0.0.1, or of another address of the loopback network. */
  static async before(port, host = "127.0.0.1") {
    const proxy = new Proxy();
    proxy.#server = createServer({ allowHalfOpen: true }, (near) => proxy.#join(near, connect({ port, host, allowHalfOpen: true })));
    await new Promise((ready, failed) => proxy.#server.once("error", failed).listen(0, "127.0.0.1", ready));
    proxy.port = proxy.#server.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  /** The requests for channels that count for a client (`?client=`); asking for its figures (`/traffic?client=`) does not. */
  of(client) {
    return this.exchanges.filter((exchange) => exchange.target.startsWith("/channels/") && exchange.query.get("client") === client);
  }

  /** From now on `plan(index)` says which faults (`faults.mjs`) befall the connection with that number, counted from 0. */
  fault(plan) {
    this.#plan = plan;
  }

  /** How many faults took effect so far. */
  get faults() {
    return Object.values(this.applied).reduce((sum, count) => sum + count, 0);
  }

  /** An honest wire from here on, also for the connections that are open. */
  calm() {
    this.#plan = () => [];
    for (const cable of this.#cables) cable.calm();
  }

  /** Ends all connections by a reset; gives how many. */
  cut() {
    const cables = [...this.#cables];
    for (const cable of cables) {
      this.#note("cut by hand");
      cable.reset();
    }
    return cables.length;
  }

  /** From now on the clients of the open connections hear nothing more, while the server hears everything. */
  deafen() {
    for (const cable of this.#cables) {
      this.#note("deafen");
      cable.down.isMute = true;
    }
  }

  async close() {
    for (const cable of this.#cables) cable.reset();
    await new Promise((closed) => this.#server.close(closed));
  }

  #join(near, far) {
    const cable = new Cable(near, far, {
      begun: (exchange) => this.exchanges.push(exchange),
      note: (kind) => this.#note(kind),
    });
    this.#cables.add(cable);
    near.on("close", () => this.#cables.delete(cable));
    for (const fault of this.#plan(this.connections++)) spoil(cable, fault);
  }

  #note(kind) {
    this.applied[kind] = (this.applied[kind] ?? 0) + 1;
  }
}
