// Where the lab begins.
import { render } from "preact";
import { dress } from "../look/document.ts";
import { start } from "./lab.ts";
import { LabView } from "./view/lab_view.tsx";
import { words } from "./words.ts";
import "../style/tokens.css";
import "../style/base.css";
import "../style/masthead.css";
import "./style/lab.css";
import "./style/cable.css";
import "./style/figures.css";
import "./style/sequence.css";

dress(() => words.value.title);

const place = document.getElementById("page");
if (place) {
  start();
  render(<LabView />, place);
}
