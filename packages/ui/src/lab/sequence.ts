// One transport as one would draw it on a whiteboard: the client's line left, the server's right, time downwards, an arrow for each
// request, answer and message. Draws what a track holds; knows no document and no signals.
import type { Box } from "./plot.ts";
import { Timing, type DrawnAsk, type DrawnFlight } from "./timing.ts";
import type { Track } from "./track.ts";

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
  sunk: string;
  alert: string;
  accent: string;
  hue: string;
  sans: string;
}

const margin_px = 22;
const foot_px = 10;
/** Arrows nearer than this are one, with a count. */
const merge_px = 4;
const label_px = 18;

type Pen = CanvasRenderingContext2D;

/** Where moments and lines stand. */
class Board {
  readonly client: number;
  readonly server: number;
  readonly from: number;
  readonly #box: Box;
  readonly #scene: Scene;
  readonly #ground: string;
  /** The lowest label so far, left and right: labels must not lie on each other. */
  readonly #labels = { left: Number.NEGATIVE_INFINITY, right: Number.NEGATIVE_INFINITY };

  constructor(box: Box, scene: Scene, ground: string) {
    this.#ground = ground;
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

  /** Text on a ground of its own, so that arrows do not run through it. */
  write(pen: Pen, text: string, x: number, y: number, align: CanvasTextAlign): void {
    pen.textAlign = align;
    pen.textBaseline = "alphabetic";
    pen.save();
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.setLineDash([]);
    pen.strokeStyle = this.#ground;
    pen.strokeText(text, x, y);
    pen.restore();
    pen.fillText(text, x, y);
  }
}

export function drawSequence(pen: Pen, box: Box, scene: Scene, ink: Ink): void {
  const board = new Board(box, scene, ink.sunk);
  const timing = new Timing(scene, board.from);
  const asks = timing
    .asks(scene.track.asks, scene.isPoll)
    .filter(({ begin, end }) => board.isSeen(begin, end ?? scene.now));
  pen.font = `500 11px ${ink.sans}`;
  pen.lineWidth = 1.4;
  drawTime(pen, box, board, scene, ink);
  drawLifelines(pen, box, board, ink);
  for (const ask of asks) drawBox(pen, board, ask, scene, ink);
  drawWaiting(pen, board, scene, ink);
  for (const ask of asks) drawAsk(pen, board, ask, scene, ink);
  if (!scene.isPoll) drawFlights(pen, board, timing, scene, ink);
  drawSent(pen, board, timing, scene, ink);
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
function drawBox(pen: Pen, board: Board, { arrive, leave }: DrawnAsk, { now, isTwoWay }: Scene, { hue, card }: Ink): void {
  const to = leave ?? now;
  if (to < arrive) return;
  const top = Math.max(board.y(arrive), -20);
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
function drawAsk(pen: Pen, board: Board, drawn: DrawnAsk, { isPoll, words }: Scene, ink: Ink): void {
  const [left, right] = [board.client, board.server];
  const { ask, begin, arrive, leave, end } = drawn;
  pen.strokeStyle = pen.fillStyle = ink.soft;
  arrow(pen, left, board.y(begin), right, board.y(arrive));
  if (board.claim("left", board.y(begin))) board.write(pen, words.drawn_ask, left + 9, board.y(begin) - 4, "left");
  if (leave === undefined || end === undefined) return;
  if (ask.outcome === "failed") {
    pen.strokeStyle = ink.alert;
    cross(pen, left, board.y(end));
    return;
  }
  if (!isPoll || ask.outcome === "ended") return;
  const isEmpty = ask.outcome === "empty";
  pen.strokeStyle = pen.fillStyle = isEmpty ? ink.soft : ink.hue;
  if (isEmpty) pen.setLineDash([4, 3]);
  arrow(pen, right, board.y(leave), left, board.y(end));
  pen.setLineDash([]);
  const text = isEmpty ? words.drawn_empty : `×${ask.messages}`;
  const y = board.y(leave);
  if (board.claim("right", y)) board.write(pen, text, right - 11, y + 14, "right");
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
function drawFlights(pen: Pen, board: Board, timing: Timing, { track, now }: Scene, { hue }: Ink): void {
  pen.strokeStyle = pen.fillStyle = hue;
  let group: DrawnFlight[] = [];
  const flush = (): void => {
    const newest = group.at(-1);
    if (!newest) return;
    const [from, to] = [board.y(newest.leave), board.y(newest.end)];
    arrow(pen, board.server, from, board.client, to);
    if (group.length > 1 && board.claim("right", from)) board.write(pen, `×${group.length}`, board.server - 11, from - 3, "right");
    group = [];
  };
  for (const flight of track.flights) {
    if (flight.at < board.from || flight.at > now) continue;
    const drawn = timing.flight(flight);
    const first = group[0];
    if (first && board.y(drawn.leave) - board.y(first.leave) > merge_px) flush();
    group.push(drawn);
  }
  flush();
}

function drawSent(pen: Pen, board: Board, timing: Timing, { words, now }: Scene, { accent }: Ink): void {
  pen.save();
  pen.strokeStyle = pen.fillStyle = accent;
  pen.font = pen.font.replace("500", "700");
  for (const { sent, arrive, leave, end } of timing.sent) {
    if (!board.isSeen(sent.begin, end ?? now)) continue;
    const y = board.y(sent.begin);
    pen.lineWidth = 2.4;
    arrow(pen, board.client, y, board.server, board.y(arrive));
    board.write(pen, sent.isFrame ? words.drawn_frame : words.drawn_publish, board.client + 9, y - 4, "left");
    if (leave === undefined || end === undefined) continue;
    pen.lineWidth = 1.4;
    pen.setLineDash([4, 3]);
    arrow(pen, board.server, board.y(leave), board.client, board.y(end));
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
