// One transport as one would draw it on a whiteboard: the client's line left, the server's right, time downwards, an arrow for each
// request, answer and message. Draws what a track holds; knows no document and no signals.
import type { Box } from "./plot.ts";
import type { Ask, Flight, Track } from "./track.ts";

export interface SequenceWords {
  drawn_ask: string;
  drawn_publish: string;
  drawn_frame: string;
  drawn_empty: string;
}

export interface Scene {
  track: Track;
  /** Published in the time that is shown, and not here: `performance.now()` of this page. */
  waiting: readonly number[];
  /** The moment at the lower edge. */
  now: number;
  span_ms: number;
  /** Its answers come one by one and end; a stream's or socket's do not. */
  isPoll: boolean;
  /** The client may speak in the connection itself. */
  isTwoWay: boolean;
  words: SequenceWords;
}

export interface Ink {
  ink: string;
  soft: string;
  line: string;
  card: string;
  alert: string;
  accent: string;
  hue: string;
  sans: string;
}

const margin_px = 22;
const foot_px = 10;
/** Arrows nearer than this are one, with a count. */
const merge_px = 4;
const label_px = 13;

type Pen = CanvasRenderingContext2D;

/** Where moments and lines stand. */
class Board {
  readonly client: number;
  readonly server: number;
  readonly from: number;
  readonly #box: Box;
  readonly #scene: Scene;
  /** The lowest label so far, left and right: labels must not lie on each other. */
  readonly #labels = { left: Number.NEGATIVE_INFINITY, right: Number.NEGATIVE_INFINITY };

  constructor(box: Box, scene: Scene) {
    this.#box = box;
    this.#scene = scene;
    this.client = box.x + margin_px;
    this.server = box.x + box.width - margin_px;
    this.from = scene.now - scene.span_ms;
  }

