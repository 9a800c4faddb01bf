// A TCP proxy on loopback that counts every byte and knows which request of HTTP/1.1 it belongs to: what a browser really sends, seen
// from outside. Understands just as much of HTTP as browsers speak to efir: heads, bodies with Content-Length, upgrades.
import { connect, createServer } from "node:net";

const head_end = Buffer.from("\r\n\r\n");

/** A request that went through: `method`, `target`, `headers` (names in lower case), and its bytes, which grow while it lasts. */
class Exchange {
  up = 0;
  down = 0;
  status = undefined;

  constructor(head) {
    const [first, ...lines] = head.split("\r\n");
    [this.method, this.target] = first.split(" ");
    this.headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  }

  get query() {
    return new URL(this.target, "http://proxy").searchParams;
  }

  get isUpgrade() {
    return this.headers.upgrade !== undefined;
  }
}

export class Proxy {
  /** All requests so far, in the order of their arrival. */
  exchanges = [];
  #server;
  #sockets = new Set();

  /** Starts one before a server on a port of 127.0.0.1. */
  static async before(port) {
    const proxy = new Proxy();
    proxy.#server = createServer((near) => proxy.#join(near, connect(port, "127.0.0.1")));
    await new Promise((ready, failed) => proxy.#server.once("error", failed).listen(0, "127.0.0.1", ready));
    proxy.port = proxy.#server.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  /** The requests for channels that count for a client (`?client=`); asking for its figures (`/traffic?client=`) does not. */
  of(client) {
    return this.exchanges.filter((exchange) => exchange.target.startsWith("/channels/") && exchange.query.get("client") === client);
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((closed) => this.#server.close(closed));
  }

  #join(near, far) {
    const reader = new RequestReader((exchange) => this.exchanges.push(exchange));
    near.on("data", (bytes) => {
      reader.take(bytes);
      far.write(bytes);
    });
    far.on("data", (bytes) => {
      reader.answered(bytes);
      near.write(bytes);
    });
    for (const [one, other] of [[near, far], [far, near]]) {
      one.setNoDelay(true);
      this.#sockets.add(one);
      one.on("end", () => other.end());
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }
}

/** Divides what comes in on one connection into requests. */
class RequestReader {
  #begun;
  #current;
  #head = Buffer.alloc(0);
  /** Bytes of the present body that are still to come; without end after an upgrade. */
  #body = 0;

  constructor(begun) {
    this.#begun = begun;
  }

  take(bytes) {
    let rest = bytes;
    while (rest.length > 0) rest = this.#body > 0 ? this.#takeBody(rest) : this.#takeHead(rest);
  }

  /** No browser sends a second request before the first is answered: an answer belongs to the last request. */
  answered(bytes) {
    if (!this.#current) return;
    if (this.#current.down === 0) this.#current.status = Number(bytes.toString("latin1", 9, 12));
    this.#current.down += bytes.length;
  }

  #takeBody(bytes) {
    const part = bytes.subarray(0, this.#body);
    this.#body -= part.length;
    this.#current.up += part.length;
    return bytes.subarray(part.length);
  }

  #takeHead(bytes) {
    const before = this.#head.length;
    this.#head = Buffer.concat([this.#head, bytes]);
    const end = this.#head.indexOf(head_end);
    if (end < 0) return Buffer.alloc(0);
    const size = end + head_end.length;
    this.#current = new Exchange(this.#head.toString("latin1", 0, end));
    this.#current.up = size;
    this.#body = this.#current.isUpgrade ? Number.POSITIVE_INFINITY : Number(this.#current.headers["content-length"] ?? 0);
    this.#head = Buffer.alloc(0);
    this.#begun(this.#current);
    return bytes.subarray(size - before);
  }
}
