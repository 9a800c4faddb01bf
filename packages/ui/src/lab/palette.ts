// The colours of the page's style, for what is drawn on a canvas.
import { transportNames, type TransportName } from "../wire.ts";
import { each } from "./results.ts";

export interface Palette {
  ink: string;
  soft: string;
  line: string;
  card: string;
  sunk: string;
  alert: string;
  accent: string;
  hues: Record<TransportName, string>;
  sans: string;
}

/** Where the style keeps the colour of each transport. */
const hue_names: Record<TransportName, string> = {
  "short-poll": "--poll",
  "long-poll": "--hang",
  sse: "--event",
  "http-stream": "--stream",
  websocket: "--socket",
};

/** A pattern each, so that lines differ without their colours, too. */
export const dashes: Record<TransportName, readonly number[]> = {
  "short-poll": [2, 3],
  "long-poll": [7, 3],
  sse: [12, 3, 2, 3],
  "http-stream": [4, 2],
  websocket: [],
};

export const order = transportNames;

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"),
    soft: of("--soft"),
    line: of("--line"),
    card: of("--card"),
    sunk: of("--sunk"),
    alert: of("--alert"),
    accent: of("--accent"),
    hues: each((name) => of(hue_names[name])),
    sans: of("--sans"),
  };
}
