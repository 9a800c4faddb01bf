// A canvas that is as sharp as the screen, drawn anew at each rendering, when its size changes, and when the theme does.
import { useEffect, useRef } from "preact/hooks";
import { theme } from "../../preferences.ts";
import type { Box } from "../plot.ts";

export type Draw = (pen: CanvasRenderingContext2D, box: Box) => void;

interface Properties {
  class: string;
  label: string;
  draw: Draw;
}

export function Sheet({ class: name, label, draw }: Properties) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const newest = useRef(draw);
  newest.current = draw;
  const chosen = theme.value;
  useEffect(() => {
    if (canvas.current) paintOn(canvas.current, draw);
  }, [draw, chosen]);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return undefined;
    const paint = (): void => paintOn(element, newest.current);
    const watch = new ResizeObserver(paint);
    watch.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", paint);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", paint);
    };
  }, []);
  return <canvas class={name} ref={canvas} role="img" aria-label={label} />;
}

/** Clears the canvas and draws, in CSS pixels. */
export function paintOn(canvas: HTMLCanvasElement, draw: Draw): void {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  if (!pen || width === 0 || height === 0) return;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  draw(pen, { x: 0, y: 0, width, height });
}
