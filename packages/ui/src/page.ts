// The page of the five panes as a whole: which channel, the five panes, and what this window may hold open beside other windows of the same browser.
// Knows nothing of markup; view/ shows it.
import { effect, signal, untracked } from "@preact/signals";
import { home } from "./look/home.ts";
import { Lease, type LeaseState, type Word } from "./lease.ts";
import { Outbox } from "./outbox.ts";
import { Pane } from "./panes.ts";
import { channel } from "./place.ts";
import { readTraffic } from "./traffic.ts";
import { transportNames, type TransportName } from "./wire.ts";

const traffic_every_ms = 2_000;

/** Where this efir is: channels and figures are asked for beside it. */
export const base = home();

const outbox = new Outbox();
export const panes: readonly Pane[] = transportNames.map((name) => new Pane(name, base, outbox));

/** Where the visitor last worked: its newest message is read out. */
export const activePane = signal<TransportName>("short-poll");

export const leaseState = signal<LeaseState>("none");

const wire = new BroadcastChannel("efir.held-requests");
const lease = new Lease(
  crypto.getRandomValues(new Uint32Array(2)).join("."),
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

/** Has another window give up its held panes in favour of this one. */
export function takeOver(): void {
  lease.take();
}

/** Begins; called once. */
export function start(): void {
  wire.onmessage = (event: MessageEvent<Word>) => lease.hear(event.data);
  addEventListener("online", () => panes.forEach((pane) => pane.hurry()));
  addEventListener("pagehide", () => lease.release());
  addEventListener("pageshow", settleVisibility);
  document.addEventListener("visibilitychange", settleVisibility);
  settleVisibility();
  effect(() => {
    const name = channel.value;
    untracked(() => panes.forEach((pane) => pane.join(name)));
  });
  effect(() => {
    const state = leaseState.value;
    // While asking, the held panes stay as they are: it takes a moment only.
    if (state === "asking") return;
    untracked(() => panes.forEach((pane) => pane.allow(!pane.isHeld || state === "held")));
  });
  void watchTraffic();
}

/** A hidden window holds no request open; its polls and its socket go on. */
function settleVisibility(): void {
  if (document.visibilityState === "hidden") return lease.release();
  lease.want();
  panes.forEach((pane) => pane.hurry());
}

async function watchTraffic(): Promise<never> {
  const clients = panes.map((pane) => pane.client);
  for (;;) {
    if (document.visibilityState === "visible") await refreshTraffic(clients).catch(() => undefined);
    await new Promise((next) => setTimeout(next, traffic_every_ms));
  }
}

async function refreshTraffic(clients: readonly string[]): Promise<void> {
  const counted = await readTraffic(base, clients);
  for (const pane of panes) {
    const figures = counted.get(pane.client);
    // All zero at first: the server has not yet put the pane's requests down to it.
    if (figures && (figures.requests > 0 || pane.traffic.value)) pane.traffic.value = figures;
  }
}
