// The list of transports: one file and one line each.
import type { TransportName } from "../wire.ts";
import { httpStream } from "./http_stream.ts";
import { longPoll } from "./long_poll.ts";
import { shortPoll } from "./short_poll.ts";
import { sse } from "./sse.ts";
import type { Transport } from "./transport.ts";
import { websocket } from "./websocket.ts";

export const transports: Record<TransportName, () => Transport> = {
  "short-poll": shortPoll,
  "long-poll": longPoll,
  sse,
  "http-stream": httpStream,
  websocket,
};
