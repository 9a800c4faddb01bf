// Positions: `<epoch>-<offset>`, compared only here.

export interface Position {
  epoch: string;
  offset: number;
}

/** `undefined` for what is no position. */
export function parsePosition(text: string | undefined): Position | undefined {
  // Nothing reads as the word "undefined", which is no position.
  const parts = /^([\w.~]+)-(\d{1,16})$/.exec(text!);
  return parts ? { epoch: parts[1]!, offset: +parts[2]! } : undefined;
}

/** How far `to` lies after `from` in the same epoch; `NaN` between epochs. */
export const distance = (from: Position, to: Position): number =>
  from.epoch === to.epoch ? to.offset - from.offset : NaN;
