// Draws what befalls each connection from a seed. The kinds are those of e2e/stage/faults.mjs; here stands how often and how hard.

/** How often each kind is drawn, in parts; `none` leaves a connection its life. */
const weights = {
  none: 4,
  cut: 14,
  reset: 16,
  truncate: 12,
  silence: 8,
  half_open: 6,
  delay: 6,
  buffer: 8,
  idle: 10,
  refuse: 6,
  gateway: 6,
  portal: 4,
  repeat: 14,
};
/** Only where somebody asks for an upgrade. */
const weights_upgrade = { strip: 8, swallow_upgrade: 4 };

/** A cut falls anywhere from the first byte to so many. */
const down_bytes_max = 30_000;
/** A request's head and a small body. */
const up_bytes_max = 1_200;

/** A plan for `Proxy.fault`: the same faults for the same seed and the same number of a connection. */
export function plan(random, { upgrades }) {
  const chosen = upgrades ? { ...weights, ...weights_upgrade } : weights;
  return (index) => {
    const own = random.of(`connection ${index}`);
    const kind = own.weighted(chosen);
    // None lives for ever, so that none of the faults has to wait for the others.
    const faults = [{ kind: "expire", ms: own.scaled(700, 6_000) }];
    if (kind !== "none") faults.push({ kind, ...draws[kind]?.(own) });
    // A slow wire breaks, too.
    if (kind !== "delay" && own.chance(0.15)) faults.push({ kind: "delay", ms: own.between(2, 25) });
    return faults;
  };
}

const anywhere = (own) => {
  const way = own.chance(0.75) ? "down" : "up";
  return { way, after: own.scaled(1, way === "down" ? down_bytes_max : up_bytes_max) - 1 };
};

/** Nobody is told for a while; one in twelve never. */
const unheard = (own) => ({ after: own.scaled(1, down_bytes_max) - 1, ms: own.chance(1 / 12) ? undefined : own.between(100, 900) });

const draws = {
  cut: anywhere,
  reset: anywhere,
  truncate: (own) => ({ after: own.scaled(1, down_bytes_max) - 1 }),
  silence: unheard,
  half_open: unheard,
  delay: (own) => ({ ms: own.between(5, 80) }),
  buffer: (own) => ({ ms: own.between(50, 400), sockets: own.chance(0.5) }),
  idle: (own) => ({ ms: own.between(40, 190) }),
  gateway: (own) => ({ status: own.pick([502, 503, 504]) }),
  repeat: (own) => ({ skip: own.between(0, 4) }),
  strip: (own) => ({ answer: own.pick([200, 400]) }),
};
