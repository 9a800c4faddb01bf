// What can befall a connection, by name. A fault is plain JSON, `{kind, …}`, so that whoever draws it from a seed can print it; each kind
// here says what it does to a cable and when it counts as having happened.
import { readHeaders } from "./requests.mjs";

const head_end = "\r\n\r\n";
const last_chunk = Buffer.from("0\r\n\r\n");
/** A buffering proxy's buffer. */
const buffer_bytes = 64 * 1024;

/** Spoils a cable by one fault. */
export function spoil(cable, fault) {
  kinds[fault.kind](cable, fault);
}

export const kinds = {
  /** Closed in good order after `after` bytes of `way` ("up" or "down"). */
  cut(cable, { way, after }) {
    cable[way].at(after, () => {
      cable.note("cut");
      cable.end();
    });
  },

  /** Reset after `after` bytes of `way`. */
  reset(cable, { way, after }) {
    cable[way].at(after, () => {
      cable.note("reset");
      cable.reset();
    });
  },

  /** The answer ends early: FIN to the client after `after` bytes; the server sees its connection break. */
  truncate(cable, { after }) {
    cable.down.at(after, () => {
      cable.note("truncate");
      cable.down.end();
      cable.mute();
      cable.near.destroySoon();
      cable.far.destroy();
    });
  },

  /** After `after` bytes down nothing passes any more, both ways, and nobody is told; broken off after `ms`, or never. */
  silence(cable, { after, ms }) {
    cable.down.at(after, () => {
      cable.note("silence");
      cable.mute();
      if (ms !== undefined) cable.later(ms, () => cable.reset());
    });
  },

  /** The server's side is gone after `after` bytes down; the client's stays open, for `ms` or for ever. */
  half_open(cable, { after, ms }) {
    cable.down.at(after, () => {
      cable.note("half-open");
      cable.mute();
      cable.far.destroy();
      if (ms !== undefined) cable.later(ms, () => cable.reset());
    });
  },

  /** Every piece takes `ms` longer, both ways. */
  delay(cable, { ms }) {
    let isNoted = false;
    const slow = (way) => {
      way.delay_ms = ms;
      way.through((bytes) => {
        if (!isNoted) cable.note("delay");
        isNoted = true;
        return bytes;
      });
    };
    slow(cable.up);
    slow(cable.down);
  },

  /**
   * Answers without a length are held back: until they end or 64 KiB gather, as a buffering proxy does, or for `ms` at a time. What is
   * upgraded passes, unless `sockets`.
   */
  buffer(cable, { ms, sockets = false }) {
    let isNoted = false;
    const letGo = () => {
      if (!cable.down.isHolding) return;
      cable.down.release(true);
      cable.later(ms, letGo);
    };
    cable.down.through((bytes) => {
      const exchange = cable.requests.current;
      const isHeld = exchange?.isStream && (sockets || exchange.status !== 101);
      if (isHeld && !cable.down.isHolding) {
        if (!isNoted) cable.note("buffer");
        isNoted = true;
        cable.down.hold();
        if (ms !== undefined) cable.later(ms, letGo);
      }
      if (cable.down.heldBytes > buffer_bytes) cable.down.release(true);
      // The last chunk ends the answer; what stands behind it is another one.
      if (isHeld && bytes.subarray(-last_chunk.length).equals(last_chunk)) setImmediate(() => cable.down.release());
      return bytes;
    });
  },

  /** Reset when nothing passed either way for `ms`. */
  idle(cable, { ms }) {
    let last = performance.now();
    const touch = (bytes) => {
      last = performance.now();
      return bytes;
    };
    cable.up.through(touch);
    cable.down.through(touch);
    const look = () => {
      const rest = last + ms - performance.now();
      if (rest > 0) return cable.later(rest, look);
      cable.note("idle");
      cable.reset();
    };
    cable.later(ms, look);
  },

  /** Ended after `ms`, as a proxy with a greatest age does; one that fell silent is left to its client. */
  expire(cable, { ms }) {
    cable.later(ms, () => {
      if (cable.down.isMute) return;
      cable.note("expire");
      cable.end();
    });
  },

  /** Does not know Upgrade: takes the header lines out (`answer` 200), or refuses such a request (`answer` 400). Other requests pass. */
  strip(cable, { answer }) {
    onHead(cable, (head, rest) => {
      if (!/\r\nupgrade:/i.test(head)) return Buffer.concat([Buffer.from(head, "latin1"), rest]);
      cable.note("strip");
      if (answer === 400) return void reply(cable, "400 Bad Request");
      const lines = head.split("\r\n").filter((line) => !/^(upgrade|connection|sec-websocket-[a-z]+):/i.test(line));
      return Buffer.concat([Buffer.from(lines.join("\r\n"), "latin1"), rest]);
    });
  },

  /** Accepts upgrades and never says a word; other requests pass. */
  swallow_upgrade(cable) {
    onHead(cable, (head, rest) => {
      if (!/\r\nupgrade:/i.test(head)) return Buffer.concat([Buffer.from(head, "latin1"), rest]);
      cable.note("swallow upgrade");
      cable.mute();
      return undefined;
    });
  },

  /** Reset before anything. */
  refuse(cable) {
    cable.note("refuse");
    cable.reset();
  },

  /** A gateway without a server behind it: `status` (502, 503, 504) and a page of HTML. */
  gateway(cable, { status }) {
    onHead(cable, () => {
      cable.note("gateway");
      return void reply(cable, `${status} Bad Gateway`);
    });
  },

  /** A captive portal: says 200 to everything, with a page of HTML. */
  portal(cable) {
    onHead(cable, () => {
      cable.note("portal");
      return void reply(cable, "200 OK");
    });
  },

  /**
   * Bytes of the server come twice, where they still mean something: a poll is answered once more with the answer before it, as a bad
   * cache does; of a stream a whole chunk and of a socket whole frames are repeated. `skip`: how many chances pass first.
   */
  repeat(cable, { skip = 0 }) {
    const once = chances(skip, () => cable.note("repeat"));
    repeatPolls(cable, once);
    repeatStreams(cable, once);
  },
};

