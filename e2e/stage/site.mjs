// Somebody else's web site: one blank page on a port of its own, for pages of another origin.
import { createServer } from "node:http";

const blank = "<!doctype html><html lang=en><meta charset=utf-8><title>Another site</title><link rel=icon href=data:,>";

export class Site {
  #server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html; charset=utf-8").end(blank));

  static async open() {
    const site = new Site();
    await new Promise((ready, failed) => site.#server.once("error", failed).listen(0, "127.0.0.1", ready));
    site.port = site.#server.address().port;
    return site;
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}
