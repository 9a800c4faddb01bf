// A slider over steps: left and right go to the next one, what it stands at is said in words.

interface Properties {
  name: string;
  label: string;
  steps: readonly number[];
  value: number;
  text: string;
  isDisabled?: boolean;
  pick(value: number): void;
}

export function Slider({ name, label, steps, value, text, isDisabled = false, pick }: Properties) {
  const id = `slider-${name}`;
  return (
    <div class="slider">
      <label for={id}>{label}</label>
      <output for={id}>{text}</output>
      <input
        id={id}
        data-testid={id}
        type="range"
        min={0}
        max={steps.length - 1}
        step={1}
        value={nearest(steps, value)}
        aria-valuetext={text}
        disabled={isDisabled}
        onInput={(event) => pick(steps[Number(event.currentTarget.value)] ?? value)}
      />
    </div>
  );
}

/** An address may bring a value between two steps. */
function nearest(steps: readonly number[], value: number): number {
  let best = 0;
  for (const [at, step] of steps.entries())
    if (Math.abs(step - value) < Math.abs((steps[best] ?? 0) - value)) best = at;
  return best;
}