/** Calls back with each request's head, once it is complete; what that gives goes on instead. Later bodies pass. */
function onHead(cable, take) {
  let gathered = Buffer.alloc(0);
  let begun;
  cable.up.through((bytes) => {
    const exchange = cable.requests.current;
    if (exchange !== undefined && exchange === begun) return bytes;
    gathered = Buffer.concat([gathered, bytes]);
    const end = gathered.indexOf(head_end);
    if (end < 0) return undefined;
    begun = exchange;
    const [head, rest] = [gathered.toString("latin1", 0, end + head_end.length), gathered.subarray(end + head_end.length)];
    gathered = Buffer.alloc(0);
    return take(head, rest);
  });
}

/** The proxy's own answer, and the end. */
function reply(cable, status) {
  const page = "<!doctype html><title>proxy</title><h1>It is not here</h1>";
  const head = [`HTTP/1.1 ${status}`, "Content-Type: text/html", `Content-Length: ${page.length}`, "Connection: close"].join("\r\n");
  cable.down.put(Buffer.from(`${head}${head_end}${page}`, "latin1"));
  cable.end();
}

/** True once, after `skip` chances were let pass. */
function chances(skip, took) {
  let left = skip;
  return () => {
    if (left-- !== 0) return false;
    took();
    return true;
  };
}

function repeatPolls(cable, once) {
  /** The last answer to a GET, as far as it came, and what it was to. */
  let answer;
  let place;
  let judged;
  let isReplaced = false;
  const placeOf = (exchange) => (exchange.method === "GET" && !exchange.isUpgrade ? `${exchange.target.split("?")[0]} ${exchange.query.getAll("channel")}` : undefined);
  cable.up.through((bytes) => {
    const exchange = cable.requests.current;
    if (exchange !== judged && exchange !== undefined) {
      judged = exchange;
      isReplaced = place !== undefined && placeOf(exchange) === place && isWhole(answer) && once();
      if (isReplaced) setImmediate(() => cable.down.put(answer));
      else [answer, place] = [Buffer.alloc(0), placeOf(exchange)];
    }
    return isReplaced ? undefined : bytes;
  });
  cable.down.through((bytes) => {
    if (place !== undefined && cable.requests.current?.isStream === false) answer = Buffer.concat([answer, bytes]);
    return bytes;
  });
}

/** Whether this is one complete answer with messages in it that says its length. */
function isWhole(answer) {
  const end = answer.indexOf(head_end);
  if (end < 0 || answer.toString("latin1", 9, 12) !== "200") return false;
  const length = readHeaders(answer.toString("latin1", 0, end).split("\r\n").slice(1))["content-length"];
  return length !== undefined && answer.length === end + head_end.length + Number(length);
}

function repeatStreams(cable, once) {
  let begun;
  cable.down.through((bytes) => {
    const exchange = cable.requests.current;
    if (!exchange?.isStream) return bytes;
    // The head and what came with it are not repeated.
    if (begun !== exchange) {
      begun = exchange;
      return bytes;
    }
    const areWhole = exchange.status === 101 ? areFrames(bytes) : areChunks(bytes);
    return areWhole && once() ? Buffer.concat([bytes, bytes]) : bytes;
  });
}

/** Whether these bytes are whole chunks of a chunked body, and not its end. */
export function areChunks(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const line = bytes.indexOf("\r\n", at);
    const size = line < 0 ? Number.NaN : Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (!(size > 0)) return false;
    at = line + 2 + size + 2;
    if (at > bytes.length || bytes.toString("latin1", at - 2, at) !== "\r\n") return false;
  }
  return at > 0;
}

/** Whether these bytes are whole text frames of a WebSocket server. */
export function areFrames(bytes) {
  let at = 0;
  while (at < bytes.length) {
    // FIN and text, compressed or not.
    if ((bytes[at] & 0xbf) !== 0x81 || at + 2 > bytes.length) return false;
    const short = bytes[at + 1];
    if (short > 127) return false;
    const width = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (at + 2 + width > bytes.length) return false;
    const size = width === 0 ? short : Number(width === 2 ? bytes.readUInt16BE(at + 2) : bytes.readBigUInt64BE(at + 2));
    at += 2 + width + size;
  }
  return at === bytes.length && at > 0;
}
