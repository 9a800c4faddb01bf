// A block of code with a button that copies it.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { lookWords } from "./words.ts";

export function Code({ title, text, testId }: { title: string; text: string; testId: string }) {
  const block = useRef<HTMLElement>(null);
  const isCopied = useSignal(false);
  const copy = async (): Promise<void> => {
    isCopied.value = await copyText(text, block.current);
    setTimeout(() => (isCopied.value = false), 1_600);
  };
  return (
    <figure class="code">
      <figcaption>
        {title}
        <button type="button" class="quiet" onClick={() => void copy()}>
          <span aria-live="polite">{isCopied.value ? lookWords.value.copied : lookWords.value.copy}</span>
        </button>
      </figcaption>
      <pre tabIndex={0}>
        <code ref={block} data-testid={testId}>
          {text}
        </code>
      </pre>
    </figure>
  );
}

/** Copies; where the clipboard is closed (plain http to another host) the text is selected and copied the old way. */
async function copyText(text: string, element: HTMLElement | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (element) getSelection()?.selectAllChildren(element);
    return document.execCommand("copy");
  }
}
