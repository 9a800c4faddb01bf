// The ways in which a client can be carried, which are the legs of the campaign: each transport alone, automatic choice, and switching.

/** As on the wire, best first. */
export const transports = ["websocket", "sse", "http-stream", "long-poll", "short-poll"];

export const ways = [
  ...transports.map((transport) => ({ name: transport, options: { transport }, upgrades: transport === "websocket" })),
  { name: "automatic", options: {}, upgrades: true },
  { name: "switching", options: {}, upgrades: true, isSwitching: true },
];
