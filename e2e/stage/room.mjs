// The main room (`/`) as a visitor uses it: one conversation, the switch of transports, the cable, who is here. Reads markup by its test
// hooks only.
import { until } from "./until.mjs";

const settle_ms = 30_000;

const hook = (name) => `[data-testid="${name}"]`;

export class RoomPage {
  constructor(window) {
    this.window = window;
  }

  /** Opens the room of a channel in a window. */
  static async open(window, url, channel) {
    await window.goto(`${url}/#${encodeURIComponent(channel)}`);
    return new RoomPage(window);
  }

  /** The connection as it is now: `state` (connecting, online, offline, cut, closed) and `transport`. */
  air() {
    return this.window.evaluate((line) => {
      const { now, transport } = document.querySelector(line)?.dataset ?? {};
      return { state: now, transport };
    }, hook("air"));
  }

  /** Waits until messages come, over that transport if one is named. */
  async isOnAir(transport) {
    const isThere = async () => {
      const air = await this.air();
      return air.state === "online" && (transport === undefined || air.transport === transport);
    };
    await until(`the room is on air${transport ? ` over ${transport}` : ""}`, isThere, { within_ms: settle_ms, seen: () => this.air() });
    return this;
  }

  async isIn(state) {
    await until(`the room is ${state}`, async () => (await this.air()).state === state, { within_ms: settle_ms, seen: () => this.air() });
  }

  /** Types into the field and presses Enter. */
  async say(text) {
    await this.window.type(hook("write"), text);
    await this.window.press("Enter");
  }

  /** What is shown, oldest first: messages `{position, text, isOwn}`, gaps `{gap}`, and what is not in the log yet `{draft, text}`. */
  lines() {
    return this.window.evaluate(
      (list) =>
        Array.from(document.querySelector(list).children, (line) => {
          if (line.dataset.gap !== undefined) return { gap: line.dataset.gap };
          const text = line.querySelector(".text").textContent;
          if (line.dataset.draft !== undefined) return { draft: line.dataset.draft, text };
          return { position: line.dataset.position, text, isOwn: line.classList.contains("own") };
        }),
      hook("lines"),
    );
  }

  /** The messages' texts. */
  async texts() {
    return (await this.lines()).filter((line) => line.position).map((line) => line.text);
  }

  /** Waits until that message stands in the conversation, and gives all lines. */
  async hears(text) {
    const isThere = async () => {
      const lines = await this.lines();
      return lines.some((line) => line.position && line.text === text) && lines;
    };
    return until(`${this.window.browser.name}: «${text}» is shown`, isThere, { within_ms: settle_ms, seen: async () => ({ ...(await this.air()), lines: (await this.lines()).slice(-4) }) });
  }

  /** Waits until something typed here stands as not sent, in that way: waiting, refused, unknown. */
  async holds(text, fate) {
    const isThere = async () => (await this.lines()).some((line) => line.draft === fate && line.text === text);
    await until(`«${text}» is shown as ${fate}`, isThere, { within_ms: settle_ms, seen: () => this.lines() });
  }

  /** Chooses a transport (`auto`: by itself) and waits until it carries. */
  async use(transport) {
    await this.window.click(hook(`use-${transport}`));
    await this.isOnAir(transport === "auto" ? undefined : transport);
  }

  async cut() {
    await this.window.click(hook("room-cable"));
    await this.isIn("cut");
  }

  async plug() {
    await this.window.click(hook("room-cable"));
    await this.isIn("online");
  }

  /** Goes to another channel by the field at the top, and waits until the room is there. */
  async visit(channel) {
    await this.window.evaluate((field) => document.querySelector(field).select(), hook("room"));
    await this.window.press("Backspace");
    await this.window.type(hook("room"), channel);
    await this.window.press("Enter");
    await until(`the room is ${channel}`, () => this.window.evaluate((name) => decodeURIComponent(location.hash.slice(1)) === name, channel));
    return this.isOnAir();
  }

  /** Waits for the notice above the field (`offline`, `cut` …), or until there is none. */
  async tells(state) {
    const shown = () => this.window.evaluate((notice) => document.querySelector(notice)?.dataset.state, hook("notice"));
    await until(`the notice is ${state}`, async () => (await shown()) === state, { within_ms: settle_ms, seen: shown });
  }

  /** How many are here, as it is shown. */
  count() {
    return this.window.evaluate((count) => Number(document.querySelector(count)?.dataset.value ?? Number.NaN), hook("count"));
  }

  /** Who is here as it is shown: `[{id, name, transports}]`; undefined where it is not listed. */
  company() {
    return this.window.evaluate((hooks) => {
      const panel = document.querySelector(hooks.company);
      if (panel?.dataset.told !== "members") return undefined;
      return Array.from(panel.querySelectorAll(hooks.member), (line) => ({
        id: line.dataset.member,
        name: line.querySelector(".member-name").firstChild.textContent,
        transports: line.dataset.transports.split(" ").filter(Boolean),
      }));
    }, { company: hook("company"), member: hook("member") });
  }

  /** Waits until `isSo` holds of who is here, and gives it. */
  async sees(what, isSo) {
    const isThere = async () => {
      const company = await this.company();
      return company && isSo(company) && company;
    };
    return until(`${this.window.browser.name}: ${what}`, isThere, { within_ms: settle_ms, seen: () => this.company() });
  }

  /** Changes the visitor's name in place. */
  async rename(name) {
    await this.window.evaluate((field) => document.querySelector(field).select(), hook("nick"));
    await this.window.press("Backspace");
    await this.window.type(hook("nick"), name);
  }
}
