// Words that all pages share: the navigation, languages and themes, the names of the transports, units. Each page adds its own table
// with `wordsOf`. Knows no page.
import { computed, type ReadonlySignal } from "@preact/signals";
import { plural } from "../numbers.ts";
import { language, type Language } from "../preferences.ts";
import type { TransportName } from "../wire.ts";

/** The pages of the navigation, in its order. */
export const pages = ["chat", "by-hand", "lab", "demos"] as const;
export type PageName = (typeof pages)[number];

const en = {
  pages: { chat: "Chat", "by-hand": "By hand", lab: "Lab", demos: "Demos" } satisfies Record<PageName, string>,
  navigation: "Pages",
  other_language: "Русский",
  theme: "Theme",
  themes: { auto: "Auto", light: "Light", dark: "Dark" },
  transports: {
    "short-poll": "AJAX polling",
    "long-poll": "Long polling",
    sse: "Server-Sent Events",
    "http-stream": "HTTP streaming",
    websocket: "WebSocket",
  } satisfies Record<TransportName, string>,
  transports_short: {
    "short-poll": "AJAX",
    "long-poll": "Long poll",
    sse: "SSE",
    "http-stream": "Stream",
    websocket: "Socket",
  } satisfies Record<TransportName, string>,
  transports_explained: {
    "short-poll": "Asks again and again",
    "long-poll": "Hangs until there is news",
    sse: "One answer that never ends",
    "http-stream": "One JSON object per line",
    websocket: "Both ways in one connection",
  } satisfies Record<TransportName, string>,
  channel: "Channel",
  channel_invalid: "A channel's name has 1–255 bytes and no slash.",
  nickname: "Your name",
  message: "Message",
  send: "Send",
  anonymous: "someone",
  bytes_payload: (count: number) => plural("en", count, { one: "# byte", other: "# bytes" }),
  gap: (reason: string) => `gap: ${reason}`,
  gap_reasons: {
    trimmed: "older messages are no longer kept",
    expired: "the missed messages have expired",
    epoch_changed: "the server began anew",
    position_ahead: "the server is behind what was read here",
    broker_loss: "the broker lost messages",
    storage_truncated: "storage was cut short",
    denied: "reading is no longer allowed",
    unannounced: "messages are missing and nobody said so",
    hole: "messages are missing and nobody said so",
  } as Record<string, string>,
  copy: "Copy",
  copied: "Copied",
  close: "Close",
  units: ["B", "KB", "MB", "GB"] as readonly string[],
  time_units: ["ms", "s"] as [string, string],
};

export type LookWords = typeof en;

const ru: LookWords = {
  pages: { chat: "Чат", "by-hand": "Своими руками", lab: "Лаборатория", demos: "Примеры" },
  navigation: "Страницы",
  other_language: "English",
  theme: "Тема",
  themes: { auto: "Авто", light: "Светлая", dark: "Тёмная" },
  transports: {
    "short-poll": "AJAX-опрос",
    "long-poll": "Долгий опрос",
    sse: "Server-Sent Events",
    "http-stream": "HTTP-поток",
    websocket: "WebSocket",
  },
  transports_short: {
    "short-poll": "AJAX",
    "long-poll": "Долгий",
    sse: "SSE",
    "http-stream": "Поток",
    websocket: "Сокет",
  },
  transports_explained: {
    "short-poll": "Спрашивает снова и снова",
    "long-poll": "Висит, пока нет новостей",
    sse: "Один ответ без конца",
    "http-stream": "По объекту JSON в строке",
    websocket: "Обе стороны, одно соединение",
  },
  channel: "Канал",
  channel_invalid: "Имя канала: от 1 до 255 байт, без косой черты.",
  nickname: "Ваше имя",
  message: "Сообщение",
  send: "Отправить",
  anonymous: "кто-то",
  bytes_payload: (count) => plural("ru", count, { one: "# байт", few: "# байта", many: "# байт", other: "# байта" }),
  gap: (reason) => `пропуск: ${reason}`,
  gap_reasons: {
    trimmed: "старые сообщения уже не хранятся",
    expired: "у пропущенных сообщений вышел срок",
    epoch_changed: "сервер начал заново",
    position_ahead: "сервер отстаёт от прочитанного здесь",
    broker_loss: "брокер потерял сообщения",
    storage_truncated: "хранилище обрезано",
    denied: "читать больше не разрешено",
    unannounced: "сообщений нет, и никто об этом не сказал",
    hole: "сообщений нет, и никто об этом не сказал",
  },
  copy: "Скопировать",
  copied: "Скопировано",
  close: "Закрыть",
  units: ["Б", "КБ", "МБ", "ГБ"],
  time_units: ["мс", "с"],
};

/** The words of the language that was chosen, from a table a language; a key that is missing in one does not compile. */
export function wordsOf<W>(tables: Record<Language, W>): ReadonlySignal<W> {
  return computed(() => tables[language.value]);
}

/** Both tables, for a page's own to begin with: `{ ...look.en, more: "…" }`. */
export const look = { en, ru };

export const lookWords = wordsOf<LookWords>(look);
