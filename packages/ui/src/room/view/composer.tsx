// The field to write in. It is never closed: what cannot go now waits.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { channel } from "../../place.ts";
import type { Room } from "../room.ts";
import { words } from "../words.ts";

const lines_px_max = 160;

export function Composer({ room }: { room: Room }) {
  const text = useSignal("");
  const field = useRef<HTMLTextAreaElement>(null);
  const { message_in, write_in, send } = words.value;
  const grow = (): void => {
    const box = field.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, lines_px_max)}px`;
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    const typed = text.value.trim();
    if (typed === "") return;
    text.value = "";
    room.say(typed);
    queueMicrotask(grow);
  };
  return (
    <form class="write" onSubmit={submit}>
      <textarea
        ref={field}
        rows={1}
        data-testid="write"
        aria-label={message_in(channel.value)}
        placeholder={write_in(channel.value)}
        autocomplete="off"
        enterkeyhint="send"
        maxLength={4000}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          grow();
        }}
        onKeyDown={(event) => {
          // Enter that chooses a word in an input method is not meant for us.
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
        }}
      />
      <button type="submit" class="send" data-testid="say" aria-label={send} title={send}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M2 8h11M9 3.5 13.5 8 9 12.5" />
        </svg>
      </button>
    </form>
  );
}
