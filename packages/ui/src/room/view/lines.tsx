// One line of the conversation: a message, a gap, or something typed here that is not in the log yet.
import { duration } from "../../numbers.ts";
import { language } from "../../preferences.ts";
import type { Readable } from "../../payload.ts";
import { timeOfDay, Words } from "../../view/content.tsx";
import type { TransportName } from "../../wire.ts";
import type { Draft, Line, MessageLine } from "../conversation.ts";
import type { Room } from "../room.ts";
import { words } from "../words.ts";

export function LineView({ line }: { line: Line }) {
  if (line.kind === "message") return <MessageView line={line} />;
  const { gap, gap_reasons } = words.value;
  return (
    <li class="gap-line" data-gap={line.reason}>
      {gap(gap_reasons[line.reason] ?? line.reason)}
    </li>
  );
}

function MessageView({ line }: { line: MessageLine }) {
  const { readable, isOwn, isContinued, time } = line;
  const classes = ["said", isOwn && "own", isContinued && "continued"].filter(Boolean).join(" ");
  return (
    <li class={classes} data-position={line.position}>
      {!isOwn && <Face readable={readable} />}
      <div class="bubble">
        <p class="said-by">
          <b class={isContinued ? "unseen" : ""}>{readable.from ?? words.value.anonymous}</b>
          <Via name={readable.via} />
          <time dateTime={new Date(time).toISOString()}>{timeOfDay(time)}</time>
        </p>
        <Words content={readable.content} />
      </div>
    </li>
  );
}

/** The transport that the sender says it used. */
function Via({ name }: { name: string | undefined }) {
  if (name === undefined) return null;
  return (
    <span class="via" data-transport={name}>
      {words.value.transports_short[name as TransportName] ?? name}
    </span>
  );
}

/** The first letter of a name on a colour of its own, so that voices are told apart at a glance. */
export function Face({ readable }: { readable: Pick<Readable, "from" | "member"> }) {
  const name = readable.from ?? "";
  const letter = /\p{L}|\p{N}/u.exec(name)?.[0]?.toUpperCase() ?? "·";
  const hue = hueOf(readable.member ?? name);
  return (
    <span class="face" aria-hidden="true" ref={(element) => element?.style.setProperty("--turn", `${hue}`)}>
      {letter}
    </span>
  );
}

/** A hue in degrees that stays the same for the same text. */
function hueOf(text: string): number {
  let hash = 7;
  for (const sign of text) hash = (hash * 31 + (sign.codePointAt(0) ?? 0)) % 360;
  return hash;
}

export function DraftView({ draft, room }: { draft: Draft; room: Room }) {
  const { fate } = draft;
  const text = words.value;
  const isStuck = fate.kind === "refused" || fate.kind === "unknown";
  const isWaiting = fate.kind === "sending" && room.steadyAir.value !== "online";
  const shown = isWaiting ? "waiting" : fate.kind;
  return (
    <li class={`said own draft ${isStuck ? "stuck" : ""}`} data-draft={shown}>
      <div class="bubble">
        <Words content={{ kind: "text", text: draft.text }} />
        <p class="fate" aria-live="polite">
          {shown === "waiting" && text.fate_waiting}
          {shown === "sending" && <span class="late">{text.fate_sending}</span>}
          {fate.kind === "refused" && text.fate_refused(fate.why)}
          {fate.kind === "unknown" && text.fate_unknown}
        </p>
        {isStuck && (
          <p class="choices">
            {(fate.kind === "unknown" || fate.isRetryable) && (
              <button type="button" class="quiet" onClick={() => room.again(draft)}>
                {text.again}
              </button>
            )}
            <button type="button" class="quiet" onClick={() => room.discard(draft)}>
              {text.discard}
            </button>
          </p>
        )}
      </div>
    </li>
  );
}

/** A time span as people read it. */
export function spanText(ms: number): string {
  return duration(language.value, ms, words.value.time_units);
}
