// The browser's own APIs, used from a page with nothing on it: no library, ten lines each. What they receive is kept in the page as
// `heard[name]`, and read from outside.
import { until } from "./until.mjs";

export class BarePage {
  constructor(window) {
    this.window = window;
  }

  static async open(window, url) {
    await window.goto(url);
    await window.evaluate(() => (globalThis.heard = {}));
    return new BarePage(window);
  }

  /** `new EventSource(url)`; keeps `{data, id}` of each message and how often it opened. */
  eventSource(name, url) {
    return this.window.evaluate(
      ({ name, url }) => {
        const heard = (globalThis.heard[name] = { messages: [], opened: 0, state: "connecting" });
        const source = new EventSource(url);
        heard.source = source;
        source.onopen = () => {
          heard.opened += 1;
          heard.state = "open";
        };
        source.onerror = () => (heard.state = source.readyState === EventSource.CLOSED ? "closed" : "connecting");
        source.onmessage = (event) => heard.messages.push({ ...JSON.parse(event.data), id: event.lastEventId });
        source.addEventListener("gap", (event) => heard.messages.push({ gap: JSON.parse(event.data) }));
      },
      { name, url },
    );
  }

  /** `new WebSocket(url)`; keeps each message and each control object, and what extensions were agreed. */
  webSocket(name, url) {
    return this.window.evaluate(
      ({ name, url }) => {
        const heard = (globalThis.heard[name] = { messages: [], control: [], state: "connecting" });
        const socket = new WebSocket(url);
        heard.socket = socket;
        socket.onopen = () => Object.assign(heard, { state: "open", extensions: socket.extensions });
        socket.onclose = () => (heard.state = heard.state === "open" ? "closed" : "refused");
        socket.onmessage = (event) => {
          const item = JSON.parse(event.data);
          (item.position ? heard.messages : heard.control).push(item);
        };
      },
      { name, url },
    );
  }

  /** `fetch(url)`, not waited for; keeps the status and the JSON of the answer, or the error's name. */
  fetch(name, url, options = {}) {
    return this.window.evaluate(
      ({ name, url, options }) => {
        const heard = (globalThis.heard[name] = { state: "asking" });
        fetch(url, { cache: "no-store", ...options })
          .then(async (answer) => {
            const body = await answer.json();
            Object.assign(heard, { state: "answered", status: answer.status, cursor: answer.headers.get("Efir-Cursor"), body });
          })
          .catch((error) => Object.assign(heard, { state: "failed", error: error.name }));
      },
      { name, url, options },
    );
  }

  /** Sends a text frame. */
  send(name, text) {
    return this.window.evaluate(({ name, text }) => globalThis.heard[name].socket.send(text), { name, text });
  }

  /** What was heard under a name so far. */
  heard(name) {
    return this.window.evaluate((name) => {
      const { source, socket, ...plain } = globalThis.heard[name];
      return plain;
    }, name);
  }

  /** Waits until what was heard fits, and gives it. */
  waitFor(what, name, fits) {
    const isThere = async () => {
      const heard = await this.heard(name);
      return fits(heard) && heard;
    };
    return until(`${this.window.browser.name}: ${what}`, isThere, { seen: () => this.heard(name) });
  }
}
