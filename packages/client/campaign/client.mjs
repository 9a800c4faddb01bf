// The client under test: as built (`EFIR_CLIENT` names another build), with a WebSocket where Node has none of its own.
import { setMaxListeners } from "node:events";
import { WebSocket } from "undici";

globalThis.WebSocket ??= WebSocket;

export const { connect } = await import(process.env.EFIR_CLIENT ?? new URL("../dist/index.js", import.meta.url).href);

/** What a page hears of the world it is in: Node has none, so here is one. */
const world = new EventTarget();
setMaxListeners(0, world);
globalThis.addEventListener ??= world.addEventListener.bind(world);
globalThis.removeEventListener ??= world.removeEventListener.bind(world);

/** Tells every client `pageshow` (the page is back) or `online` (the network is). */
export function announce(name) {
  world.dispatchEvent(new Event(name));
}
