// What the visitor chose, kept in this browser: nickname, language, theme. Where storage is closed, for this visit only.
import { signal, type Signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
export type Language = "en" | "ru";

/** A signal that is written to storage whenever it changes. */
function kept<T extends string>(key: string, initial: (stored: string | null) => T): Signal<T> {
  const name = `efir.${key}`;
  const value = signal(initial(read(name)));
  let isFirst = true;
  value.subscribe((current) => {
    if (!isFirst) write(name, current);
    isFirst = false;
  });
  return value;
}

export const theme = kept<Theme>("theme", (stored) => (stored === "light" || stored === "dark" ? stored : "auto"));

export const language = kept<Language>("language", (stored) =>
  stored === "en" || stored === "ru" ? stored : browserLanguage(navigator.languages),
);

export const nickname = kept<string>(
  "nickname",
  (stored) => stored ?? `${language.value === "ru" ? "гость" : "guest"}-${Math.floor(Math.random() * 900 + 100)}`,
);

// A made-up name is kept at once, so that all windows go by the same one.
write("efir.nickname", nickname.peek());

/** The first of the browser's languages that the page speaks. */
export function browserLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const primary = tag.toLowerCase().split("-")[0];
    if (primary === "ru" || primary === "en") return primary;
  }
  return "en";
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Closed storage: the choice lives as long as the page.
  }
}
