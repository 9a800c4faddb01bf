// The two fields of the chat pages: which channel, under which name.
import { useSignal, useSignalEffect } from "@preact/signals";
import { lookWords } from "../look/words.ts";
import { channel, visit } from "../place.ts";
import { nickname } from "../preferences.ts";

/** The visitor's name: takes effect with each letter. */
export function NameField() {
  return (
    <label class="field">
      <span>{lookWords.value.nickname}</span>
      <input
        type="text"
        data-testid="nick"
        autocomplete="nickname"
        maxLength={40}
        value={nickname.value}
        onInput={(event) => (nickname.value = event.currentTarget.value)}
      />
    </label>
  );
}

/** The channel's name: takes effect on Enter or when the field is left. */
export function ChannelField() {
  const typed = useSignal(channel.value);
  useSignalEffect(() => {
    typed.value = channel.value;
  });
  const go = (field: HTMLInputElement): void => {
    const isTaken = visit(field.value);
    field.setCustomValidity(isTaken ? "" : lookWords.peek().channel_invalid);
    if (isTaken) typed.value = field.value.trim().normalize("NFC");
    else field.reportValidity();
  };
  return (
    <form
      class="field"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("channel");
        if (field instanceof HTMLInputElement) go(field);
      }}
    >
      <label for="channel">{lookWords.value.channel}</label>
      <input
        id="channel"
        name="channel"
        type="text"
        data-testid="room"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        value={typed.value}
        onInput={(event) => {
          event.currentTarget.setCustomValidity("");
          typed.value = event.currentTarget.value;
        }}
        onChange={(event) => go(event.currentTarget)}
      />
    </form>
  );
}
