// The visitor's network as a cable between browser and server: what is switched shows in the cable itself.
import { cable, phase } from "../lab.ts";
import { isOpen, network_steps, open_network, type Network } from "../parameters.ts";
import { amount, count, milliseconds } from "../readable.ts";
import { words } from "../words.ts";
import { Slider } from "./slider.tsx";

const switches = ["cut", "drop", "buffer"] as const;

export function CableView() {
  const text = words.value;
  const network = cable.network.value;
  const problem = cable.problem.value;
  const slow = network.slow_bytes_per_s;
  return (
    <section class="card network" aria-labelledby="network-head">
      <h2 id="network-head">{text.network}</h2>
      <Drawing network={network} />
      <div class="toggles">
        {switches.map((name) => (
          <button
            type="button"
            key={name}
            class={`toggle toggle-${name}`}
            data-testid={`network-${name}`}
            aria-pressed={network[name]}
            onClick={() => void cable.set({ [name]: !network[name] })}
          >
            <b>{text[name]}</b>
            <span>{text[`${name}_what`]}</span>
          </button>
        ))}
      </div>
      <Slider
        name="delay"
        label={text.delay}
        steps={network_steps.delay_ms}
        value={network.delay_ms}
        text={network.delay_ms === 0 ? text.none : text.delay_value(milliseconds(network.delay_ms))}
        pick={(delay_ms) => void cable.set({ delay_ms })}
      />
      <Slider
        name="slow"
        label={text.slow}
        steps={network_steps.slow_bytes_per_s}
        value={slow === 0 ? 0 : slow}
        text={slow === 0 ? text.none : text.slow_value(amount(slow))}
        pick={(slow_bytes_per_s) => void cable.set({ slow_bytes_per_s })}
      />
      <Mend isOpen={isOpen(network)} />
      {problem && (
        <p class="refusal" role="alert">
          {text.refused(problem.detail ?? problem.title ?? problem.code)}
        </p>
      )}
    </section>
  );
}

function Mend({ isOpen }: { isOpen: boolean }) {
  const text = words.value;
  return (
    <div class="mend">
      <button
        type="button"
        class="quiet"
        data-testid="network-mend"
        disabled={isOpen}
        onClick={() => void cable.set(open_network)}
      >
        {text.mend}
      </button>
      <p class="hint">{text.network_hint}</p>
    </div>
  );
}

function Drawing({ network }: { network: Network }) {
  const text = words.value;
  const passed = cable.passed.value;
  const isLive = phase.value === "running" || phase.value === "settling";
  const state = [
    network.cut && "is-cut",
    network.drop && "is-drop",
    network.slow_bytes_per_s > 0 && "is-slow",
    isLive && !network.cut && !network.drop && "is-live",
  ];
  return (
    <div class={`lab-cable ${state.filter(Boolean).join(" ")}`}>
      <svg viewBox="0 0 520 96" aria-hidden="true">
        <g class="end">
          <rect x="8" y="22" width="62" height="42" rx="5" />
          <path d="M2 72h74" />
          <path d="M20 36h24M20 46h36" class="fine" />
        </g>
        <g class="end">
          <rect x="456" y="14" width="52" height="60" rx="5" />
          <path d="M456 34h52M456 54h52" />
          <circle cx="467" cy="24" r="2.4" class="dot" />
          <circle cx="467" cy="44" r="2.4" class="dot" />
          <circle cx="467" cy="64" r="2.4" class="dot" />
        </g>
        {network.cut ? (
          <>
            <path class="wire" d="M78 46H228" />
            <path class="wire" d="M292 46H448" />
            <path class="torn" d="M228 46l10-9m-10 9l11 0m-11 0l9 9M292 46l-10-9m10 9l-11 0m11 0l-9 9" />
          </>
        ) : (
          <path class="wire" d="M78 46H448" />
        )}
        {!network.cut && <path class="flow" d="M78 46H448" />}
        {network.delay_ms > 0 && (
          <g class="device">
            <circle cx="146" cy="46" r="17" />
            <path d="M146 36v10l7 5" />
            <text x="146" y="86">{milliseconds(network.delay_ms)}</text>
          </g>
        )}
        {network.buffer && (
          <g class="device">
            <rect x="336" y="30" width="40" height="32" rx="3" />
            <path d="M343 54h26M343 47h26M343 40h26" />
            <text x="356" y="86">{text.fault.buffer}</text>
          </g>
        )}
        {network.slow_bytes_per_s > 0 && (
          <g class="device">
            <path d="M196 33l26 9v8l-26 9zM248 33l-26 9v8l26 9z" class="filled" />
            <text x="222" y="86">{text.slow_value(amount(network.slow_bytes_per_s))}</text>
          </g>
        )}
        {network.drop && !network.cut && (
          <g class="device">
            <circle cx="262" cy="46" r="13" />
            <path d="M253 55l18-18" />
            <text x="262" y="86">{text.fault.drop}</text>
          </g>
        )}
      </svg>
      <p class="ends">
        <span>{text.browser}</span>
        {passed && isLive && (
          <span class="soft">
            {text.passed(count(passed.connections), amount(passed.bytes_down), amount(passed.bytes_up))}
          </span>
        )}
        <span>{text.server}</span>
      </p>
    </div>
  );
}
