// Where the page of the five panes begins.
import { render } from "preact";
import { dress } from "./look/document.ts";
import { start } from "./page.ts";
import { App } from "./view/app.tsx";
import { words } from "./words.ts";
import "./style/tokens.css";
import "./style/base.css";
import "./style/masthead.css";
import "./style/page.css";
import "./style/pane.css";
import "./style/by_hand.css";

dress(() => words.value.title);

const place = document.getElementById("page");
if (place) {
  start();
  render(<App />, place);
}
