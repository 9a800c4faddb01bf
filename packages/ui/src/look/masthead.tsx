// The head of every page: the mark, the way to the other pages, what a page puts there itself, language and light.
// Knows no channel and no client.
import type { ComponentChildren } from "preact";
import { language, theme, type Theme } from "../preferences.ts";
import { home } from "./home.ts";
import { lookWords, pages, type PageName } from "./words.ts";

const next_theme: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

const folders: Record<PageName, string> = { chat: "", "by-hand": "by-hand/", lab: "lab/", demos: "demos/" };

interface Properties {
  page: PageName;
  /** One sentence about the page, left out where there is no room. */
  tagline?: string;
  /** What stands after `#` in the addresses of the two chat pages: the channel, percent-encoded. */
  channel?: string;
  /** Fields of the page's own. */
  children?: ComponentChildren;
}

export function Masthead({ page, tagline, channel, children }: Properties) {
  const words = lookWords.value;
  const hash = channel === undefined ? "" : `#${channel}`;
  const address = (to: PageName): string => `${home()}${folders[to]}${to === "chat" || to === "by-hand" ? hash : ""}`;
  return (
    <header class="masthead">
      <a class="brand" href={address("chat")}>
        <svg viewBox="0 0 32 32" aria-hidden="true" class="mark">
          <circle cx="16" cy="16" r="3.2" />
          <path d="M9.6 22.4a9 9 0 0 1 0-12.8M22.4 9.6a9 9 0 0 1 0 12.8M5 27A15.5 15.5 0 0 1 5 5M27 5a15.5 15.5 0 0 1 0 22" />
        </svg>
        efir
      </a>
      <nav class="pages" aria-label={words.navigation}>
        {pages.map((one) => (
          <a key={one} href={address(one)} aria-current={one === page ? "page" : undefined}>
            {words.pages[one]}
          </a>
        ))}
      </nav>
      {tagline !== undefined && <p class="tagline">{tagline}</p>}
      {children !== undefined && <div class="fields">{children}</div>}
      <Switches />
    </header>
  );
}

function Switches() {
  const words = lookWords.value;
  return (
    <div class="switches">
      <button
        type="button"
        class="quiet"
        data-testid="lang"
        lang={language.value === "ru" ? "en" : "ru"}
        onClick={() => (language.value = language.value === "ru" ? "en" : "ru")}
      >
        {words.other_language}
      </button>
      <button
        type="button"
        class="quiet"
        data-testid="theme"
        data-value={theme.value}
        title={words.theme}
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
        <span class="unseen">{words.theme}: </span>
        {words.themes[theme.value]}
      </button>
    </div>
  );
}
