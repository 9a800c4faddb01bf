// The transport lab as a visitor uses it: sliders by the address, one button, five transports with figures, the network's switches, the
// table. Reads markup by its test hooks only.
import { until } from "./until.mjs";

export const transports = ["short-poll", "long-poll", "sse", "http-stream", "websocket"];

/** A run and what comes after it, at most. */
const run_ms_max = 60_000;

const hook = (name) => `[data-testid="${name}"]`;

export class LabPage {
  constructor(window) {
    this.window = window;
  }

  /** Opens the lab; `hash` presets the sliders or brings results. */
  static async open(window, url, hash = "") {
    await window.goto(`${url}/lab/${hash}`);
    const page = new LabPage(window);
    await until("the lab is shown", () => page.has("go"));
    return page;
  }

  has(name) {
    return this.window.evaluate((selector) => document.querySelector(selector) !== null, hook(name));
  }

  text(name) {
    return this.window.evaluate((selector) => document.querySelector(selector)?.textContent.trim(), hook(name));
  }

  click(name) {
    return this.window.click(hook(name));
  }

  /** `{phase, published}` as the page says. */
  state() {
    return this.window.evaluate(
      ([go, phase]) => ({
        phase: document.querySelector(go).dataset.phase,
        published: Number(document.querySelector(phase).dataset.published),
      }),
      [hook("go"), hook("phase")],
    );
  }

  async start() {
    await this.click("go");
    await this.isIn("running");
  }

  isIn(phase) {
    return until(`the run is ${phase}`, async () => (await this.state()).phase === phase, {
      within_ms: run_ms_max,
      seen: () => this.report(),
    });
  }

  async hasPublished(count) {
    await until(`${count} messages are published`, async () => (await this.state()).published >= count, { within_ms: run_ms_max });
  }

  /** The raw figures of a transport, by their names; `state` too. */
  figures(transport) {
    return this.window.evaluate((lane) => {
      const figures = {};
      for (const one of document.querySelectorAll(`${lane} dd`)) {
        figures[one.dataset.testid] = one.dataset.value === undefined ? undefined : Number(one.dataset.value);
      }
      return { ...figures, state: document.querySelector(`${lane} [data-testid="state"]`).dataset.state };
    }, hook(`lane-${transport}`));
  }

  /** The figures of all, by transport. */
  async report() {
    return Object.fromEntries(await Promise.all(transports.map(async (name) => [name, await this.figures(name)])));
  }

  /** The table as it is read: rows of cells. */
  table() {
    return this.window.evaluate(
      (table) => Array.from(document.querySelectorAll(`${table} tr`), (row) => Array.from(row.cells, (cell) => cell.textContent.trim().replaceAll("\u00a0", " "))),
      hook("results-table"),
    );
  }

  /** What a button that copies puts into the clipboard. */
  async copied(name) {
    await this.window.evaluate(() => {
      globalThis.copied = undefined;
      navigator.clipboard.writeText = async (text) => void (globalThis.copied = text);
    });
    await this.click(name);
    return until(`${name} has copied`, () => this.window.evaluate(() => globalThis.copied));
  }

  /** The bytes of the picture that the browser is given to save. */
  async picture() {
    await this.window.evaluate(() => {
      const create = URL.createObjectURL;
      URL.createObjectURL = (blob) => {
        globalThis.picture = blob;
        return create(blob);
      };
    });
    await this.click("save-picture");
    const bytes = await until("the picture is there", () =>
      this.window.evaluate(async () => globalThis.picture && Array.from(new Uint8Array(await globalThis.picture.arrayBuffer()))),
    );
    return Buffer.from(bytes);
  }

  /** Brings a whiteboard into view, where alone it is drawn, and waits until more than the two lines (1,361 pixels) stand on it. */
  async isDrawn(transport) {
    const painted = () =>
      this.window.evaluate((board) => {
        const canvas = document.querySelector(`${board} canvas`);
        canvas.scrollIntoView({ block: "center", inline: "center" });
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 3; at < data.length; at += 4) if (data[at] > 60) count += 1;
        return count;
      }, hook(`board-${transport}`));
    await until(`${transport}: the whiteboard has arrows`, async () => (await painted()) > 1_800, { seen: painted });
  }
}
