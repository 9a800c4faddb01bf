// The whole page of the five panes: masthead, the five panes, what the strips mean, links; and the two things that concern all of it: the banner of a
// window without the lease, and the voice for screen readers.
import { useEffect, useRef } from "preact/hooks";
import protocol from "paper:protocol";
import { encodeName } from "../channel.ts";
import { Code } from "../look/code.tsx";
import { activePane, base, leaseState, panes, takeOver } from "../page.ts";
import { channel } from "../place.ts";
import { shownPane } from "./shown_pane.ts";
import { words } from "../words.ts";
import { ByHand } from "./by_hand.tsx";
import { Masthead } from "./masthead.tsx";
import { PaneView } from "./pane_view.tsx";

export function App() {
  return (
    <>
      <Masthead />
      {leaseState.value === "elsewhere" && <Banner />}
      <Tabs />
      <main class="panes" aria-label={words.value.panes} id="panes">
        <h1 class="unseen">{words.value.title}</h1>
        {panes.map((pane) => (
          <PaneView key={pane.name} pane={pane} />
        ))}
        <Legend />
      </main>
      <Links />
      <Voice />
      <ByHand />
    </>
  );
}

function Banner() {
  return (
    <div class="banner" role="status">
      <p>{words.value.held_elsewhere}</p>
      <button type="button" class="firm" data-testid="takeover" onClick={takeOver}>
        {words.value.take_over}
      </button>
    </div>
  );
}

/** On a narrow screen the panes stand side by side and one is seen: this goes to another one. */
function Tabs() {
  const shown = useRef(shownPane([...panes.map((pane) => pane.name), "legend"])).current;
  useEffect(() => shown.watch(), [shown]);
  return (
    <nav class="tabs" aria-label={words.value.panes}>
      {panes.map(({ name }) => (
        <button
          type="button"
          key={name}
          data-transport={name}
          aria-current={shown.name.value === name}
          title={words.value.transports[name]}
          onClick={() => shown.go(name)}
        >
          {words.value.transports_short[name]}
        </button>
      ))}
      <button
        type="button"
        aria-current={shown.name.value === "legend"}
        aria-label={words.value.legend}
        onClick={() => shown.go("legend")}
      >
        ?
      </button>
    </nav>
  );
}

const legend_rows = ["bar", "empty", "failed", "message", "caught_up", "gap", "sent", "heartbeat", "cut"] as const;

function Legend() {
  const text = words.value;
  const address = new URL(`channels/${encodeName(channel.value)}`, base).href;
  return (
    <aside class="legend" id="pane-legend">
      <h2>{text.legend}</h2>
      <ul>
        {legend_rows.map((row) => (
          <li key={row}>
            <span class={`sign sign-${row}`} aria-hidden="true" />
            {text[`legend_${row}`]}
          </li>
        ))}
      </ul>
      <p class="hint">{text.try_hint}</p>
      <Code title={text.try_curl} text={`curl -d '${text.try_curl_text}' '${address}'`} testId="curl-publish" />
    </aside>
  );
}

function Links() {
  const { links, link_protocol, link_limits, link_channel, link_traffic } = words.value;
  const traffic = new URLSearchParams(panes.map((pane) => ["client", pane.client]));
  return (
    <footer class="links">
      <nav aria-label={links}>
        <a href={protocol}>{link_protocol}</a>
        <a href={`${base}info`}>{link_limits}</a>
        <a href={`${base}channels/${encodeName(channel.value)}`}>{link_channel}</a>
        <a href={`${base}traffic?${traffic}`}>{link_traffic}</a>
      </nav>
    </footer>
  );
}

/** Says the newest message of the pane where the visitor works, once, however many panes show it. */
function Voice() {
  const pane = panes.find((one) => one.name === activePane.value);
  const newest = pane?.entries.value[0];
  return (
    <p class="unseen" aria-live="polite" data-testid="voice">
      {newest?.kind === "message" &&
        newest.readable.content.kind === "text" &&
        `${newest.readable.from ?? words.value.anonymous}: ${newest.readable.content.text}`}
    </p>
  );
}
