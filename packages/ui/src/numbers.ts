// Numbers as people read them, in either language.

/** The form for a count, with `#` replaced by it. */
export function plural(
  tag: string,
  count: number,
  forms: Partial<Record<Intl.LDMLPluralRule, string>> & { other: string },
): string {
  const form = forms[new Intl.PluralRules(tag).select(count)] ?? forms.other;
  return form.replace("#", new Intl.NumberFormat(tag).format(count));
}

/** Bytes in the unit that leaves at most four digits; `units` from bytes upwards, a thousand apart. */
export function bytes(tag: string, count: number, units: readonly string[]): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${new Intl.NumberFormat(tag, { maximumFractionDigits: digits }).format(value)}\u00a0${units[unit] ?? ""}`;
}

/** A duration in milliseconds (tenths below ten) or, from a second on, in seconds; `units` are the two. */
export function duration(tag: string, ms: number, units: readonly [string, string]): string {
  const isShort = ms < 1000;
  const digits = isShort ? (ms < 10 ? 1 : 0) : 2;
  return `${new Intl.NumberFormat(tag, { maximumFractionDigits: digits }).format(isShort ? ms : ms / 1000)}\u00a0${units[isShort ? 0 : 1]}`;
}
