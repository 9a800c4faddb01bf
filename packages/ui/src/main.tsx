// Where the page begins.
import { effect } from "@preact/signals";
import { render } from "preact";
import { start } from "./page.ts";
import { language, theme } from "./preferences.ts";
import { App } from "./view/app.tsx";
import { words } from "./words.ts";
import "./style/tokens.css";
import "./style/page.css";
import "./style/pane.css";
import "./style/by_hand.css";

effect(() => {
  document.documentElement.lang = language.value;
  document.title = words.value.title;
});

effect(() => {
  if (theme.value === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.value;
});

const place = document.getElementById("page");
if (place) {
  start();
  render(<App />, place);
}
