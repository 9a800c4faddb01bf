// One pane as it is seen: its state and cable, a field to type in, the messages, the strip, the figures.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { bytes, duration } from "../numbers.ts";
import { activePane, leaseState } from "../page.ts";
import type { Pane, Refusal } from "../panes.ts";
import { language, nickname } from "../preferences.ts";
import type { State } from "../reader.ts";
import { words, type Words } from "../words.ts";
import { EntryLine } from "./entry_line.tsx";
import { shownByHand } from "./by_hand.tsx";
import { Strip } from "./strip.tsx";

export function PaneView({ pane }: { pane: Pane }) {
  const { name } = pane;
  const title = words.value.transports[name];
  return (
    <section
      class="pane"
      id={`pane-${name}`}
      data-testid={`pane-${name}`}
      data-transport={name}
      aria-label={title}
      onFocusIn={() => (activePane.value = name)}
    >
      <header class="pane-head">
        <h2>{title}</h2>
        <Cable pane={pane} />
        <p class="pane-about">{words.value.transports_explained[name]}</p>
        <StateLine pane={pane} />
      </header>
      <Composer pane={pane} />
      <Messages pane={pane} />
      <footer class="pane-foot">
        <Strip timeline={pane.timeline} />
        <Figures pane={pane} />
        <button type="button" class="quiet by-hand" data-testid="by-hand" onClick={() => (shownByHand.value = name)}>
          {words.value.by_hand}
        </button>
      </footer>
    </section>
  );
}

function Cable({ pane }: { pane: Pane }) {
  const isCut = pane.isCut.value;
  const { cut_cable, cut, plug, transports } = words.value;
  return (
    <button
      type="button"
      class="cable"
      data-testid="cable"
      data-cut={isCut}
      aria-label={`${isCut ? plug : cut_cable}: ${transports[pane.name]}`}
      title={isCut ? plug : cut_cable}
      onClick={() => pane.cut(!isCut)}
    >
      <svg viewBox="0 0 20 12" aria-hidden="true">
        {isCut ? (
          <path d="M1 6h5M14 6h5M7.5 2.5l1 7M12.5 2.5l-1 7" />
        ) : (
          <path d="M1 6h6M13 6h6M7 3v6h3a3 3 0 0 0 0-6zM13 4.5v3" />
        )}
      </svg>
      {isCut ? plug : cut}
    </button>
  );
}

function StateLine({ pane }: { pane: Pane }) {
  const state = pane.state.value;
  // A window that only just asks for the lease is about to connect.
  const isAsking = state.kind === "paused" && leaseState.value === "asking";
  const kind = isAsking ? "connecting" : state.kind;
  return (
    <p class="state" data-testid="state" data-state={kind}>
      {isAsking ? words.value.state.connecting : <StateText state={state} />}
    </p>
  );
}

function StateText({ state }: { state: State }) {
  const { state: texts } = words.value;
  switch (state.kind) {
    case "reconnecting":
      return state.at === undefined ? <>{texts.reconnecting}</> : <Countdown key={state.at} until={state.at} />;
    case "stopped":
      return <>{texts.stopped(state.problem.detail ?? state.problem.code)}</>;
    case "paused":
      return <>{leaseState.value === "elsewhere" ? texts.paused_elsewhere : texts.paused}</>;
    default:
      return <>{texts[state.kind]}</>;
  }
}

function Countdown({ until }: { until: number }) {
  const now = useSignal(performance.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = performance.now()), 250);
    return () => clearInterval(timer);
  }, [now]);
  return <>{words.value.state.reconnecting_in(Math.max(0, Math.ceil((until - now.value) / 1000)))}</>;
}

function Composer({ pane }: { pane: Pane }) {
  const text = useSignal("");
  const isCut = pane.isCut.value;
  const { message, message_cut, message_on, transports, send } = words.value;
  const submit = (event: Event): void => {
    event.preventDefault();
    const typed = text.value;
    if (typed.trim() === "" || isCut) return;
    text.value = "";
    void pane.send(typed).then((isSent) => {
      // What was refused stands in the field again, unless something else was typed meanwhile.
      if (!isSent && text.value === "") text.value = typed;
    });
  };
  return (
    <form class="composer" onSubmit={submit}>
      <input
        type="text"
        data-testid="input"
        aria-label={message_on(transports[pane.name])}
        placeholder={isCut ? message_cut : message}
        autocomplete="off"
        enterkeyhint="send"
        maxLength={4000}
        disabled={isCut}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          pane.refusal.value = undefined;
        }}
      />
      <button
        type="submit"
        class="send"
        data-testid="send"
        aria-label={send}
        aria-busy={pane.sending.value > 0}
        title={send}
        disabled={isCut}
      >
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 8h11M9 3.5 13.5 8 9 12.5" />
        </svg>
      </button>
      {pane.refusal.value && (
        <p class="refusal" role="alert">
          {refusalText(pane.refusal.value, words.value)}
        </p>
      )}
    </form>
  );
}

function refusalText(refusal: Refusal, { unconnected, unreachable, refused }: Words): string {
  if (refusal.kind === "problem") return refused(refusal.problem.detail ?? refusal.problem.code);
  return refusal.kind === "unconnected" ? unconnected : unreachable;
}

function Messages({ pane }: { pane: Pane }) {
  const entries = pane.entries.value;
  const { messages_of, transports, nothing_yet } = words.value;
  return (
    <div class="messages-frame">
      {entries.length === 0 && pane.state.value.kind === "online" && <p class="nothing">{nothing_yet}</p>}
      <ul class="messages" data-testid="messages" aria-label={messages_of(transports[pane.name])} tabIndex={0}>
        {entries.map((entry) => (
          <EntryLine key={entry.key} entry={entry} own={nickname.value} />
        ))}
      </ul>
    </div>
  );
}

function Figures({ pane }: { pane: Pane }) {
  const traffic = pane.traffic.value;
  const latency = pane.latency.value;
  const tag = language.value;
  const {
    requests,
    empty,
    down,
    up,
    latency: latencyTitle,
    latency_median,
    latency_none,
    units,
    time_units,
  } = words.value;
  const count = (value: number | undefined): string =>
    value === undefined ? latency_none : new Intl.NumberFormat(tag).format(value);
  const size = (value: number | undefined): string => (value === undefined ? latency_none : bytes(tag, value, units));
  const time = latency
    ? `${duration(tag, latency.last_ms, time_units)} · ${latency_median} ${duration(tag, latency.median_ms, time_units)}`
    : latency_none;
  return (
    <dl class="figures">
      <Figure name={requests} value={count(traffic?.requests)} raw={traffic?.requests} testId="requests" />
      <Figure name={empty} value={count(traffic?.empty)} raw={traffic?.empty} testId="empty" />
      <Figure name={down} value={size(traffic?.bytes_down)} raw={traffic?.bytes_down} testId="down" />
      <Figure name={up} value={size(traffic?.bytes_up)} raw={traffic?.bytes_up} testId="up" />
      <Figure name={latencyTitle} value={time} raw={latency?.last_ms} testId="latency" />
    </dl>
  );
}

/** `raw` is the figure as it came, for tests. */
function Figure({
  name,
  value,
  raw,
  testId,
}: {
  name: string;
  value: string;
  raw: number | undefined;
  testId: string;
}) {
  return (
    <div class={`figure figure-${testId}`}>
      <dt>{name}</dt>
      <dd data-testid={testId} data-value={raw}>
        {value}
      </dd>
    </div>
  );
}
