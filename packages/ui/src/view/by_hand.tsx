// The dialog that shows the same by hand: the browser lines and the curl line of a transport, ready to be copied.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Code } from "../look/code.tsx";
import { base } from "../page.ts";
import { channel } from "../place.ts";
import { snippet } from "../snippets.ts";
import type { TransportName } from "../wire.ts";
import { words } from "../words.ts";

/** Whose lines are shown; undefined while the dialog is closed. */
export const shownByHand = signal<TransportName | undefined>(undefined);

export function ByHand() {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = shownByHand.value;
  useEffect(() => {
    if (name !== undefined) dialog.current?.showModal();
    else dialog.current?.close();
  }, [name]);
  const { by_hand_title, by_hand_javascript, by_hand_curl, curl_websocket, transports, close } = words.value;
  const lines = name === undefined ? undefined : snippet(name, base, channel.value);
  return (
    <dialog
      ref={dialog}
      class="by-hand-dialog"
      data-testid="by-hand-dialog"
      aria-labelledby="by-hand-title"
      onClose={() => (shownByHand.value = undefined)}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      {name !== undefined && lines && (
        <div class="by-hand-body">
          <header>
            <h2 id="by-hand-title">{by_hand_title(transports[name])}</h2>
            <button type="button" class="quiet" onClick={() => dialog.current?.close()}>
              {close}
            </button>
          </header>
          <Code title={by_hand_javascript} text={lines.javascript} testId="javascript" />
          <Code title={by_hand_curl} text={lines.curl} testId="curl" />
          {name === "websocket" && <p class="hint">{curl_websocket}</p>}
        </div>
      )}
    </dialog>
  );
}
