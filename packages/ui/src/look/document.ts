// What the document itself shows of the visitor's choices: its language, its theme, its title.
import { effect } from "@preact/signals";
import { language, theme } from "../preferences.ts";

/** Keeps the document so from now on. `title` is asked for again whenever a signal that it reads has changed. */
export function dress(title: () => string): void {
  effect(() => {
    document.documentElement.lang = language.value;
    document.title = title();
  });
  effect(() => {
    if (theme.value === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme.value;
  });
}
