// The two shared plots: latency over time, and bytes around a message. Pointer or arrow keys read the values of a second.
import { useSignal } from "@preact/signals";
import { useCallback } from "preact/hooks";
import { lookWords } from "../../look/words.ts";
import { results } from "../lab.ts";
import { dashes, order, readPalette } from "../palette.ts";
import { drawBars, drawLatency, Scale, type Box } from "../plot.ts";
import { amount, milliseconds } from "../readable.ts";
import type { Results } from "../results.ts";
import { latencyPlot, overheadBars } from "../shown.ts";
import { words } from "../words.ts";
import { Sheet } from "./sheet.tsx";
import type { TransportName } from "../../wire.ts";

export function Plots() {
  const text = words.value;
  const shown = results.value;
  return (
    <div class="plots">
      <section class="card plot" aria-labelledby="latency-head">
        <h2 id="latency-head">{text.latency}</h2>
        {shown ? <LatencyView shown={shown} /> : <p class="blank">{text.plot_empty}</p>}
        <p class="hint">{text.latency_hint}</p>
      </section>
      <section class="card plot" aria-labelledby="overhead-head" id="plot-overhead">
        <h2 id="overhead-head">{text.overhead}</h2>
        {shown ? <OverheadView shown={shown} /> : <p class="blank">{text.plot_empty}</p>}
        <p class="hint">
          {text.overhead_hint} {shown && shown.envelope > 0 && text.envelope_hint(amount(shown.envelope))}
        </p>
      </section>
    </div>
  );
}

function LatencyView({ shown }: { shown: Results }) {
  const text = words.value;
  const read = useSignal<number | undefined>(undefined);
  const plot = latencyPlot(shown);
  const second = read.value;
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, box: Box) => drawLatency(pen, box, plot, readPalette(), second),
    [shown, second, text],
  );
  const point = (area: HTMLElement, x: number): void => {
    const box = { x: 0, y: 0, width: area.clientWidth, height: area.clientHeight };
    read.value = new Scale(box, plot).second(x - area.getBoundingClientRect().left);
  };
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") read.value = undefined;
    if (by === undefined) return;
    event.preventDefault();
    read.value = Math.min(Math.max((read.value ?? -by) + by, 0), shown.parameters.seconds - 1);
  };
  return (
    <>
      <div
        class="area"
        tabIndex={0}
        role="group"
        aria-label={`${text.latency}. ${text.plot_alternative}`}
        onPointerMove={(event) => point(event.currentTarget, event.clientX)}
        onPointerLeave={() => (read.value = undefined)}
        onKeyDown={step}
      >
        <Sheet class="latency" label={text.latency} draw={draw} />
      </div>
      <ul class="keys">
        {order.map((name) => (
          <li key={name} data-transport={name}>
            <Sample name={name} />
            {lookWords.value.transports_short[name]}
            {second !== undefined && <b>{reading(shown, name, second)}</b>}
          </li>
        ))}
      </ul>
      <p class="unseen" aria-live="polite">
        {second !== undefined && readings(shown, second)}
      </p>
    </>
  );
}

function reading(shown: Results, name: TransportName, second: number): string {
  const point = shown.lines[name].find((one) => one.second === second);
  return point ? `${milliseconds(point.p50)} / ${milliseconds(point.p99)}` : words.value.none_yet;
}

/** All of a second, for who cannot see the plot. */
function readings(shown: Results, second: number): string {
  const each = order.map((name) => `${lookWords.value.transports_short[name]} ${reading(shown, name, second)}`);
  return `${words.value.plot_read(second)}: ${each.join(", ")}`;
}

/** The line's colour and pattern. */
function Sample({ name }: { name: TransportName }) {
  return (
    <svg class="sample" viewBox="0 0 26 10" aria-hidden="true">
      <path d="M1 5h24" stroke-dasharray={dashes[name].join(" ")} />
    </svg>
  );
}

function OverheadView({ shown }: { shown: Results }) {
  const text = words.value;
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, box: Box) => drawBars(pen, box, overheadBars(shown), readPalette()),
    [shown, text],
  );
  const label = overheadBars(shown).map((bar) => `${bar.label}: ${bar.text}`);
  return <Sheet class="overhead" label={`${text.overhead}. ${label.join(", ")}`} draw={draw} />;
}
