// Plots on a canvas: latency over time, overhead as bars, and the small line of a card. They draw into a box of any pen, so that the
// page and the picture that is saved show the same. Knows no document and no signals.
import type { TransportName } from "../wire.ts";
import { dashes, order, type Palette } from "./palette.ts";
import type { Fault, Lines } from "./results.ts";
import type { Point } from "./samples.ts";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface LatencyPlot {
  lines: Lines;
  faults: readonly Fault[];
  /** The length of the run. */
  seconds: number;
  faultName(what: Fault["what"]): string;
  time(ms: number): string;
}

const left_px = 52;
const bottom_px = 22;
/** Room for the names of what was wrong with the network. */
const top_px = 24;
const label = (sans: string, px = 11): string => `400 ${px}px ${sans}`;

/** Where things stand in a latency plot: x by second, y by the logarithm of the latency. */
export class Scale {
  readonly inner: Box;
  readonly decades: readonly number[];
  readonly #seconds: number;

  constructor(box: Box, plot: LatencyPlot) {
    const top = plot.faults.length > 0 ? top_px : 8;
    this.inner = {
      x: box.x + left_px,
      y: box.y + top,
      width: Math.max(10, box.width - left_px - 10),
      height: Math.max(10, box.height - bottom_px - top),
    };
    const points = order.flatMap((name) => plot.lines[name]);
    const lows = points.map(({ p50 }) => Math.max(p50, 0.1));
    const low = Math.floor(Math.log10(Math.min(1, ...lows)));
    const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(10, ...points.map(({ p99 }) => p99)))));
    this.decades = Array.from({ length: high - low + 1 }, (_, step) => low + step);
    this.#seconds = Math.max(plot.seconds, ...points.map(({ second }) => second + 1));
  }

  x(second: number): number {
    return this.inner.x + (second / this.#seconds) * this.inner.width;
  }

  y(ms: number): number {
    const [low = 0, high = 1] = [this.decades[0], this.decades.at(-1)];
    const share = (Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low);
    return this.inner.y + (1 - share) * this.inner.height;
  }

  /** The second that an x belongs to. */
  second(x: number): number {
    const second = Math.floor(((x - this.inner.x) / this.inner.width) * this.#seconds);
    return Math.min(Math.max(second, 0), Math.ceil(this.#seconds) - 1);
  }

  /** A round number of seconds between two marks. */
  get step(): number {
    return [1, 2, 5, 10, 20].find((step) => this.#seconds / step <= this.inner.width / 55) ?? 30;
  }

  get seconds(): number {
    return this.#seconds;
  }
}

export function drawLatency(
  pen: CanvasRenderingContext2D,
  box: Box,
  plot: LatencyPlot,
  palette: Palette,
  read?: number,
): void {
  const scale = new Scale(box, plot);
  drawFaults(pen, scale, plot, palette);
  drawAxes(pen, scale, plot, palette);
  for (const name of order) drawBand(pen, scale, plot.lines[name], palette.hues[name]);
  for (const name of order) drawLine(pen, scale, plot.lines[name], palette.hues[name], name);
  if (read === undefined) return;
  pen.fillStyle = palette.ink;
  pen.globalAlpha = 0.4;
  pen.fillRect(scale.x(read + 0.5) - 0.5, scale.inner.y, 1, scale.inner.height);
  pen.globalAlpha = 1;
}

function drawAxes(pen: CanvasRenderingContext2D, scale: Scale, plot: LatencyPlot, { line, soft, sans }: Palette): void {
  const { x, y, width, height } = scale.inner;
  pen.font = label(sans);
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const decade of scale.decades) {
    const at = Math.round(scale.y(10 ** decade)) + 0.5;
    pen.fillStyle = line;
    pen.fillRect(x, at - 0.5, width, 1);
    pen.fillStyle = soft;
    pen.fillText(plot.time(10 ** decade), x - 7, at);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (let second = 0; second <= scale.seconds; second += scale.step)
    pen.fillText(String(second), scale.x(second), y + height + 6);
}

function drawFaults(
  pen: CanvasRenderingContext2D,
  scale: Scale,
  { faults, faultName }: LatencyPlot,
  { alert, sans }: Palette,
): void {
  const { y, height } = scale.inner;
  pen.font = label(sans);
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.fillStyle = alert;
  let free = 0;
  for (const { what, from, to } of faults) {
    const [start, end] = [scale.x(Math.min(from, scale.seconds)), scale.x(Math.min(to, scale.seconds))];
    pen.globalAlpha = 0.1;
    pen.fillRect(start, y, Math.max(end - start, 2), height);
    pen.globalAlpha = 1;
    const x = Math.max(start, free);
    pen.fillText(faultName(what), x, y - 15);
    free = x + pen.measureText(faultName(what)).width + 8;
  }
}

function drawBand(pen: CanvasRenderingContext2D, scale: Scale, points: readonly Point[], hue: string): void {
  if (points.length < 2) return;
  pen.save();
  pen.beginPath();
  for (const { second, p99 } of points) pen.lineTo(scale.x(second + 0.5), scale.y(p99));
  for (const { second, p50 } of [...points].reverse()) pen.lineTo(scale.x(second + 0.5), scale.y(p50));
  pen.closePath();
  pen.globalAlpha = 0.16;
  pen.fillStyle = hue;
  pen.fill();
  pen.restore();
}

function drawLine(
  pen: CanvasRenderingContext2D,
  scale: Scale,
  points: readonly Point[],
  hue: string,
  name: TransportName,
): void {
  pen.save();
  pen.strokeStyle = pen.fillStyle = hue;
  pen.lineWidth = 1.8;
  pen.lineJoin = "round";
  pen.setLineDash([...dashes[name]]);
  pen.beginPath();
  for (const { second, p50 } of points) pen.lineTo(scale.x(second + 0.5), scale.y(p50));
  pen.stroke();
  // A few points are seen as such: a line alone would hide how few there are.
  if (points.length <= 15)
    for (const { second, p50 } of points) {
      pen.beginPath();
      pen.arc(scale.x(second + 0.5), scale.y(p50), 3, 0, Math.PI * 2);
      pen.fill();
    }
  pen.restore();
}

export interface Bar {
  name: TransportName;
  label: string;
  /** Undefined: nothing to show yet. */
  value: number | undefined;
  /** A first part of the value that is drawn paler. */
  pale: number;
  text: string;
}

/** Lying bars, one below the other, with their names and figures; a value below zero goes to the left. */
export function drawBars(pen: CanvasRenderingContext2D, box: Box, bars: readonly Bar[], palette: Palette): void {
  pen.save();
  pen.font = label(palette.sans, 12.5);
  pen.textBaseline = "middle";
  const values = bars.map(({ value }) => value ?? 0);
  const [low, high] = [Math.min(0, ...values), Math.max(1, ...values)];
  const names = Math.max(...bars.map((bar) => pen.measureText(bar.label).width)) + 12;
  const figures = Math.max(...bars.map((bar) => pen.measureText(bar.text).width)) + 10;
  const room = Math.max(20, box.width - names - figures);
  const zero = box.x + names + (-low / (high - low)) * room;
  const row = box.height / bars.length;
  for (const [at, bar] of bars.entries()) {
    const y = box.y + row * (at + 0.5);
    pen.fillStyle = palette.ink;
    pen.textAlign = "left";
    pen.fillText(bar.label, box.x, y);
    const length = ((bar.value ?? 0) / (high - low)) * room;
    const thick = Math.min(22, row * 0.6);
    pen.fillStyle = palette.hues[bar.name];
    pen.beginPath();
    pen.roundRect(Math.min(zero, zero + length), y - thick / 2, Math.max(Math.abs(length), 1.5), thick, 3);
    pen.fill();
    const pale = (Math.min(bar.pale, bar.value ?? 0) / (high - low)) * room;
    if (pale > 0) {
      pen.globalAlpha = 0.6;
      pen.fillStyle = palette.card;
      pen.fillRect(zero, y - thick / 2, pale, thick);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = palette.ink;
    pen.fillText(bar.text, Math.max(zero, zero + length) + 8, y);
  }
  pen.restore();
}

/** The latencies of the last seconds, without axes. */
export function drawSpark(pen: CanvasRenderingContext2D, box: Box, points: readonly Point[], hue: string): void {
  const shown = points.slice(-30);
  if (shown.length === 0) return;
  const logs = shown.map(({ p50 }) => Math.log10(Math.max(p50, 0.1)));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const span = Math.max(high - low, 0.5);
  const [from, to] = [shown[0]?.second ?? 0, shown.at(-1)?.second ?? 1];
  const x = (second: number): number => box.x + 3 + ((second - from) / Math.max(to - from, 1)) * (box.width - 6);
  const y = (log: number): number => box.y + box.height - 4 - ((log - low) / span) * (box.height - 8);
  pen.strokeStyle = pen.fillStyle = hue;
  pen.lineWidth = 1.6;
  pen.lineJoin = "round";
  pen.beginPath();
  for (const [at, { second }] of shown.entries()) pen.lineTo(x(second), y(logs[at] ?? 0));
  pen.stroke();
  pen.beginPath();
  pen.arc(x(to), y(logs.at(-1) ?? 0), 2.6, 0, Math.PI * 2);
  pen.fill();
}
