// A client with a flaw planted in it, to prove that the campaign sees what it must. Each flaw strikes from time to time, at what the
// application is told.

/** Under what each flaw is counted by the judge. */
export const found = {
  "loses a message": "silent_gaps",
  "tells a message twice": "duplicated",
  "swaps two messages": "reordered",
  "changes a message": "other",
  "does not tell gaps": "silent_gaps",
};

/** `flaw(tell)` gives what stands between the client and a subscriber. */
const flaws = {
  "loses a message": (tell) => each(5, () => undefined, tell),
  "tells a message twice": (tell) => each(5, (message) => (tell(message), tell(message)), tell),
  "swaps two messages": (tell) => {
    let kept;
    return each(
      5,
      (message) => (kept = message),
      (message) => {
        tell(message);
        if (kept) tell(kept);
        kept = undefined;
      },
    );
  },
  "changes a message": (tell) => each(5, (message) => tell({ ...message, data: "something else" }), tell),
  "does not tell gaps": (tell) => tell,
};

/** Calls `struck` for every `count`th message, `tell` for the others. */
function each(count, struck, tell) {
  let n = 0;
  return (message) => (++n % count === 0 ? struck(message) : tell(message));
}

/** `connect` with that flaw. */
export function flawed(connect, name) {
  return (...args) => {
    const client = connect(...args);
    const channel = client.channel.bind(client);
    client.channel = (of) => {
      const handle = channel(of);
      return {
        publish: (...sent) => handle.publish(...sent),
        [Symbol.asyncIterator]: () => handle[Symbol.asyncIterator](),
        on: (event, tell) => (name === "does not tell gaps" ? () => undefined : handle.on(event, tell)),
        subscribe: (tell, options) => handle.subscribe(flaws[name](tell), options),
      };
    };
    return client;
  };
}
