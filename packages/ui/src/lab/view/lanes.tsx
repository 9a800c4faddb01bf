// The five transports side by side: their figures as large as they matter, the latency of the last seconds, what is still on its way.
import { useCallback } from "preact/hooks";
import { lookWords } from "../../look/words.ts";
import { isFromAddress, lanes, phase, results } from "../lab.ts";
import type { Lane } from "../lane.ts";
import { readPalette } from "../palette.ts";
import { drawSpark, type Box } from "../plot.ts";
import { figure } from "../readable.ts";
import { no_figures, type FigureName } from "../results.ts";
import { words } from "../words.ts";
import { Sheet } from "./sheet.tsx";

const small: readonly FigureName[] = ["messages", "requests", "empty", "overhead", "down", "up", "reconnects", "missing"];

export function Lanes() {
  return (
    <section aria-labelledby="lanes-head">
      <h2 id="lanes-head">{words.value.side_by_side}</h2>
      <div class="lanes">
        {lanes.map((lane) => (
          <LaneView key={lane.name} lane={lane} />
        ))}
      </div>
    </section>
  );
}

function LaneView({ lane }: { lane: Lane }) {
  const text = words.value;
  const figures = results.value?.figures[lane.name] ?? no_figures;
  const points = results.value?.lines[lane.name] ?? [];
  const name = lookWords.value.transports[lane.name];
  const isLive = phase.value === "running" || phase.value === "settling";
  const state = isLive && !isFromAddress.value ? lane.state.value.kind : "paused";
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, box: Box) => drawSpark(pen, box, points, readPalette().hues[lane.name]),
    [points, lane.name],
  );
  return (
    <article class="card lane" data-transport={lane.name} data-testid={`lane-${lane.name}`}>
      <header>
        <h3>{name}</h3>
        <span class="lane-state" data-testid="state" data-state={state}>
          {text.state[state]}
        </span>
      </header>
      <dl class="large">
        <Value name="p50" label={text.figure_short.p50} value={figure("p50", figures)} raw={figures.p50} />
        <Value name="p99" label={text.figure_short.p99} value={figure("p99", figures)} raw={figures.p99} />
      </dl>
      <Sheet class="spark" label={`${text.figure.p50}: ${figure("p50", figures)}`} draw={draw} />
      <dl class="small">
        {small.map((one) => (
          <Value
            key={one}
            name={one}
            label={one === "missing" && isLive ? text.on_the_way : text.figure_short[one]}
            value={figure(one, figures)}
            raw={figures[one]}
          />
        ))}
      </dl>
    </article>
  );
}

interface ValueProperties {
  name: FigureName;
  label: string;
  value: string;
  raw: number | undefined;
}

function Value({ name, label, value, raw }: ValueProperties) {
  const isBad = (name === "missing" || name === "gaps") && phase.value === "done" && (raw ?? 0) > 0;
  return (
    <div class={`value value-${name}${isBad ? " is-bad" : ""}`}>
      <dt>{label}</dt>
      <dd data-testid={name} data-value={raw}>
        {value}
      </dd>
    </div>
  );
}
