// What a message says, as markup, whatever kind of payload it is; and when it was said.
import { language } from "../preferences.ts";
import type { Content } from "../payload.ts";
import { lookWords } from "../look/words.ts";

export function Words({ content }: { content: Content }) {
  switch (content.kind) {
    case "text":
      return (
        <p class="text" dir="auto">
          {content.text}
        </p>
      );
    case "json":
      return (
        <p class="text">
          <code>{content.json}</code>
        </p>
      );
    case "bytes":
      return <p class="text bytes">{lookWords.value.bytes_payload(content.count)}</p>;
  }
}

/** Hours, minutes and seconds of a time in milliseconds since 1970, where the visitor is. */
export function timeOfDay(time: number): string {
  return new Intl.DateTimeFormat(language.value, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  }).format(time);
}
