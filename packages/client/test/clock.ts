// A clock that stands still until it is told to go, in the place of the machine's: no test waits for time.

interface Due {
  at: number;
  fn: () => void;
}

export interface Clock {
  now(): number;
  /** Goes on by so many ms; what is due runs in order, and what it promises is kept in between. */
  go(ms: number): Promise<void>;
  /** Lets promises be kept. */
  settle(): Promise<void>;
  /** How many timers are set. */
  waiting(): number;
  stop(): void;
}

const real = { setTimeout, clearTimeout, setImmediate, performanceNow: performance.now, dateNow: Date.now };

export function startClock(): Clock {
  let now = 1_000_000;
  let ids = 0;
  const due = new Map<number, Due>();
  const set = (fn: () => void, ms = 0): number => {
    due.set(++ids, { at: now + Math.max(0, ms), fn });
    return ids;
  };
  const clear = (id: unknown): void => void due.delete(id as number);
  Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
  performance.now = () => now;
  Date.now = () => now;

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await new Promise<void>((done) => void real.setImmediate(done));
  };
  return {
    now: () => now,
    settle,
    waiting: () => due.size,
    async go(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const [id, next] = [...due].sort(([a, x], [b, y]) => x.at - y.at || a - b)[0] ?? [];
        if (!next || next.at > end) break;
        due.delete(id!);
        now = next.at;
        next.fn();
        await settle();
      }
      now = end;
    },
    stop() {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
      performance.now = real.performanceNow;
      Date.now = real.dateNow;
    },
  };
}
