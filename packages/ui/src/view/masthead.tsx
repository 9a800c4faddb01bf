// The head of the page: which channel, under which name, in which language and light.
import { useSignal, useSignalEffect } from "@preact/signals";
import { channel, visit } from "../page.ts";
import { language, nickname, theme, type Theme } from "../preferences.ts";
import { words } from "../words.ts";

const next_theme: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

export function Masthead() {
  return (
    <header class="masthead">
      <h1>
        <svg viewBox="0 0 32 32" aria-hidden="true" class="mark">
          <circle cx="16" cy="16" r="3.2" />
          <path d="M9.6 22.4a9 9 0 0 1 0-12.8M22.4 9.6a9 9 0 0 1 0 12.8M5 27A15.5 15.5 0 0 1 5 5M27 5a15.5 15.5 0 0 1 0 22" />
        </svg>
        efir
      </h1>
      <p class="tagline">{words.value.tagline}</p>
      <div class="fields">
        <ChannelField />
        <label class="field">
          <span>{words.value.nickname}</span>
          <input
            type="text"
            data-testid="nick"
            autocomplete="nickname"
            maxLength={40}
            value={nickname.value}
            onInput={(event) => (nickname.value = event.currentTarget.value)}
          />
        </label>
      </div>
      <div class="switches">
        <button
          type="button"
          class="quiet"
          data-testid="lang"
          lang={language.value === "ru" ? "en" : "ru"}
          onClick={() => (language.value = language.value === "ru" ? "en" : "ru")}
        >
          {words.value.other_language}
        </button>
        <button
          type="button"
          class="quiet"
          data-testid="theme"
          data-value={theme.value}
          title={words.value.theme}
          onClick={() => (theme.value = next_theme[theme.value])}
        >
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <circle cx="8" cy="8" r="5.6" />
            {theme.value === "auto" ? (
              <path d="M8 2.4a5.6 5.6 0 0 1 0 11.2z" />
            ) : (
              theme.value === "dark" && <circle cx="8" cy="8" r="5.6" class="full" />
            )}
          </svg>
          <span class="unseen">{words.value.theme}: </span>
          {words.value.themes[theme.value]}
        </button>
      </div>
    </header>
  );
}

/** The channel's name: takes effect on Enter or when the field is left. */
function ChannelField() {
  const typed = useSignal(channel.value);
  useSignalEffect(() => {
    typed.value = channel.value;
  });
  const go = (field: HTMLInputElement): void => {
    const isTaken = visit(field.value);
    field.setCustomValidity(isTaken ? "" : words.peek().channel_invalid);
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
      <label for="channel">{words.value.channel}</label>
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
