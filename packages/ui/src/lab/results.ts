// What a run gave: the figures of each transport, latency second by second, what was done to the network. As a table to copy and as
// the part of an address behind `#`. Pure: knows neither document nor server.
import { transportNames, type TransportName } from "../wire.ts";
import { steps, type ParameterName, type Parameters } from "./parameters.ts";
import type { Point } from "./samples.ts";

/** Figures of one transport; latencies in milliseconds, undefined before the first message. */
export interface Figures {
  messages: number;
  /** Published, and not here. */
  missing: number;
  /** Announced holes. */
  gaps: number;
  p50: number | undefined;
  p99: number | undefined;
  requests: number;
  empty: number;
  down: number;
  up: number;
  /** Bytes both ways beyond the payloads, a message. Below zero where compression saves more than everything around costs. */
  overhead: number | undefined;
  reconnects: number;
}

export type FigureName = keyof Figures;

/** In the order of the table. */
export const figureNames: readonly FigureName[] = [
  "p50",
  "p99",
  "messages",
  "missing",
  "gaps",
  "requests",
  "empty",
  "down",
  "up",
  "overhead",
  "reconnects",
];

export const no_figures: Figures = {
  messages: 0,
  missing: 0,
  gaps: 0,
  p50: undefined,
  p99: undefined,
  requests: 0,
  empty: 0,
  down: 0,
  up: 0,
  overhead: undefined,
  reconnects: 0,
};

/** A time during which the network was not as it should be, in seconds of the run. */
export interface Fault {
  what: "cut" | "drop" | "buffer" | "delay" | "slow";
  from: number;
  to: number;
}

const fault_names: readonly Fault["what"][] = ["cut", "drop", "buffer", "delay", "slow"];

export type Lines = Record<TransportName, readonly Point[]>;

export interface Results {
  /** When it was measured, in minutes: ISO 8601, UTC. */
  at: string;
  parameters: Parameters;
  figures: Record<TransportName, Figures>;
  lines: Lines;
  faults: readonly Fault[];
  /** Bytes of a message around its payload (channel, position, time): the same on every transport, and part of each overhead. */
  envelope: number;
}

/** A value for each transport. */
export function each<T>(make: (name: TransportName) => T): Record<TransportName, T> {
  return Object.fromEntries(transportNames.map((name) => [name, make(name)])) as Record<TransportName, T>;
}

/** The table as text: `tab` for spreadsheets, `markdown` for issues and papers. The first row is the head. */
export function tableText(rows: ReadonlyArray<readonly string[]>, form: "tab" | "markdown"): string {
  if (form === "tab") return rows.map((row) => row.join("\t")).join("\n");
  const [head = [], ...rest] = rows;
  const rule = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [head, rule, ...rest].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** `rate=20&size=200&…`: readable, and written by hand a way to preset the sliders. */
export function encode(results: Results): string {
  const { parameters, figures, lines, faults, at, envelope } = results;
  const parts = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  parts.push(`at=${at}`, `envelope=${brief(envelope)}`);
  if (faults.length > 0)
    parts.push(`faults=${faults.map(({ what, from, to }) => [what, brief(from), brief(to)].join(",")).join("~")}`);
  for (const name of transportNames) {
    const row = figureNames.map((figure) => brief(figures[name][figure])).join(",");
    const points = lines[name].flatMap(({ second, p50, p99 }) => [second, brief(p50, 3), brief(p99, 3)]).join(",");
    parts.push(`${name}=${row}~${points}`);
  }
  return parts.join("&");
}

/** What an address holds: parameters where some are named, results where it has all of them. Anything malformed counts as absent. */
export function decode(hash: string): { parameters: Parameters | undefined; results: Results | undefined } {
  const parts = new Map(hash.replace(/^#/, "").split("&").map(splitOnce));
  const parameters = readParameters(parts);
  const at = parts.get("at");
  const rows = transportNames.map((name) => readRow(parts.get(name)));
  if (!parameters || !at || !/^[0-9TZ:.-]{10,30}$/.test(at) || rows.some((row) => !row))
    return { parameters, results: undefined };
  const of = (name: TransportName) => rows[transportNames.indexOf(name)];
  return {
    parameters,
    results: {
      at,
      parameters,
      figures: each((name) => of(name)?.figures ?? no_figures),
      lines: each((name) => of(name)?.points ?? []),
      envelope: readNumber(parts.get("envelope") ?? "") ?? 0,
      faults: (parts.get("faults") ?? "").split("~").flatMap(readFault),
    },
  };
}

function splitOnce(part: string): [string, string] {
  const at = part.indexOf("=");
  return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
}

function readParameters(parts: ReadonlyMap<string, string>): Parameters | undefined {
  const read = (name: ParameterName): number => {
    const value = Number(parts.get(name) ?? Number.NaN);
    const allowed = steps[name];
    return value >= (allowed[0] ?? 0) && value <= (allowed.at(-1) ?? 0) ? value : Number.NaN;
  };
  const parameters = { rate: read("rate"), size: read("size"), burst: read("burst"), seconds: read("seconds") };
  return Object.values(parameters).some(Number.isNaN) ? undefined : parameters;
}

function readRow(text: string | undefined): { figures: Figures; points: Point[] } | undefined {
  const [row = "", line = ""] = (text ?? "").split("~");
  const values = row.split(",").map(readNumber);
  if (values.length !== figureNames.length) return undefined;
  const read = Object.fromEntries(figureNames.map((name, at) => [name, values[at]]));
  const points: Point[] = [];
  const flat = line.split(",").map(readNumber);
  for (let at = 0; at + 2 < flat.length; at += 3) {
    const [second, p50, p99] = [flat[at], flat[at + 1], flat[at + 2]];
    if (second !== undefined && p50 !== undefined && p99 !== undefined) points.push({ second, p50, p99 });
  }
  const counts = Object.fromEntries(figureNames.map((name) => [name, read[name] ?? 0]));
  return {
    figures: { ...(counts as unknown as Figures), p50: read["p50"], p99: read["p99"], overhead: read["overhead"] },
    points,
  };
}

function readNumber(text: string): number | undefined {
  const value = Number(text);
  return text === "" || !Number.isFinite(value) ? undefined : value;
}

function readFault(text: string): Fault[] {
  const [what, from, to] = text.split(",");
  const known = fault_names.find((name) => name === what);
  const span = { from: Number(from), to: Number(to) };
  return known && Number.isFinite(span.from) && Number.isFinite(span.to) ? [{ what: known, ...span }] : [];
}

/** More digits than a table shows (six) or a plot (three); whole numbers stay whole. */
function brief(value: number | undefined, digits = 6): string {
  if (value === undefined) return "";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}
