import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation, type Draft, type Spoken } from "../src/room/conversation.ts";

const said = (offset: number, more: Partial<Spoken["readable"]> & { time?: number; isOwn?: boolean } = {}): Spoken => ({
  position: `E-${offset}`,
  time: more.time ?? offset,
  isOwn: more.isOwn ?? false,
  readable: {
    content: { kind: "text", text: `text ${offset}` },
    from: "Anna",
    member: "anna",
    via: undefined,
    sent: undefined,
    ...more,
  },
});

const draft = (key: string, sent: number): Draft => ({ key, text: key, sent, fate: { kind: "sending" } });

test("a draft stands below until its message comes, whether the receipt or the message is first", () => {
  const begun = new Conversation().draft(draft("one", 1)).draft(draft("two", 2));
  assert.deepEqual(begun.drafts.map(({ key }) => key), ["one", "two"]);
  const receiptFirst = begun.settle("one", { kind: "accepted" }).take(said(1, { sent: 1, isOwn: true }));
  const messageFirst = begun.take(said(1, { sent: 1, isOwn: true })).settle("one", { kind: "accepted" });
  for (const now of [receiptFirst, messageFirst]) {
    assert.deepEqual(now.drafts.map(({ key }) => key), ["two"]);
    assert.deepEqual(now.lines.map(({ key }) => key), ["E-1"]);
  }
});

test("another's message with the same stamp takes no draft away", () => {
  const now = new Conversation().draft(draft("one", 1)).take(said(1, { sent: 1 }));
  assert.equal(now.drafts.length, 1);
});

test("after a gap, what was accepted and has not come may be lost; what is being sent is not", () => {
  const begun = new Conversation().draft(draft("one", 1)).draft(draft("two", 2)).settle("one", { kind: "accepted" });
  const now = begun.gap("epoch_changed");
  assert.deepEqual(now.drafts.map(({ fate }) => fate.kind), ["unknown", "sending"]);
  assert.deepEqual(now.lines.map((line) => line.kind), ["gap"]);
});

test("tried again, a draft goes last and is one; discarded, it is gone", () => {
  const refused = { kind: "refused", why: "too large", isRetryable: true } as const;
  const begun = new Conversation().draft(draft("one", 1)).settle("one", refused).draft(draft("two", 2));
  const again = begun.draft(draft("one", 1));
  assert.deepEqual(again.drafts.map(({ key, fate }) => [key, fate.kind]), [["two", "sending"], ["one", "sending"]]);
  assert.deepEqual(begun.discard("one").drafts.map(({ key }) => key), ["two"]);
});

test("the name is not said again for the same sender, soon after, with no gap between", () => {
  let now = new Conversation().take(said(1)).take(said(2)).take(said(3, { member: "other" }));
  now = now.take(said(4, { member: "other" })).gap("trimmed").take(said(5, { member: "other" }));
  now = now.take(said(6, { member: "other", time: 10 ** 9 })).take(said(7, { from: undefined, time: 10 ** 9 }));
  now = now.take(said(8, { from: undefined, time: 10 ** 9 }));
  const continued = now.lines.flatMap((line) => (line.kind === "message" ? [line.isContinued] : []));
  assert.deepEqual(continued, [false, true, false, true, false, false, false, false]);
});

test("the oldest lines go", () => {
  let now = new Conversation();
  for (let offset = 1; offset <= 500; offset += 1) now = now.take(said(offset));
  assert.equal(now.lines.length, 400);
  assert.equal(now.lines.at(-1)?.key, "E-500");
});
