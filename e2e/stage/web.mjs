// The web as a browser sees it that reaches everything through one proxy: any origin there may be, by name, address and port, with TLS and
// without, each a blank page; and one efir among them, in front of which every request is noted. Nothing leaves loopback.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const blank = "<!doctype html><html lang=en><meta charset=utf-8><title>Another site</title><link rel=icon href=data:,><body>";

/** A key and a certificate that nobody trusts; the browsers are told not to mind. */
function selfSigned() {
  const folder = mkdtempSync(path.join(tmpdir(), "efir-web-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
  try {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=web.test"];
    execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert], { stdio: "ignore" });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export class Web {
  /** Requests that went to an efir, in order: `method`, `url`, `origin`, `cookie`, and `status` once it is answered. */
  asked = [];
  #servers;
  #proxy = createServer((asked, answer) => this.#request(asked, answer));
  #encrypted = createTlsServer(selfSigned(), (_, answer) => answer.setHeader("Content-Type", "text/html; charset=utf-8").end(blank));
  #sockets = new Set();

  /** `servers`: those whose ports lead to them, under whatever name. */
  static async open(servers) {
    const web = new Web();
    web.#servers = new Map(servers.map((server) => [String(server.port), server]));
    for (const server of [web.#proxy, web.#encrypted]) {
      server.on("connection", (socket) => web.#keep(socket));
      await new Promise((ready, failed) => server.once("error", failed).listen(0, "127.0.0.1", ready));
    }
    web.#proxy.on("connect", (asked, socket, head) => web.#connect(asked, socket, head));
    web.port = web.#proxy.address().port;
    return web;
  }

  /** What a browser needs to know to see it. */
  get flags() {
    return [
      `--proxy-server=http://127.0.0.1:${this.port}`,
      "--proxy-bypass-list=<-loopback>",
      "--ignore-certificate-errors",
      "--allow-running-insecure-content",
    ];
  }

  get prefs() {
    return {
      "network.proxy.type": 1,
      "network.proxy.http": "127.0.0.1",
      "network.proxy.http_port": this.port,
      "network.proxy.ssl": "127.0.0.1",
      "network.proxy.ssl_port": this.port,
      "network.proxy.allow_hijacking_localhost": true,
      "network.proxy.no_proxies_on": "",
      // efir is asked in cleartext also by pages that are not: what a browser would refuse by itself is no test of efir.
      "security.mixed_content.block_active_content": false,
      "network.websocket.allowInsecureFromHTTPS": true,
      "security.insecure_connection_text.enabled": false,
      "security.warn_submit_secure_to_insecure": false,
    };
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([this.#proxy, this.#encrypted].map((server) => new Promise((closed) => server.close(closed))));
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }

  #request(asked, answer) {
    const { port, pathname, search } = new URL(asked.url);
    const server = this.#servers.get(port);
    if (!server) return answer.setHeader("Content-Type", "text/html; charset=utf-8").end(blank);
    const { method, headers } = asked;
    const note = { method, url: pathname + search, origin: headers.origin, cookie: headers.cookie };
    this.asked.push(note);
    const { "proxy-connection": _, ...handedOn } = headers;
    const onward = request({ host: server.host, port, method, path: pathname + search, headers: handedOn }, (answered) => {
      note.status = answered.statusCode;
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  }

  /** WebSockets to an efir, and everything that is encrypted. */
  #connect(asked, near, head) {
    const server = this.#servers.get(asked.url.slice(asked.url.lastIndexOf(":") + 1));
    const far = connect(server ? { host: server.host, port: server.port } : { host: "127.0.0.1", port: this.#encrypted.address().port });
    this.#keep(far);
    far.on("connect", () => {
      near.write("HTTP/1.1 200 OK\r\n\r\n");
      far.write(head);
      near.pipe(far).pipe(near);
    });
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
  }
}
