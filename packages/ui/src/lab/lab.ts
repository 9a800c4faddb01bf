// The lab as a whole: one run at a time of the server's generator, five lanes that read it through this visitor's network, and what
// they measured. Knows nothing of markup; view/ shows its signals.
import { effect, signal, untracked } from "@preact/signals";
import { home } from "../look/home.ts";
import { Lease, type LeaseState, type Word } from "../lease.ts";
import { readTraffic } from "../traffic.ts";
import { Fault } from "../transports/transport.ts";
import { transportNames, type Problem, type TransportName } from "../wire.ts";
import { Cable } from "./cable.ts";
import { readClock } from "./clock.ts";
import { Endpoint, type Progress, type Run } from "./endpoint.ts";
import { Lane } from "./lane.ts";
import {
  first,
  messagesOf,
  open_network,
  questions,
  withValue,
  type ParameterName,
  type Parameters,
  type QuestionName,
} from "./parameters.ts";
import { Plans } from "./track.ts";
import { decode, each, encode, no_figures, type Figures, type Results } from "./results.ts";

const tick_ms = 500;
/** How long a run that is over waits for what is still on its way. */
const settle_ms_max = 30_000;

export type Phase = "idle" | "starting" | "running" | "settling" | "done";

/** Beside /lab/ stands the server itself, whatever prefix it is under. */
export const base = home();

const endpoint = new Endpoint(base, randomName());
export const cable = new Cable(endpoint, () => lanes.forEach((lane) => lane.hurry()));

/** Half the best round trip, and half of what the visitor's network adds. */
let bare_way_ms = 0;
const way_ms = (): number => bare_way_ms + cable.network.peek().delay_ms / 2;

/** What is known to have been published, whichever lane saw it first: the others can be shown to wait for it. */
export const plans = new Plans();
export const lanes: readonly Lane[] = transportNames.map((name) => new Lane(name, plans, way_ms));

/** Whether the server has a lab; undefined while it is asked or cannot be reached. */
export const isOn = signal<boolean | undefined>(undefined);
export const isUnreachable = signal(false);
export const parameters = signal<Parameters>(first);
export const phase = signal<Phase>("idle");
export const elapsed_s = signal(0);
export const published = signal(0);
export const question = signal<QuestionName | undefined>(undefined);
export const problem = signal<Problem | undefined>(undefined);
/** What is shown: of the run that goes on, of the last one, or of the address. Undefined before there is any. */
export const results = signal<Results | undefined>(undefined);
export const isFromAddress = signal(false);
export const leaseState = signal<LeaseState>("none");

let run: Run | undefined;
let began = 0;
let over_since: number | undefined;
let ticks = 0;
let ticking: ReturnType<typeof setInterval> | undefined;
let says: ReturnType<typeof setInterval> | undefined;

