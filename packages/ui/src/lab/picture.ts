// The results as one picture: what was run, the table, both plots. Drawn with the plots of the page, in the theme that is shown.
import { lookWords } from "../look/words.ts";
import { order, readPalette, type Palette } from "./palette.ts";
import { drawBars, drawLatency, type Box } from "./plot.ts";
import { faultsOf, momentOf, runOf } from "./readable.ts";
import type { Results } from "./results.ts";
import { latencyPlot, overheadBars } from "./shown.ts";
import { words } from "./words.ts";

const width = 1360;
const margin = 40;
const row_px = 32;
const scale = 2;

type Pen = CanvasRenderingContext2D;

/** Has the browser save it. */
export async function savePicture(shown: Results, rows: readonly string[][]): Promise<void> {
  const picture = await paintPicture(shown, rows);
  if (!picture) return;
  const address = URL.createObjectURL(picture);
  const link = Object.assign(document.createElement("a"), { href: address, download: `efir-lab-${shown.at.slice(0, 10)}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export function paintPicture(shown: Results, rows: readonly string[][]): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  const top = 132;
  const table = row_px * rows.length + 14;
  const height = top + table + 380;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  if (!pen) return Promise.resolve(null);
  const palette = readPalette();
  pen.scale(scale, scale);
  pen.fillStyle = palette.card;
  pen.fillRect(0, 0, width, height);
  drawHead(pen, shown, palette);
  drawTable(pen, { x: margin, y: top, width: width - 2 * margin, height: table }, rows, palette);
  drawPlots(pen, { x: margin, y: top + table + 20, width: width - 2 * margin, height: 330 }, shown, palette);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function drawHead(pen: Pen, shown: Results, { ink, soft, sans }: Palette): void {
  pen.textBaseline = "alphabetic";
  pen.textAlign = "left";
  pen.fillStyle = ink;
  pen.font = `650 26px ${sans}`;
  pen.fillText(words.value.title, margin, 58);
  pen.font = `400 15px ${sans}`;
  pen.fillStyle = soft;
  pen.fillText(`${runOf(shown.parameters)}. ${faultsOf(shown.faults)}.`, margin, 86);
  pen.fillText(`${words.value.results_of(momentOf(shown))} ${location.host}`, margin, 108);
}

function drawTable(pen: Pen, box: Box, rows: readonly string[][], palette: Palette): void {
  const columns = rows[0]?.length ?? 1;
  const first = 190;
  const rest = (box.width - first) / (columns - 1);
  pen.textBaseline = "middle";
  for (const [at, row] of rows.entries()) {
    const y = box.y + row_px * (at + 0.5);
    const name = order[at - 1];
    if (name) {
      pen.fillStyle = palette.hues[name];
      pen.fillRect(box.x, y - 7, 4, 14);
    }
    for (const [column, text] of row.entries()) {
      pen.textAlign = column === 0 ? "left" : "right";
      pen.fillStyle = at === 0 ? palette.soft : palette.ink;
      pen.font = `${column === 0 || at === 0 ? 600 : 400} ${at === 0 ? 12 : 15}px ${palette.sans}`;
      const x = column === 0 ? box.x + (at === 0 ? 0 : 14) : box.x + first + rest * column;
      const lines = at === 0 ? inTwo(pen, text, rest - 10) : [text];
      for (const [line, part] of lines.entries()) pen.fillText(part, x, y + (line - (lines.length - 1) / 2) * 14);
    }
    pen.fillStyle = palette.line;
    pen.fillRect(box.x, box.y + row_px * (at + 1), box.width, 1);
  }
}

/** A long heading stands in as many lines as it has words that do not fit beside each other. */
function inTwo(pen: Pen, text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`.trim();
    if (lines.length > 0 && pen.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function drawPlots(pen: Pen, box: Box, shown: Results, palette: Palette): void {
  const left = box.width * 0.6;
  const right = box.x + left + 40;
  pen.textAlign = "left";
  pen.textBaseline = "alphabetic";
  pen.font = `600 15px ${palette.sans}`;
  pen.fillStyle = palette.ink;
  pen.fillText(words.value.latency, box.x, box.y + 14);
  pen.fillText(words.value.overhead, right, box.y + 14);
  let x = box.x;
  pen.font = `400 12px ${palette.sans}`;
  for (const name of order) {
    const text = lookWords.value.transports_short[name];
    pen.fillStyle = palette.hues[name];
    pen.fillRect(x, box.y + 26, 14, 3);
    pen.fillStyle = palette.soft;
    pen.fillText(text, x + 19, box.y + 32);
    x += 40 + pen.measureText(text).width;
  }
  drawLatency(pen, { x: box.x, y: box.y + 44, width: left, height: box.height - 50 }, latencyPlot(shown), palette);
  drawBars(
    pen,
    { x: right, y: box.y + 40, width: box.x + box.width - right, height: 220 },
    overheadBars(shown),
    palette,
  );
}
