// `share: tabs()`: the tabs of an origin share one connection. One of them, the leader, connects; the others are told by it.
import type { Share } from "./link.ts";

/** Without Web Locks or BroadcastChannel (Node, insecure pages) every tab connects by itself. */
export function tabs(): Share {
  return {
    begin(core) {
      core.carryBy(undefined);
      return () => undefined;
    },
  };
}
