// WebSocket: one connection that carries both ways; what is sent in it is published (`?payload=json`). Twin of websocket in
// efir-transports.
import { readPush } from "../wire.ts";
import { SilenceWatch, type Link, type Transport } from "./transport.ts";

/** 1000 and 1001: the server ended it in good order (drain, rotation). */
const orderly_codes: readonly number[] = [1000, 1001];

export function websocket(): Transport {
  let current: WebSocket | undefined;
  return {
    isHeld: false,
    run(link, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return resolve();
        const socket = connect(link);
        current = socket;
        const span = link.begin();
        const leave = (settle: () => void, outcome: "ended" | "failed"): void => {
          watch.stop();
          if (current === socket) current = undefined;
          socket.onmessage = socket.onclose = null;
          socket.close();
          span.end(outcome);
          signal.removeEventListener("abort", aborted);
          settle();
        };
        const watch = new SilenceWatch(() => leave(() => reject(new Error("silence")), "failed"));
        const aborted = (): void => leave(resolve, "ended");
        signal.addEventListener("abort", aborted);

        socket.onmessage = (event: MessageEvent<string>) => {
          watch.heard();
          const push = readPush(event.data);
          if (push.kind === "hello") {
            watch.expect(push.hello.heartbeat_ms);
            link.up();
          }
          link.push(push);
        };
        socket.onclose = (event) => {
          if (orderly_codes.includes(event.code)) return leave(resolve, "ended");
          leave(() => reject(new Error(`closed: ${event.code} ${event.reason}`)), "failed");
        };
      });
    },
    publish(payload) {
      if (current?.readyState !== WebSocket.OPEN) return false;
      current.send(payload);
      return true;
    },
  };
}

function connect(link: Link): WebSocket {
  const address = new URL(link.address({ payload: "json" }));
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address);
}
