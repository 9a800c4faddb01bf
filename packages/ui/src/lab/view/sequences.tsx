// The sequence view: a whiteboard a transport, moving with the time. Held still, it can be wound back.
import { computed, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { lookWords } from "../../look/words.ts";
import { cable, lanes, parameters, phase, plans, say } from "../lab.ts";
import type { Lane } from "../lane.ts";
import { readPalette } from "../palette.ts";
import { spanOf } from "../parameters.ts";
import { drawSequence } from "../sequence.ts";
import { kept_ms } from "../track.ts";
import { words } from "../words.ts";
import { paintOn } from "./sheet.tsx";

const spans_s = [1, 3, 8, 20] as const;
const frame_ms = 50;
/** For who asked the system for less motion. */
const still_frame_ms = 1_000;
const tally_every_ms = 3_000;

/** What the visitor chose; undefined: as fits the run. */
const chosen_s = signal<number | undefined>(undefined);
const span_s = computed(() => chosen_s.value ?? spanOf(parameters.value));
/** The moment at which the picture was held; undefined while it moves. */
const held = signal<number | undefined>(undefined);
const back_s = signal(0);
/** The last moment of the last run: there the picture stays. */
let last = 0;

function moment(): number {
  if (held.value !== undefined) return held.value - back_s.value * 1_000;
  const isLive = phase.peek() === "running" || phase.peek() === "settling";
  if (isLive) last = performance.now();
  return last;
}

export function Sequences() {
  const text = words.value;
  const isHeld = held.value !== undefined;
  const network = cable.network.value;
  const isLive = phase.value === "running" || phase.value === "settling";
  return (
    <section class="card sequences" aria-labelledby="sequence-head" id="plot-sequences">
      <h2 id="sequence-head">{text.sequence}</h2>
      <div class="sequence-tools">
        <button
          type="button"
          class="quiet"
          data-testid="sequence-pause"
          aria-pressed={isHeld}
          onClick={() => {
            held.value = isHeld ? undefined : moment();
            back_s.value = 0;
          }}
        >
          {isHeld ? text.resume : text.pause}
        </button>
        <button type="button" class="quiet" data-testid="say" disabled={!isLive || network.cut || network.drop} onClick={say}>
          {text.say}
        </button>
        <label class="choice">
          {text.span}
          <select value={span_s.value} onChange={(event) => (chosen_s.value = Number(event.currentTarget.value))}>
            {spans_s.map((seconds) => (
              <option key={seconds} value={seconds}>
                {text.span_value(seconds)}
              </option>
            ))}
          </select>
        </label>
        {isHeld && (
          <label class="choice back">
            {text.back}
            <input
              type="range"
              min={0}
              max={kept_ms / 1_000}
              step={0.5}
              value={back_s.value}
              aria-valuetext={text.span_value(back_s.value)}
              onInput={(event) => (back_s.value = Number(event.currentTarget.value))}
            />
          </label>
        )}
      </div>
      <div class="boards" role="region" aria-label={text.sequence_region} tabIndex={0}>
        {lanes.map((lane) => (
          <BoardView key={lane.name} lane={lane} />
        ))}
      </div>
      <Legend />
    </section>
  );
}

function BoardView({ lane }: { lane: Lane }) {
  const text = words.value;
  const canvas = useRef<HTMLCanvasElement>(null);
  const label = useTally(lane);
  useEffect(() => {
    const element = canvas.current;
    return element ? move(() => paint(element, lane)) : undefined;
  }, [lane]);
  return (
    <figure class="board" data-transport={lane.name} data-testid={`board-${lane.name}`}>
      <figcaption>{lookWords.value.transports[lane.name]}</figcaption>
      <p class="lifelines" aria-hidden="true">
        <span>{text.client}</span>
        <span>{text.server}</span>
      </p>
      <canvas ref={canvas} role="img" aria-label={label} />
      <p class="explained">{text.explained[lane.name]}</p>
    </figure>
  );
}

function paint(canvas: HTMLCanvasElement, lane: Lane): void {
  const now = moment();
  if (held.peek() === undefined) lane.track.trim(now);
  const { top, bottom, left, right } = canvas.getBoundingClientRect();
  if (bottom < 0 || top > innerHeight || right < 0 || left > innerWidth) return;
  const span_ms = span_s.peek() * 1_000;
  const palette = readPalette();
  paintOn(canvas, (pen, box) =>
    drawSequence(
      pen,
      box,
      {
        track: lane.track,
        waiting: plans.missing(now - span_ms, now, (ordinal) => lane.has(ordinal)),
        now,
        span_ms,
        isPoll: lane.name.endsWith("poll"),
        isTwoWay: lane.name === "websocket",
        words: words.peek(),
      },
      { ...palette, hue: palette.hues[lane.name] },
    ),
  );
}

/** The board in a sentence, renewed every few seconds. */
function useTally(lane: Lane): string {
  const [tally, setTally] = useState({ requests: 0, empty: 0, messages: 0 });
  useEffect(() => {
    const timer = setInterval(() => {
      const from = performance.now() - span_s.peek() * 1_000;
      const asks = lane.track.asks.filter(({ begin }) => begin >= from);
      const empty = asks.filter(({ outcome }) => outcome === "empty").length;
      setTally({ requests: asks.length, empty, messages: lane.track.flights.filter(({ at }) => at >= from).length });
    }, tally_every_ms);
    return () => clearInterval(timer);
  }, [lane]);
  return words.value.sequence_now(lookWords.value.transports[lane.name], tally.requests, tally.empty, tally.messages);
}

/**
 * Calls `step` at the pace that the visitor's system allows, while the page is visible: never more than a tenth of the time, since what is
 * drawn must not make late what is measured. Gives how to end it.
 */
function move(step: () => void): () => void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");
  let frame = 0;
  let before = 0;
  let cost_ms = 0;
  const tick = (now: number): void => {
    frame = requestAnimationFrame(tick);
    if (now - before < Math.max(isStill.matches ? still_frame_ms : frame_ms, cost_ms * 50)) return;
    before = now;
    const begun = performance.now();
    step();
    cost_ms = performance.now() - begun;
  };
  frame = requestAnimationFrame(tick);
  return () => cancelAnimationFrame(frame);
}

const legend_rows = ["ask", "answer", "empty", "message", "sent", "open", "waits"] as const;

function Legend() {
  const { legend, sequence_hint } = words.value;
  return (
    <div class="sequence-legend">
      <p class="hint">{sequence_hint}</p>
      <ul>
        {legend_rows.map((row) => (
          <li key={row}>
            <span class={`drawn drawn-${row}`} aria-hidden="true">
              <svg viewBox="0 0 34 12">
                {row === "open" ? (
                  <rect x="12" y="0.7" width="10" height="10.6" rx="2" />
                ) : row === "waits" ? (
                  <path d="M17 3.2v8" class="wait" />
                ) : row === "ask" || row === "sent" ? (
                  <path d="M1 6h26m0-4l6 4-6 4z" />
                ) : (
                  <path d="M33 6H7m0-4L1 6l6 4z" />
                )}
                {row === "waits" && <circle cx="17" cy="3.2" r="2.6" />}
              </svg>
            </span>
            {legend[row]}
          </li>
        ))}
      </ul>
    </div>
  );
}
