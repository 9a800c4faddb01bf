// The page of the main room: the conversation, and beside it (on a narrow screen above it, one at a time) who is here, the transport,
// the way in from a terminal.
import { signal, useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import protocol from "paper:protocol";
import { encodeName } from "../../channel.ts";
import { Code } from "../../look/code.tsx";
import { home } from "../../look/home.ts";
import { Masthead } from "../../look/masthead.tsx";
import { channel } from "../../place.ts";
import type { Room } from "../room.ts";
import { words } from "../words.ts";
import { CompanyView } from "./company_view.tsx";
import { Talk } from "./talk.tsx";
import { TransportView } from "./transport_view.tsx";

export type Panel = "company" | "transport" | "terminal";

/** Which panel a narrow screen shows. */
export const openPanel = signal<Panel | undefined>(undefined);

const narrow = matchMedia("(max-width: 759px)");
const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));

export function App({ room }: { room: Room }) {
  return (
    <>
      <Masthead page="chat" tagline={words.value.tagline} channel={encodeName(channel.value)} />
      <main class="room">
        <h1 class="unseen">{words.value.title}</h1>
        {isNarrow.value && <PanelBar room={room} />}
        {isNarrow.value && openPanel.value !== undefined && <Panels room={room} only={openPanel.value} />}
        <Talk room={room} />
        {!isNarrow.value && <Panels room={room} />}
      </main>
      <Links />
    </>
  );
}

function Panels({ room, only }: { room: Room; only?: Panel }) {
  const isShown = (panel: Panel): boolean => only === undefined || only === panel;
  return (
    <aside class="panels" id="panels" aria-label={words.value.panels}>
      {isShown("company") && <CompanyView company={room.company} />}
      {isShown("transport") && <TransportView room={room} />}
      {isShown("terminal") && <Terminal />}
    </aside>
  );
}

/** What the panels say in a word, and the way to them. */
function PanelBar({ room }: { room: Room }) {
  const told = room.company.told.value;
  const count = useComputed(() => {
    const now = room.company.told.value;
    return now.kind === "members" || now.kind === "count" ? now.count : undefined;
  }).value;
  const text = words.value;
  return (
    <div class="panel-bar">
      <PanelButton panel="company">
        {count === undefined || told.kind === "asking" ? text.company : text.company_count(count)}
      </PanelButton>
      <PanelButton panel="transport">
        {room.transport.value === null ? text.transport : text.transports[room.transport.value]}
      </PanelButton>
      <PanelButton panel="terminal">curl</PanelButton>
    </div>
  );
}

function PanelButton({ panel, children }: { panel: Panel; children: ComponentChildren }) {
  const isOpen = openPanel.value === panel;
  return (
    <button
      type="button"
      class="quiet"
      data-testid={`open-${panel}`}
      aria-expanded={isOpen}
      aria-controls="panels"
      onClick={() => (openPanel.value = isOpen ? undefined : panel)}
    >
      {children}
    </button>
  );
}

function Terminal() {
  const { terminal, terminal_text } = words.value;
  const address = `${home()}channels/${encodeName(channel.value)}`;
  return (
    <section class="card panel">
      <Code title={terminal} text={`curl -d '${terminal_text}' '${address}'`} testId="curl-publish" />
    </section>
  );
}

function Links() {
  const { links, link_protocol, link_limits, link_channel, link_presence } = words.value;
  const own = `${home()}channels/${encodeName(channel.value)}`;
  return (
    <footer class="links">
      <nav aria-label={links}>
        <a href={protocol}>{link_protocol}</a>
        <a href={`${home()}info`}>{link_limits}</a>
        <a href={own}>{link_channel}</a>
        <a href={`${own}/presence`}>{link_presence}</a>
      </nav>
    </footer>
  );
}
