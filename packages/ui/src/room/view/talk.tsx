// The conversation: which channel, how the connection is, what was said, the field to write in.
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { channel } from "../../place.ts";
import { ChannelField } from "../../view/fields.tsx";
import type { Room } from "../room.ts";
import { words } from "../words.ts";
import { Composer } from "./composer.tsx";
import { DraftView, LineView } from "./lines.tsx";

/** Nearer to the end than that, one follows what comes. */
const end_px = 60;

export function Talk({ room }: { room: Room }) {
  return (
    <section class="talk card" aria-label={words.value.conversation}>
      <header class="talk-head">
        <ChannelField />
        <AirLine room={room} />
      </header>
      <Lines room={room} />
      <Notice room={room} />
      <Composer room={room} key={channel.value} />
      <Voice room={room} />
    </section>
  );
}

function AirLine({ room }: { room: Room }) {
  const air = room.steadyAir.value;
  const transport = room.transport.value;
  const { air: airs, air_over, transports } = words.value;
  return (
    <p
      class="air"
      role="status"
      data-testid="air"
      data-state={air}
      data-transport={transport ?? undefined}
      data-now={room.air.value}
    >
      {air === "online" && transport !== null ? air_over(transports[transport]) : airs[air]}
    </p>
  );
}

/** What was said, newest last; follows the end until the visitor scrolls away from it. */
function Lines({ room }: { room: Room }) {
  const list = useRef<HTMLUListElement>(null);
  const isFollowing = useRef(true);
  const hasNewer = useSignal(false);
  const { lines, drafts } = room.conversation.value;
  const newest = lines.at(-1)?.key;
  const toEnd = (): void => {
    const box = list.current;
    if (box) box.scrollTop = box.scrollHeight;
  };
  // What one says oneself is always shown.
  useLayoutEffect(toEnd, [drafts.length]);
  useLayoutEffect(() => {
    if (isFollowing.current) toEnd();
    else hasNewer.value = true;
  }, [newest, hasNewer]);
  const { messages, nothing_yet, nothing_hint, denied, newer } = words.value;
  const why = room.denied.value?.message;
  const isEmpty = lines.length === 0 && drafts.length === 0 && room.air.value === "online";
  return (
    <div class="lines-frame">
      {isEmpty && (
        <div class="nothing">
          <p>{why === undefined ? nothing_yet : denied}</p>
          <p>{why ?? nothing_hint}</p>
        </div>
      )}
      <ul
        class="lines"
        data-testid="lines"
        ref={list}
        aria-label={messages}
        tabIndex={0}
        onScroll={({ currentTarget: box }) => {
          isFollowing.current = box.scrollHeight - box.scrollTop - box.clientHeight < end_px;
          if (isFollowing.current) hasNewer.value = false;
        }}
      >
        {lines.map((line) => (
          <LineView key={line.key} line={line} />
        ))}
        {drafts.map((draft) => (
          <DraftView key={draft.key} draft={draft} room={room} />
        ))}
      </ul>
      {hasNewer.value && (
        <button type="button" class="newer firm" onClick={toEnd}>
          {newer} ↓
        </button>
      )}
    </div>
  );
}

/** Why nothing comes just now, and what becomes of what is written meanwhile. */
function Notice({ room }: { room: Room }) {
  const air = room.steadyAir.value;
  if (air === "online") return null;
  const { notice, plug, reload } = words.value;
  const fault = room.fault.value;
  return (
    <div class="notice" data-testid="notice" data-state={air}>
      <p>{air === "closed" ? notice.closed(fault?.message ?? "–") : notice[air]}</p>
      {air === "cut" && (
        <button type="button" class="firm" onClick={() => room.cut(false)}>
          {plug}
        </button>
      )}
      {air === "closed" && (
        <button type="button" class="firm" onClick={() => location.reload()}>
          {reload}
        </button>
      )}
    </div>
  );
}

/** Says the newest message of others, once. */
function Voice({ room }: { room: Room }) {
  const newest = room.conversation.value.lines.at(-1);
  const text =
    newest?.kind === "message" && !newest.isOwn && newest.readable.content.kind === "text"
      ? `${newest.readable.from ?? words.value.anonymous}: ${newest.readable.content.text}`
      : "";
  return (
    <p class="unseen" aria-live="polite" data-testid="voice">
      {text}
    </p>
  );
}