const wire = new BroadcastChannel("efir.held-requests");
const lease = new Lease(
  randomName(),
  {
    post: (word) => wire.postMessage(word),
    now: () => Date.now(),
    later: (ms, step) => {
      const timer = setTimeout(step, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
  },
  (state) => (leaseState.value = state),
);

/** Begins; called once. */
export function start(): void {
  wire.onmessage = (event: MessageEvent<Word>) => lease.hear(event.data);
  addEventListener("hashchange", readAddress);
  addEventListener("pagehide", () => {
    lease.release();
    if (run) void endpoint.end(run.run).catch(() => undefined);
  });
  effect(() => {
    const isElsewhere = leaseState.value === "elsewhere";
    untracked(() => lanes.forEach((lane) => lane.allow(!(isElsewhere && lane.isHeld))));
  });
  readAddress();
  void askWhetherOn();
}

export async function askWhetherOn(): Promise<void> {
  const answer = await endpoint.isOn();
  isUnreachable.value = answer === undefined;
  isOn.value = answer;
}

export function setParameter(name: ParameterName, value: number): void {
  parameters.value = withValue(parameters.peek(), name, value);
  question.value = undefined;
}

/** Has another window give up its long requests. */
export function takeOver(): void {
  lease.take();
}

export async function begin(): Promise<void> {
  if (phase.peek() !== "idle" && phase.peek() !== "done") return;
  phase.value = "starting";
  problem.value = undefined;
  try {
    // HTTP/1.1 leaves a browser six connections to a host: a run needs three of them held, so other windows let theirs go.
    lease.take();
    const clock = await readClock(() => endpoint.time());
    bare_way_ms = clock.round_trip_ms / 2;
    run = await endpoint.start(parameters.peek());
    began = run.begins - clock.offset_ms - performance.timeOrigin;
    cable.begin(began);
    over_since = undefined;
    published.value = 0;
    isFromAddress.value = false;
    plans.clear();
    for (const lane of lanes) lane.begin({ base: endpoint.via, channel: run.channel, clock, began });
    phase.value = "running";
    ticking = setInterval(() => void tick(), tick_ms);
    void tick();
  } catch (error) {
    problem.value = error instanceof Fault ? error.problem : { code: "unreachable" };
    phase.value = "idle";
    lease.release();
  }
}

/** Ends the generator; the run then waits for what is on its way, or ends at once when it does so already. */
export async function stop(): Promise<void> {
  if (phase.peek() === "settling") return finish();
  if (phase.peek() !== "running" || !run) return;
  await endpoint.end(run.run).catch(() => undefined);
  await asking;
  await refreshProgress();
  settle();
}

/** Ends a run without waiting for anything. */
async function abandon(): Promise<void> {
  if (!run) return;
  await endpoint.end(run.run).catch(() => undefined);
  await finish();
}

/** Sets what makes the answer visible, and begins. */
export async function answer(name: QuestionName): Promise<void> {
  if (phase.peek() === "starting") return;
  await abandon();
  const { parameters: wanted, network, says_every_s } = questions[name];
  parameters.value = wanted;
  question.value = name;
  await cable.set({ ...open_network, ...network });
  await begin();
  clearInterval(says);
  if (says_every_s) says = setInterval(say, says_every_s * 1_000);
}

/** Publishes from this page, over each transport in its own way. */
export function say(): void {
  const { cut, drop } = cable.network.peek();
  // Requests that hang would take the browser's last connections, those that mend the network among them.
  if (cut || drop) return;
  for (const lane of lanes) void lane.say();
}

/** The address that shows these results again. */
export function permalink(shown: Results): string {
  return `${location.href.replace(/#.*$/, "")}#${encode(shown)}`;
}

async function tick(): Promise<void> {
  const now = performance.now();
  elapsed_s.value = Math.min(Math.max(now - began, 0) / 1_000, parameters.peek().seconds);
  if (over_since === undefined) await refreshProgress();
  ticks += 1;
  if (ticks % 2 === 1) await Promise.all([refreshTraffic(), cable.refresh()]).catch(() => undefined);
  if (phase.peek() !== "running" && phase.peek() !== "settling") return;
  show();
  if (over_since === undefined) return;
  // Messages come in order: whoever has the last one gets nothing more, be it that a gap took some.
  const isComplete = lanes.every((lane) => lane.last >= published.peek());
  if (isComplete || performance.now() - over_since > settle_ms_max) await finish();
}

let asking: Promise<void> | undefined;

/** How far the generator is; asked once at a time. */
function refreshProgress(): Promise<void> {
  asking ??= askProgress().finally(() => (asking = undefined));
  return asking;
}

async function askProgress(): Promise<void> {
  if (!run) return;
  const told: Progress = await endpoint
    .progress(run.run)
    .catch((): Progress => ({ published: 0, isOver: false }));
  const seen = Math.max(0, ...lanes.map((lane) => lane.last));
  published.value = Math.max(published.peek(), told.published, seen);
  // Should the server not answer any more, the plan's end is the end.
  const isPast = performance.now() - began > (parameters.peek().seconds + 3) * 1_000;
  if (told.isOver || isPast || seen >= messagesOf(parameters.peek())) settle();
}

async function refreshTraffic(): Promise<void> {
  const counted = await readTraffic(base, lanes.map((lane) => lane.client));
  for (const lane of lanes) lane.count(counted.get(lane.client));
}

function settle(): void {
  over_since ??= performance.now();
  clearInterval(says);
  if (phase.peek() === "running") phase.value = "settling";
}

/** Takes the last figures while all connections still stand, then lets them go. */
async function finish(): Promise<void> {
  clearInterval(ticking);
  clearInterval(says);
  await refreshTraffic().catch(() => undefined);
  if (phase.peek() === "done") return;
  show();
  for (const lane of lanes) lane.end();
  lease.release();
  run = undefined;
  phase.value = "done";
  const shown = results.peek();
  if (shown) history.replaceState(null, "", permalink(shown));
}

function show(): void {
  results.value = {
    at: `${new Date().toISOString().slice(0, 16)}Z`,
    parameters: parameters.peek(),
    figures: each((name) => figuresOf(name)),
    lines: each((name) => laneOf(name)?.points() ?? []),
    faults: cable.faults(performance.now()),
    envelope: Math.round(Math.max(...lanes.map((lane) => lane.envelope))),
  };
}

function figuresOf(name: TransportName): Figures {
  return laneOf(name)?.figures(published.peek()) ?? no_figures;
}

function laneOf(name: TransportName): Lane | undefined {
  return lanes.find((lane) => lane.name === name);
}

/** An address may preset the sliders, and bring results along. */
function readAddress(): void {
  if (phase.peek() !== "idle" && phase.peek() !== "done") return;
  const read = decode(location.hash);
  if (read.parameters) parameters.value = read.parameters;
  if (!read.results) return;
  results.value = read.results;
  isFromAddress.value = true;
  phase.value = "done";
}

/** Short, since it stands in the channel's name and with it in every message. */
function randomName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => (byte % 36).toString(36)).join("");
}