  y(at: number): number {
    const { y, height } = this.#box;
    return y + height - foot_px - ((this.#scene.now - at) / this.#scene.span_ms) * (height - foot_px);
  }

  isSeen(from: number, to: number): boolean {
    return to >= this.from && from <= this.#scene.now;
  }

  /** Whether there is room for a label at that height; takes it. */
  claim(side: "left" | "right", y: number): boolean {
    if (y - this.#labels[side] < label_px) return false;
    this.#labels[side] = y;
    return true;
  }
}

export function drawSequence(pen: Pen, box: Box, scene: Scene, ink: Ink): void {
  const board = new Board(box, scene);
  pen.font = `500 11px ${ink.sans}`;
  pen.lineWidth = 1.4;
  drawTime(pen, box, board, scene, ink);
  drawLifelines(pen, box, board, ink);
  for (const ask of scene.track.asks) if (board.isSeen(ask.begin, ask.end ?? scene.now)) drawBox(pen, board, ask, scene, ink);
  drawWaiting(pen, board, scene, ink);
  for (const ask of scene.track.asks) if (board.isSeen(ask.begin, ask.end ?? scene.now)) drawAsk(pen, board, ask, scene, ink);
  drawFlights(pen, board, scene, ink);
  drawSent(pen, board, scene, ink);
}

/** A fine line each second. */
function drawTime(pen: Pen, box: Box, board: Board, { now, span_ms }: Scene, { line }: Ink): void {
  pen.save();
  pen.fillStyle = line;
  pen.globalAlpha = 0.6;
  const step = span_ms > 15_000 ? 5_000 : 1_000;
  for (let age = now % step; age < span_ms; age += step) pen.fillRect(box.x, board.y(now - age), box.width, 1);
  pen.restore();
}

function drawLifelines(pen: Pen, box: Box, { client, server }: Board, { soft }: Ink): void {
  pen.save();
  pen.strokeStyle = soft;
  pen.globalAlpha = 0.7;
  pen.setLineDash([3, 4]);
  for (const x of [client, server]) {
    pen.beginPath();
    pen.moveTo(x, box.y);
    pen.lineTo(x, box.y + box.height);
    pen.stroke();
  }
  pen.restore();
}

/** While a request is open at the server, the server may speak; in a socket the client, too. */
function drawBox(pen: Pen, board: Board, ask: Ask, { now, isTwoWay, isPoll }: Scene, { hue, card }: Ink): void {
  const from = ask.begin + ask.way_ms;
  const to = ask.end === undefined ? now : Math.max(from, ask.end - (isPoll ? ask.way_ms : 0));
  if (to < from) return;
  const top = Math.max(board.y(from), -20);
  const height = Math.max(board.y(to) - top, 2);
  for (const x of isTwoWay ? [board.server, board.client] : [board.server]) {
    pen.save();
    pen.beginPath();
    pen.roundRect(x - 5, top, 10, height, 2);
    pen.fillStyle = card;
    pen.fill();
    pen.globalAlpha = 0.3;
    pen.fillStyle = hue;
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = hue;
    pen.stroke();
    pen.restore();
  }
}

/** The question, and for a poll its answer. */
function drawAsk(pen: Pen, board: Board, ask: Ask, { isPoll, words }: Scene, ink: Ink): void {
  const [left, right] = [board.client, board.server];
  const begin = board.y(ask.begin);
  pen.strokeStyle = pen.fillStyle = ink.soft;
  arrow(pen, left, begin, right, board.y(ask.begin + ask.way_ms));
  if (board.claim("left", begin)) write(pen, words.drawn_ask, left + 9, begin - 3, "left");
  if (ask.end === undefined) return;
  const end = board.y(ask.end);
  if (ask.outcome === "failed") {
    pen.strokeStyle = ink.alert;
    cross(pen, left, end);
    return;
  }
  if (!isPoll || ask.outcome === "ended") return;
  const isEmpty = ask.outcome === "empty";
  pen.strokeStyle = pen.fillStyle = isEmpty ? ink.soft : ink.hue;
  if (isEmpty) pen.setLineDash([4, 3]);
  arrow(pen, right, board.y(Math.max(ask.begin, ask.end - ask.way_ms)), left, end);
  pen.setLineDash([]);
  const text = isEmpty ? words.drawn_empty : `×${ask.messages}`;
  if (board.claim("right", end)) write(pen, text, right - 11, end + 11, "right");
}

/** Published, and nobody to be told: a dot, and a line for as long as it waits. */
function drawWaiting(pen: Pen, board: Board, { waiting, now, track }: Scene, { hue }: Ink): void {
  pen.save();
  pen.fillStyle = pen.strokeStyle = hue;
  const x = board.server + 11;
  const draw = (planned: number, until: number): void => {
    const [top, end] = [board.y(planned), board.y(until)];
    pen.beginPath();
    pen.arc(x, top, 2.4, 0, Math.PI * 2);
    pen.fill();
    if (end - top < 3) return;
    pen.globalAlpha = 0.55;
    pen.fillRect(x - 0.75, top, 1.5, end - top);
    pen.globalAlpha = 1;
  };
  let last = Number.NEGATIVE_INFINITY;
  for (const planned of waiting) draw(planned, now);
  for (const { planned, at } of track.flights) {
    if (!board.isSeen(planned, at) || Math.abs(board.y(planned) - last) < 2) continue;
    last = board.y(planned);
    draw(planned, at);
  }
  pen.restore();
}

/** Messages in a stream or socket; those that come close together are one arrow with their number. */
function drawFlights(pen: Pen, board: Board, { track, isPoll, now }: Scene, { hue }: Ink): void {
  if (isPoll) return;
  pen.strokeStyle = pen.fillStyle = hue;
  let group: Flight[] = [];
  const flush = (): void => {
    const newest = group.at(-1);
    if (!newest) return;
    const end = board.y(newest.at);
    arrow(pen, board.server, board.y(Math.max(newest.planned, newest.at - newest.way_ms)), board.client, end);
    if (group.length > 1 && board.claim("right", end)) write(pen, `×${group.length}`, board.server - 11, end - 3, "right");
    group = [];
  };
  for (const flight of track.flights) {
    if (flight.at < board.from || flight.at > now) continue;
    const first = group[0];
    if (first && board.y(flight.at) - board.y(first.at) > merge_px) flush();
    group.push(flight);
  }
  flush();
}

function drawSent(pen: Pen, board: Board, { track, words, now }: Scene, { accent }: Ink): void {
  pen.save();
  pen.strokeStyle = pen.fillStyle = accent;
  for (const { begin, end, isFrame, way_ms } of track.sent) {
    if (!board.isSeen(begin, end ?? now)) continue;
    const y = board.y(begin);
    pen.lineWidth = 2.2;
    arrow(pen, board.client, y, board.server, board.y(begin + way_ms));
    pen.font = pen.font.replace("500", "700");
    if (board.claim("left", y)) write(pen, isFrame ? words.drawn_frame : words.drawn_publish, board.client + 9, y - 4, "left");
    if (isFrame || end === undefined) continue;
    pen.lineWidth = 1.4;
    pen.setLineDash([4, 3]);
    arrow(pen, board.server, board.y(Math.max(begin, end - way_ms)), board.client, board.y(end));
    pen.setLineDash([]);
  }
  pen.restore();
}

function arrow(pen: Pen, fromX: number, fromY: number, toX: number, toY: number): void {
  const isRight = toX > fromX;
  const [startX, endX] = isRight ? [fromX + 6, toX - 6] : [fromX - 6, toX + 6];
  pen.beginPath();
  pen.moveTo(startX, fromY);
  pen.lineTo(endX, toY);
  pen.stroke();
  const angle = Math.atan2(toY - fromY, endX - startX);
  pen.beginPath();
  pen.moveTo(endX, toY);
  pen.lineTo(endX - 8 * Math.cos(angle - 0.4), toY - 8 * Math.sin(angle - 0.4));
  pen.lineTo(endX - 8 * Math.cos(angle + 0.4), toY - 8 * Math.sin(angle + 0.4));
  pen.closePath();
  pen.fill();
}

function cross(pen: Pen, x: number, y: number): void {
  pen.save();
  pen.lineWidth = 2.2;
  pen.beginPath();
  pen.moveTo(x - 5, y - 5);
  pen.lineTo(x + 5, y + 5);
  pen.moveTo(x + 5, y - 5);
  pen.lineTo(x - 5, y + 5);
  pen.stroke();
  pen.restore();
}

function write(pen: Pen, text: string, x: number, y: number, align: CanvasTextAlign): void {
  pen.textAlign = align;
  pen.textBaseline = "alphabetic";
  pen.fillText(text, x, y);
}
