// What the server's generator is to publish, and the button that starts it.
import { begin, elapsed_s, parameters, phase, problem, published, question, setParameter, stop } from "../lab.ts";
import { messagesOf, presetNames, presets, steps, type Parameters } from "../parameters.ts";
import { amount, count } from "../readable.ts";
import { words } from "../words.ts";
import { Slider } from "./slider.tsx";

export function Settings() {
  const text = words.value;
  const now = parameters.value;
  const isBusy = phase.value !== "idle" && phase.value !== "done";
  const shown: Record<keyof Parameters, string> = {
    rate: text.rate_value(now.rate),
    burst: text.burst_value(now.burst),
    size: amount(now.size),
    seconds: text.seconds_value(now.seconds),
  };
  return (
    <section class="card settings" aria-labelledby="settings-head">
      <h2 id="settings-head">{text.settings}</h2>
      <div class="presets" role="group" aria-label={text.presets}>
        {presetNames.map((name) => (
          <button
            type="button"
            key={name}
            class="quiet"
            data-testid={`preset-${name}`}
            aria-pressed={isSame(now, presets[name])}
            disabled={isBusy}
            onClick={() => {
              parameters.value = presets[name];
              question.value = undefined;
            }}
          >
            {text.preset[name]}
          </button>
        ))}
      </div>
      {(["rate", "burst", "size", "seconds"] as const).map((name) => (
        <Slider
          key={name}
          name={name}
          label={text[name]}
          steps={steps[name]}
          value={now[name]}
          text={shown[name]}
          isDisabled={isBusy}
          pick={(value) => setParameter(name, value)}
        />
      ))}
      <p class="hint">{text.in_all(messagesOf(now), count(now.rate * now.burst))}</p>
      <Go />
    </section>
  );
}

function Go() {
  const text = words.value;
  const state = phase.value;
  const isBusy = state !== "idle" && state !== "done";
  const refused = problem.value;
  return (
    <div class="go">
      <button
        type="button"
        class="firm"
        data-testid="go"
        data-phase={state}
        disabled={state === "starting"}
        onClick={() => void (isBusy ? stop() : begin())}
      >
        {state === "settling" ? text.give_up : isBusy ? text.stop : text.begin}
      </button>
      <p class="phase" data-testid="phase" data-published={published.value}>
        <span class={`lamp lamp-${state}`} aria-hidden="true" />
        {text.phase[state]}
        {isBusy && state !== "starting" && (
          <span class="soft"> · {text.progress(count(published.value), count(Math.floor(elapsed_s.value)))}</span>
        )}
      </p>
      {refused && (
        <p class="refusal" role="alert">
          {text.refused(refused.detail ?? refused.title ?? refused.code)}
        </p>
      )}
    </div>
  );
}

function isSame(a: Parameters, b: Parameters): boolean {
  return a.rate === b.rate && a.size === b.size && a.burst === b.burst && a.seconds === b.seconds;
}
