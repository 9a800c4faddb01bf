// The page of the five panes (`/by-hand/`) as a visitor uses it: each pane has a field, a list, a cable and figures. Reads markup by its
// test hooks only.
import { until } from "./until.mjs";

export const transports = ["short-poll", "long-poll", "sse", "http-stream", "websocket"];
/** Those that keep a request open, of which HTTP/1.1 lets a browser have six to a host. */
export const held = ["long-poll", "sse", "http-stream"];

const settle_ms = 30_000;

const hook = (name) => `[data-testid="${name}"]`;

export class ChatPage {
  constructor(window) {
    this.window = window;
    this.panes = transports.map((name) => new Pane(window, name));
  }

  /** Opens the page on a channel in a window. */
  static async open(window, url, channel) {
    const page = new ChatPage(window);
    await window.goto(`${url}/by-hand/#${encodeURIComponent(channel)}`);
    return page;
  }

  pane(name) {
    return this.panes.find((pane) => pane.name === name);
  }

  /** Waits until the panes (all five) are on the air. */
  async isOnAir(names = transports) {
    for (const name of names) await this.pane(name).isIn("online");
    return this;
  }

  /** Goes to another channel by the field at the top, and waits until all panes are there. */
  async visit(channel) {
    await this.window.evaluate((field) => document.querySelector(field).select(), hook("room"));
    await this.window.press("Backspace");
    await this.window.type(hook("room"), channel);
    await this.window.press("Enter");
    await until(`the page is on ${channel}`, () =>
      this.window.evaluate((name) => decodeURIComponent(location.hash.slice(1)) === name && !document.querySelector("li[data-position]"), channel),
    );
    return this.isOnAir();
  }

  /** The banner of a window that another one keeps from holding requests; undefined where there is none. */
  banner() {
    return this.window.evaluate((button) => document.querySelector(button)?.parentElement.textContent, hook("takeover"));
  }

  takeOver() {
    return this.window.click(hook("takeover"));
  }
}

export class Pane {
  #window;
  #own;

  constructor(window, name) {
    this.name = name;
    this.#window = window;
    this.#own = hook(`pane-${name}`);
  }

  get #where() {
    return `${this.#window.browser.name}, ${this.name}`;
  }

  /** Types into the field and presses Enter. */
  async say(text) {
    await this.#window.type(`${this.#own} ${hook("input")}`, text);
    await this.#window.press("Enter");
  }

  /** What the list shows, oldest first: messages `{position, text, isCaughtUp}` and gaps `{gap}`. */
  lines() {
    return this.#window.evaluate(
      (list) =>
        Array.from(document.querySelector(list).children, (line) =>
          line.dataset.gap !== undefined
            ? { gap: line.dataset.gap }
            : { position: line.dataset.position, text: line.querySelector(".text").textContent, isCaughtUp: line.classList.contains("caught-up") },
        ).reverse(),
      `${this.#own} ${hook("messages")}`,
    );
  }

  async texts() {
    return (await this.lines()).filter((line) => line.position).map((line) => line.text);
  }

  /** Waits until the text stands in the list, and gives all lines. */
  async hears(text, within_ms = settle_ms) {
    const isThere = async () => {
      const lines = await this.lines();
      return lines.some((line) => line.text === text) && lines;
    };
    return until(`${this.#where}: «${text}» is shown`, isThere, { within_ms, seen: () => this.report() });
  }

  /** Waits until a gap of that reason stands in the list. */
  async tellsGap(reason) {
    const isThere = async () => (await this.lines()).some((line) => line.gap === reason);
    return until(`${this.#where}: a gap (${reason}) is shown`, isThere, { within_ms: settle_ms, seen: () => this.report() });
  }

  /** Waits for a state of the pane: connecting, online, reconnecting, cut, paused, stopped. */
  async isIn(...states) {
    const isThere = async () => states.includes((await this.report()).state);
    return until(`${this.#where}: state is ${states.join(" or ")}`, isThere, { within_ms: settle_ms, seen: () => this.report() });
  }

  /** Flips the switch of the cable and waits until it shows. */
  async #flip(isCut) {
    const cable = `${this.#own} ${hook("cable")}`;
    await this.#window.click(cable);
    await until(`${this.#where}: the cable is ${isCut ? "cut" : "plugged in"}`, () =>
      this.#window.evaluate(({ cable, isCut }) => document.querySelector(cable).dataset.cut === isCut, { cable, isCut: String(isCut) }),
    );
  }

  async cut() {
    await this.#flip(true);
    await this.isIn("cut");
  }

  async plug() {
    await this.#flip(false);
    await this.isIn("online");
  }

  /** The figures as they are shown, raw: requests, empty, down, up, latency. */
  figures() {
    return this.#window.evaluate(
      ({ own, names }) => {
        const raw = (name) => Number(document.querySelector(`${own} [data-testid="${name}"]`).dataset.value ?? Number.NaN);
        return Object.fromEntries(names.map((name) => [name, raw(name)]));
      },
      { own: this.#own, names: ["requests", "empty", "down", "up", "latency"] },
    );
  }

  /** For words about a failure. */
  async report() {
    const state = await this.#window.evaluate((line) => document.querySelector(line)?.dataset.state, `${this.#own} ${hook("state")}`);
    const lines = await this.lines().catch(() => []);
    return { state, newest: lines.slice(-4).map((line) => line.text ?? line) };
  }
}
