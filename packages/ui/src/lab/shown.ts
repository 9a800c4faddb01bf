// Results made ready to be drawn or read in the language that is chosen: for the page, and for the picture that is saved.
import { lookWords } from "../look/words.ts";
import { order } from "./palette.ts";
import type { Bar, LatencyPlot } from "./plot.ts";
import { figure, milliseconds } from "./readable.ts";
import { figureNames, type Results } from "./results.ts";
import { words } from "./words.ts";

export function latencyPlot(shown: Results): LatencyPlot {
  return {
    lines: shown.lines,
    faults: shown.faults,
    seconds: shown.parameters.seconds,
    faultName: (what) => words.value.fault[what],
    time: milliseconds,
  };
}

export function overheadBars(shown: Results): Bar[] {
  return order.map((name) => ({
    name,
    label: lookWords.value.transports_short[name],
    value: shown.figures[name].overhead,
    pale: shown.envelope,
    text: figure("overhead", shown.figures[name]),
  }));
}

/** The table as rows of text, its head first. */
export function tableRows(shown: Results): string[][] {
  const { transport, figure: names } = words.value;
  const head = [transport, ...figureNames.map((name) => names[name])];
  const rows = order.map((name) => [
    lookWords.value.transports[name],
    ...figureNames.map((one) => figure(one, shown.figures[name]).replaceAll("\u00a0", " ")),
  ]);
  return [head, ...rows];
}
