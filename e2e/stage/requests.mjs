// Divides the bytes of an HTTP/1.1 connection into requests and what was answered to each. Understands just as much of HTTP as clients
// speak to efir: heads, bodies with Content-Length, upgrades.

const head_end = Buffer.from("\r\n\r\n");

/** The header lines of a head, names in lower case, without its first line. */
export function readHeaders(lines) {
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
}

/** A request that went through: `method`, `target`, `headers` (names in lower case), and its bytes, which grow while it lasts. */
export class Exchange {
  up = 0;
  down = 0;
  status = undefined;
  /** The answer's headers, once its first bytes were there (heads of efir come in one piece). */
  answer = undefined;

  constructor(head) {
    const [first, ...lines] = head.split("\r\n");
    [this.method, this.target] = first.split(" ");
    this.headers = readHeaders(lines);
  }

  get query() {
    return new URL(this.target, "http://proxy").searchParams;
  }

  get isUpgrade() {
    return this.headers.upgrade !== undefined;
  }

  /** Whether the answer has no length: it ends with its connection, with a last chunk, or never. */
  get isStream() {
    return this.answer !== undefined && this.answer["content-length"] === undefined && this.status !== 304;
  }
}

/** Divides what comes in on one connection into requests. */
export class RequestReader {
  current;
  #begun;
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

  /** No client here sends a second request before the first is answered: an answer belongs to the last request. */
  answered(bytes) {
    if (!this.current) return;
    if (this.current.down === 0) {
      const end = bytes.indexOf(head_end);
      const [first, ...lines] = bytes.toString("latin1", 0, end < 0 ? bytes.length : end).split("\r\n");
      this.current.status = Number(first.slice(9, 12));
      this.current.answer = readHeaders(lines);
    }
    this.current.down += bytes.length;
  }

  #takeBody(bytes) {
    const part = bytes.subarray(0, this.#body);
    this.#body -= part.length;
    this.current.up += part.length;
    return bytes.subarray(part.length);
  }

  #takeHead(bytes) {
    const before = this.#head.length;
    this.#head = Buffer.concat([this.#head, bytes]);
    const end = this.#head.indexOf(head_end);
    if (end < 0) return Buffer.alloc(0);
    const size = end + head_end.length;
    this.current = new Exchange(this.#head.toString("latin1", 0, end));
    this.current.up = size;
    this.#body = this.current.isUpgrade ? Number.POSITIVE_INFINITY : Number(this.current.headers["content-length"] ?? 0);
    this.#head = Buffer.alloc(0);
    this.#begun(this.current);
    return bytes.subarray(size - before);
  }
}
