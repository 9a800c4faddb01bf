// HTTP streaming: one answer that does not end, one JSON object a line. Twin of http_stream in efir-transports.
import { LineSplitter } from "../ndjson.ts";
import { readPush } from "../wire.ts";
import { request, SilenceWatch, type Link, type Transport } from "./transport.ts";

export function httpStream(): Transport {
  return { isHeld: true, run: read };
}

async function read(link: Link, signal: AbortSignal): Promise<void> {
  const span = link.begin();
  const silence = new AbortController();
  const watch = new SilenceWatch(() => silence.abort(new Error("silence")));
  try {
    const both = AbortSignal.any([signal, silence.signal]);
    const response = await request(link.address(), both, { Accept: "application/x-ndjson" });
    const body = response.body?.getReader();
    const lines = new LineSplitter();
    for (;;) {
      const chunk = await body?.read();
      if (!chunk || chunk.done) break;
      watch.heard();
      for (const line of lines.push(chunk.value)) takeLine(line, link, watch);
    }
    span.end("ended");
  } catch (error) {
    span.end(signal.aborted ? "ended" : "failed");
    throw error;
  } finally {
    watch.stop();
  }
}

function takeLine(line: string, link: Link, watch: SilenceWatch): void {
  const push = readPush(line);
  if (push.kind === "hello") {
    watch.expect(push.hello.heartbeat_ms);
    link.up();
  }
  link.push(push);
}
