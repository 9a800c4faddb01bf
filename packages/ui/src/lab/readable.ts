// Figures as people read them, in the language that is chosen.
import { bytes, duration } from "../numbers.ts";
import { lookWords } from "../look/words.ts";
import { language } from "../preferences.ts";
import type { Fault, FigureName, Figures, Results } from "./results.ts";
import type { Parameters } from "./parameters.ts";
import { words } from "./words.ts";

export function milliseconds(ms: number): string {
  // Below a tenth the digits are the clock's, not the network's.
  return duration(language.value, ms < 10 ? Math.round(ms * 10) / 10 : ms, lookWords.value.time_units);
}

export function amount(count: number): string {
  return bytes(language.value, Math.round(count), lookWords.value.units);
}

export function count(value: number): string {
  return new Intl.NumberFormat(language.value, { maximumFractionDigits: 1 }).format(value);
}

export function figure(name: FigureName, figures: Figures): string {
  const value = figures[name];
  if (value === undefined) return words.value.none_yet;
  switch (name) {
    case "p50":
    case "p99":
      return milliseconds(value);
    case "down":
    case "up":
    case "overhead":
      return amount(value);
    default:
      return count(value);
  }
}

export function runOf({ rate, size, burst, seconds }: Parameters): string {
  const { run_of, rate_value, seconds_value } = words.value;
  return run_of(rate_value(rate), amount(size), count(burst), seconds_value(seconds));
}

export function faultsOf(faults: readonly Fault[]): string {
  const { faults_of, fault, network_open } = words.value;
  if (faults.length === 0) return network_open;
  const second = lookWords.value.time_units[1];
  return faults_of(faults.map(({ what, from, to }) => `${fault[what]} ${count(from)}–${count(to)}\u00a0${second}`).join(", "));
}

/** The moment of measuring, in the visitor's own time. */
export function momentOf({ at }: Results): string {
  const moment = new Date(at);
  if (Number.isNaN(moment.getTime())) return at;
  return new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }).format(moment);
}
