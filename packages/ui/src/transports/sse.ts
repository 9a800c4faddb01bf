// Server-Sent Events through the browser's EventSource, which comes back by itself with `Last-Event-ID`. Where it gives up for good
// (any status but 200, some network errors in Firefox) the reader makes a new one after its cursor. Twin of sse in efir-transports.
import { readControl, type Message } from "../wire.ts";
import { SilenceWatch, type Link, type Span, type Transport } from "./transport.ts";

const control_events = ["hello", "heartbeat", "gap", "problem"] as const;

export function sse(): Transport {
  return { isHeld: true, run: listen };
}

function listen(link: Link, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return resolve();
    const source = new EventSource(link.address());
    let span: Span | undefined = link.begin();
    const leave = (settle: () => void): void => {
      watch.stop();
      source.close();
      span?.end(signal.aborted ? "ended" : "failed");
      signal.removeEventListener("abort", aborted);
      settle();
    };
    const watch = new SilenceWatch(() => leave(() => reject(new Error("silence"))));
    const aborted = (): void => leave(resolve);
    signal.addEventListener("abort", aborted);

    source.onopen = () => {
      watch.heard();
      span ??= link.begin();
    };
    source.onerror = () => {
      watch.heard();
      if (source.readyState === EventSource.CLOSED) return leave(() => reject(new Error("closed")));
      span?.end("ended");
      span = undefined;
      link.down();
    };
    source.onmessage = (event: MessageEvent<string>) => {
      watch.heard();
      link.push({ kind: "message", message: JSON.parse(event.data) as Message });
    };
    for (const name of control_events) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        watch.heard();
        const push = readControl(name, JSON.parse(event.data) as Record<string, unknown>);
        if (push.kind === "hello") {
          watch.expect(push.hello.heartbeat_ms);
          link.up();
        }
        link.push(push);
      });
    }
  });
}
