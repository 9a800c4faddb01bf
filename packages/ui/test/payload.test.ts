import assert from "node:assert/strict";
import { test } from "node:test";
import { countBytes, readMessage } from "../src/payload.ts";
import type { Message } from "../src/wire.ts";

const message = (rest: Partial<Message>): Message => ({ channel: "chat", position: "E-1", time: 0, ...rest });

test("text from curl", () => {
  assert.deepEqual(readMessage(message({ data: "Привет" })).content, { kind: "text", text: "Привет" });
});

test("what the page itself sends", () => {
  const readable = readMessage(message({ data: { text: "Привет", from: "Анна", via: "sse", sent: 12.5 } }));
  assert.deepEqual(readable, { content: { kind: "text", text: "Привет" }, from: "Анна", member: undefined, via: "sse", sent: 12.5 });
});

test("a proven sender beats the one that the payload claims", () => {
  assert.equal(readMessage(message({ from: "anna", data: { text: "x", from: "boris" } })).from, "anna");
});

test("any JSON of others", () => {
  for (const [data, json] of [
    [{ a: 1, b: "x\n y" }, '{"a": 1, "b": "x\\n y"}'],
    [[1, 2], "[1, 2]"],
    [null, "null"],
    [0, "0"],
    [{ text: 5 }, '{"text": 5}'],
  ] as const)
    assert.deepEqual(readMessage(message({ data })).content, { kind: "json", json });
});

test("bytes are counted", () => {
  assert.deepEqual(readMessage(message({ bytes: "AQL/AAg=" })).content, { kind: "bytes", count: 5 });
  for (let length = 0; length < 9; length += 1)
    assert.equal(countBytes(Buffer.alloc(length).toString("base64")), length);
});
