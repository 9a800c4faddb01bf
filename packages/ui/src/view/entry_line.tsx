// One line of a pane's list: a message of whatever kind, or a gap.
import { duration } from "../numbers.ts";
import type { Entry } from "../panes.ts";
import { isBy } from "../payload.ts";
import { language, memberId } from "../preferences.ts";
import type { TransportName } from "../wire.ts";
import { words } from "../words.ts";
import { timeOfDay, Words } from "./content.tsx";

type MessageEntry = Extract<Entry, { kind: "message" }>;
type GapEntry = Extract<Entry, { kind: "gap" }>;

export function EntryLine({ entry, own }: { entry: Entry; own: string }) {
  return entry.kind === "gap" ? <GapLine entry={entry} /> : <MessageLine entry={entry} own={own} />;
}

function GapLine({ entry }: { entry: GapEntry }) {
  const { reason } = entry.gap;
  return (
    <li class="gap" data-gap={reason}>
      {words.value.gap(words.value.gap_reasons[reason] ?? reason)}
    </li>
  );
}

function MessageLine({ entry, own }: { entry: MessageEntry; own: string }) {
  const { message, readable, isCaughtUp, latency_ms } = entry;
  const { anonymous, transports_short, caught_up, time_units } = words.value;
  const transport =
    readable.via === undefined ? undefined : (transports_short[readable.via as TransportName] ?? readable.via);
  const classes = ["message", isBy(readable, { id: memberId, name: own }) ? "own" : "", isCaughtUp ? "caught-up" : ""]
    .filter(Boolean)
    .join(" ");
  return (
    <li class={classes} data-position={message.position}>
      <p class="meta">
        <b>{readable.from ?? anonymous}</b>
        {transport !== undefined && <span class="via">{transport}</span>}
        {isCaughtUp && <mark>{caught_up}</mark>}
        <span class="when">
          {latency_ms !== undefined && <span class="took">{duration(language.value, latency_ms, time_units)}</span>}
          <time dateTime={new Date(message.time).toISOString()}>{timeOfDay(message.time)}</time>
        </span>
      </p>
      <Words content={readable.content} />
    </li>
  );
}
