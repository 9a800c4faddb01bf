// Which pane of the side-by-side row (or the legend at its end) is in view on a narrow screen, and how to bring another one there.
import { signal, type Signal } from "@preact/signals";
import type { TransportName } from "../wire.ts";

export type Place = TransportName | "legend";

export interface ShownPane {
  readonly name: Signal<Place | undefined>;
  go(name: Place): void;
  /** Follows the scrolling; gives how to stop. */
  watch(): () => void;
}

export function shownPane(names: readonly Place[]): ShownPane {
  const name = signal<Place | undefined>(names[0]);
  const element = (of: Place): HTMLElement | null => document.getElementById(`pane-${of}`);
  return {
    name,
    go(to) {
      const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
      element(to)?.scrollIntoView({ behavior: isStill ? "auto" : "smooth", inline: "center", block: "nearest" });
    },
    watch() {
      const observer = new IntersectionObserver(
        (changes) => {
          const seen = changes.find((change) => change.isIntersecting);
          if (seen) name.value = names.find((one) => element(one) === seen.target);
        },
        { root: document.getElementById("panes"), threshold: 0.6 },
      );
      for (const one of names) {
        const pane = element(one);
        if (pane) observer.observe(pane);
      }
      return () => observer.disconnect();
    },
  };
}
