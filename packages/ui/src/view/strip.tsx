// The strip under a pane: its requests and messages of the last seconds, drawn on a moving time line. One clock moves all strips;
// who asked the system for less motion gets a picture a second instead.
import { useEffect, useRef, useState } from "preact/hooks";
import { window_ms, type Bar, type Timeline } from "../timeline.ts";
import { words } from "../words.ts";

const height_px = 52;
const bar_top = 22;
const bar_px = 12;
/** Room at the right edge, so that the ring of a mark that only just came in is seen whole. */
const margin_px = 8;
const frame_ms = 50;
const still_frame_ms = 1_000;
const tally_every_ms = 3_000;

interface Colours {
  hue: string;
  soft: string;
  line: string;
  alert: string;
  fresh: string;
  card: string;
}

export function Strip({ timeline }: { timeline: Timeline }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const text = useTally(timeline);
  useEffect(() => {
    const element = canvas.current;
    return element ? move(() => draw(element, timeline)) : undefined;
  }, [timeline]);
  return <canvas class="strip" ref={canvas} role="img" aria-label={text} height={height_px} />;
}

/** The text alternative, renewed every few seconds. */
function useTally(timeline: Timeline): string {
  const [tally, setTally] = useState(() => timeline.tally(performance.now()));
  useEffect(() => {
    const timer = setInterval(() => setTally(timeline.tally(performance.now())), tally_every_ms);
    return () => clearInterval(timer);
  }, [timeline]);
  const { strip, count_requests, count_empty, count_messages } = words.value;
  return strip(
    window_ms / 1000,
    count_requests(tally.requests),
    count_empty(tally.empty),
    count_messages(tally.messages),
  );
}

/** Calls `step` at the pace that the visitor's system allows, while the page is visible. Gives how to end it. */
function move(step: () => void): () => void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");
  let frame = 0;
  let last = 0;
  const tick = (now: number): void => {
    frame = requestAnimationFrame(tick);
    if (now - last < (isStill.matches ? still_frame_ms : frame_ms)) return;
    last = now;
    step();
  };
  frame = requestAnimationFrame(tick);
  return () => cancelAnimationFrame(frame);
}

function draw(canvas: HTMLCanvasElement, timeline: Timeline): void {
  const now = performance.now();
  timeline.trim(now);
  const width = canvas.clientWidth;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height_px * scale)) canvas.height = Math.round(height_px * scale);
  const pen = canvas.getContext("2d");
  if (!pen || width === 0) return;
  const colours = readColours(canvas);
  const x = (at: number): number => width - margin_px - ((now - at) / window_ms) * width;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height_px);
  drawGrid(pen, width, now, colours);
  for (const cut of timeline.cuts) drawCut(pen, x(cut.begin), x(cut.end ?? now), colours);
  for (const bar of timeline.bars) drawBar(pen, bar, x(bar.begin), x(bar.end ?? now), colours);
  drawMarks(pen, timeline, x, colours);
}

function readColours(canvas: HTMLCanvasElement): Colours {
  const style = getComputedStyle(canvas);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    hue: of("--hue"),
    soft: of("--soft"),
    line: of("--line"),
    alert: of("--alert"),
    fresh: of("--fresh"),
    card: of("--card"),
  };
}

/** A fine line each five seconds, moving with the time. */
function drawGrid(pen: CanvasRenderingContext2D, width: number, now: number, { line }: Colours): void {
  pen.fillStyle = line;
  pen.fillRect(0, bar_top + bar_px / 2 - 0.5, width, 1);
  for (let age = now % 5_000; age < window_ms; age += 5_000) {
    const at = width - margin_px - (age / window_ms) * width;
    pen.fillRect(at, 6, 1, height_px - 12);
  }
}

function drawCut(pen: CanvasRenderingContext2D, from: number, to: number, { alert }: Colours): void {
  pen.save();
  pen.globalAlpha = 0.16;
  pen.fillStyle = alert;
  pen.fillRect(from, 4, Math.max(to - from, 1), height_px - 8);
  pen.restore();
}

/** Open: filled lightly and outlined, so that a hanging request is seen to hang. Ended: solid; empty: a ring under its end; failed: its end in alert. */
function drawBar(pen: CanvasRenderingContext2D, bar: Bar, from: number, to: number, colours: Colours): void {
  const width = Math.max(to - from, 3);
  pen.save();
  pen.fillStyle = colours.hue;
  pen.strokeStyle = colours.hue;
  pen.beginPath();
  pen.roundRect(from, bar_top, width, bar_px, Math.min(3, width / 2));
  pen.globalAlpha = bar.outcome === "open" ? 0.28 : 0.55;
  pen.fill();
  if (bar.outcome === "open") {
    pen.globalAlpha = 0.9;
    pen.stroke();
  }
  pen.globalAlpha = 1;
  if (bar.outcome === "failed") {
    pen.fillStyle = colours.alert;
    pen.fillRect(from + width - 3, bar_top - 2, 3, bar_px + 4);
  }
  if (bar.outcome === "empty") ring(pen, to, bar_top + bar_px + 8, 2.6);
  pen.restore();
}

function drawMarks(
  pen: CanvasRenderingContext2D,
  timeline: Timeline,
  x: (at: number) => number,
  colours: Colours,
): void {
  const middle = bar_top + bar_px / 2;
  for (const mark of timeline.marks) {
    const at = x(mark.at);
    pen.fillStyle = colours.hue;
    pen.strokeStyle = colours.hue;
    switch (mark.kind) {
      case "message":
        dot(pen, at, 12, 3.6);
        break;
      case "caught-up":
        dot(pen, at, 12, 3.6);
        pen.strokeStyle = colours.fresh;
        ring(pen, at, 12, 5.4);
        break;
      case "sent":
        triangle(pen, at, bar_top + bar_px + 5);
        break;
      case "heartbeat":
        pen.fillStyle = colours.card;
        dot(pen, at, middle, 2);
        ring(pen, at, middle, 2.4);
        break;
      case "gap":
        pen.fillStyle = colours.alert;
        pen.fillRect(at - 1, 4, 2, height_px - 8);
        break;
    }
  }
}

function dot(pen: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  pen.beginPath();
  pen.arc(x, y, radius, 0, Math.PI * 2);
  pen.fill();
}

function ring(pen: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  pen.lineWidth = 1.4;
  pen.beginPath();
  pen.arc(x, y, radius, 0, Math.PI * 2);
  pen.stroke();
}

function triangle(pen: CanvasRenderingContext2D, x: number, y: number): void {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x + 4, y + 7);
  pen.lineTo(x - 4, y + 7);
  pen.fill();
}
