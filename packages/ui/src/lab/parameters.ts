// What a visitor can set for a run: the steps of the sliders, the ready-made settings, and the four questions that the lab answers.
// Knows no document and no server; the server has limits of its own and says so when they are exceeded.

/** `rate`: how many times a second; `burst`: how many messages at once; `size`: bytes of a payload. */
export interface Parameters {
  rate: number;
  size: number;
  burst: number;
  seconds: number;
}

export type ParameterName = keyof Parameters;

/** The positions of each slider: steps that differ to the eye, not every number. */
export const steps: Record<ParameterName, readonly number[]> = {
  rate: [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200],
  size: [60, 100, 200, 500, 1_000, 4_000, 16_000],
  burst: [1, 2, 5, 10, 20, 50, 100, 200],
  seconds: [10, 20, 30, 60],
};

export const messages_per_second_max = 200;

export const presetNames = ["quiet", "busy", "bursts"] as const;
export type PresetName = (typeof presetNames)[number];

export const presets: Record<PresetName, Parameters> = {
  quiet: { rate: 0.2, size: 100, burst: 1, seconds: 30 },
  busy: { rate: 20, size: 200, burst: 1, seconds: 30 },
  bursts: { rate: 1, size: 200, burst: 100, seconds: 20 },
};

export const first: Parameters = presets.busy;

/** What the server is asked to do to the visitor's network. */
export interface Network {
  cut: boolean;
  drop: boolean;
  buffer: boolean;
  /** Both ways together. */
  delay_ms: number;
  /** 0: as fast as it goes. */
  slow_bytes_per_s: number;
}

export const open_network: Network = { cut: false, drop: false, buffer: false, delay_ms: 0, slow_bytes_per_s: 0 };

export const network_steps = {
  delay_ms: [0, 50, 100, 200, 400, 800, 2_000],
  slow_bytes_per_s: [0, 64_000, 16_000, 4_000, 1_000],
} as const;

export function isOpen(network: Network): boolean {
  return (Object.keys(open_network) as Array<keyof Network>).every((name) => network[name] === open_network[name]);
}

/** One click each: a setting that makes the answer visible. `says_every_s`: the page itself publishes that often. */
export interface Question {
  parameters: Parameters;
  network: Partial<Network>;
  says_every_s?: number;
}

export const questionNames = ["waste", "hole", "oneway", "saves"] as const;
export type QuestionName = (typeof questionNames)[number];

export const questions: Record<QuestionName, Question> = {
  waste: { parameters: { rate: 0.2, size: 100, burst: 1, seconds: 30 }, network: {} },
  hole: { parameters: { rate: 5, size: 100, burst: 1, seconds: 30 }, network: { delay_ms: 800 } },
  oneway: { parameters: { rate: 0.2, size: 100, burst: 1, seconds: 30 }, network: {}, says_every_s: 3.3 },
  saves: { parameters: { rate: 20, size: 100, burst: 1, seconds: 30 }, network: {} },
};

/** With a value changed; what no longer fits into the limit on messages gives way: the burst, or the rate where the burst was moved. */
export function withValue(parameters: Parameters, name: ParameterName, value: number): Parameters {
  const next = { ...parameters, [name]: value };
  if (next.rate * next.burst <= messages_per_second_max) return next;
  const yields = name === "burst" ? "rate" : "burst";
  const room = messages_per_second_max / value;
  return { ...next, [yields]: steps[yields].findLast((step) => step <= room) ?? steps[yields][0] ?? 1 };
}

/** How many seconds of the sequence are shown at first: a fast run is seen from nearer. */
export function spanOf({ rate }: Parameters): number {
  return rate >= 10 ? 3 : 8;
}

export function messagesOf({ rate, burst, seconds }: Parameters): number {
  return Math.round(rate * burst * seconds);
}
