// Where the page of the main room begins.
import { render } from "preact";
import { dress } from "../look/document.ts";
import { Room } from "./room.ts";
import { App } from "./view/app.tsx";
import { words } from "./words.ts";
import "../style/tokens.css";
import "../style/base.css";
import "../style/masthead.css";
import "../style/room.css";
import "../style/panels.css";

const place = document.getElementById("page");
if (place) {
  const room = new Room();
  dress(() => (room.unseen.value > 0 ? words.value.title_unseen(room.unseen.value) : words.value.title));
  room.start();
  render(<App room={room} />, place);
}
