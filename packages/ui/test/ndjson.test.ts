import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSplitter } from "../src/ndjson.ts";

const text = '{"data":"Привет, 世界 👋"}\n\n{"data":"\\u000a"}\r\n{"a":1}\n';
const lines = ['{"data":"Привет, 世界 👋"}', '{"data":"\\u000a"}\r', '{"a":1}'];

test("lines come out the same wherever the chunks are cut", () => {
  const whole = new TextEncoder().encode(text);
  for (let cut = 0; cut <= whole.length; cut += 1) {
    const splitter = new LineSplitter();
    assert.deepEqual(
      [...splitter.push(whole.slice(0, cut)), ...splitter.push(whole.slice(cut))],
      lines,
      `cut at ${cut}`,
    );
  }
});

test("byte by byte", () => {
  const splitter = new LineSplitter();
  const out = Array.from(new TextEncoder().encode(text)).flatMap((byte) => splitter.push(Uint8Array.of(byte)));
  assert.deepEqual(out, lines);
});

test("an unfinished line waits", () => {
  const splitter = new LineSplitter();
  assert.deepEqual(splitter.push(new TextEncoder().encode('{"a"')), []);
  assert.deepEqual(splitter.push(new TextEncoder().encode(":1}\n")), ['{"a":1}']);
});
