// The whole page: questions, what is published, the network, the five transports, plots, sequences, results. Where the server has no
// lab, how to switch it on.
import { Code } from "../../look/code.tsx";
import { Masthead } from "../../look/masthead.tsx";
import { askWhetherOn, isOn, isUnreachable, leaseState, phase, results, takeOver } from "../lab.ts";
import { words } from "../words.ts";
import { CableView } from "./cable_view.tsx";
import { Lanes } from "./lanes.tsx";
import { Plots } from "./plots.tsx";
import { Questions } from "./questions.tsx";
import { ResultsView } from "./results_view.tsx";
import { Sequences } from "./sequences.tsx";
import { Settings } from "./settings.tsx";

export function LabView() {
  const { heading, tagline } = words.value;
  return (
    <>
      <Masthead page="lab" tagline={tagline} />
      <main class="lab">
        <h1 class="unseen">{heading}</h1>
        {isUnreachable.value && <Unreachable />}
        {isOn.value === false ? <Off /> : <Bench />}
        {(isOn.value !== false || results.value) && (
          <>
            {isOn.value !== false && <Sequences />}
            <Plots />
            <ResultsView />
          </>
        )}
      </main>
      <Voice />
    </>
  );
}

/** What needs the server's lab. */
function Bench() {
  return (
    <>
      {leaseState.value === "elsewhere" && <Banner />}
      <Questions />
      <div class="desk">
        <Settings />
        <CableView />
      </div>
      <Lanes />
    </>
  );
}

function Off() {
  const { off, off_why, off_how, off_config, off_results } = words.value;
  return (
    <section class="card off" data-testid="lab-off">
      <h2>{off}</h2>
      <p>{off_why}</p>
      <Code title={off_how} text="efir --lab" testId="enable" />
      <Code title={off_config} text="lab = true" testId="enable-key" />
      {results.value && <p>{off_results}</p>}
    </section>
  );
}

function Unreachable() {
  const { unreachable, again } = words.value;
  return (
    <div class="lab-banner" role="status">
      <p>{unreachable}</p>
      <button type="button" class="firm" onClick={() => void askWhetherOn()}>
        {again}
      </button>
    </div>
  );
}

function Banner() {
  const { held_elsewhere, take_over } = words.value;
  return (
    <div class="lab-banner" role="status">
      <p>{held_elsewhere}</p>
      <button type="button" class="firm" data-testid="takeover" onClick={takeOver}>
        {take_over}
      </button>
    </div>
  );
}

/** Says when a run begins, waits and ends; its figures stand in the table. */
function Voice() {
  return (
    <p class="unseen" aria-live="polite">
      {phase.value === "idle" ? "" : words.value.phase[phase.value]}
    </p>
  );
}
