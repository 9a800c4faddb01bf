// What the visitor chose, kept in this browser and the same in all its windows: nickname, language, theme; and the visitor's id in
// presence. Where storage is closed, for this visit only.
import { signal, type Signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
export type Language = "en" | "ru";

/** A signal that is written to storage whenever it changes, and follows what other windows write there. */
function kept<T extends string>(key: string, initial: (stored: string | null) => T): Signal<T> {
  const name = `efir.${key}`;
  const value = signal(initial(read(name)));
  let isFirst = true;
  value.subscribe((current) => {
    if (!isFirst) write(name, current);
    isFirst = false;
  });
  addEventListener("storage", (event) => {
    if (event.key === name && event.newValue !== null) value.value = initial(event.newValue);
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

/** Who this browser profile is in presence, whatever its name and in however many windows. */
export const memberId: string = keptId();

function keptId(): string {
  const stored = read("efir.member");
  if (stored !== null && /^[A-Za-z0-9._~-]{8,64}$/.test(stored)) return stored;
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const made = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  write("efir.member", made);
  return made;
}

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
