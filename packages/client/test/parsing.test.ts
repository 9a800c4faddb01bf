// What comes over the wire, in pieces of any size.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePosition } from "../src/position.ts";
import { entriesOf, hashOf, tokenOf } from "../src/token.ts";
import { parseLines } from "../src/transports/http_stream.ts";
import { parseEvents } from "../src/transports/sse.ts";
import type { Push } from "../src/wire.ts";

function inPieces(text: string, size: number, parse: (piece: string) => Push[]): Push[] {
  const pushes: Push[] = [];
  for (let at = 0; at < text.length; at += size) pushes.push(...parse(text.slice(at, at + size)));
  return pushes;
}

const message = { channel: "a", position: "E-1", time: 1, data: "x\u2028event: gap\u2028data: y" };

test("events, cut anywhere, with either end of line", () => {
  const text = [
    "retry: 1000\nid: E-0\nevent: hello\ndata: {\"heartbeat_ms\":15000}\n\n: a comment\n\n",
    `id: E-1\ndata: ${JSON.stringify(message)}\n\nid: TOKEN\n\n`,
    'event: gap\ndata:{"channel":"a"}\n\n',
  ].join("");
  for (const all of [text, text.replaceAll("\n", "\r\n")])
    for (const size of [1, 2, 3, 7, 1_000])
      assert.deepEqual(inPieces(all, size, parseEvents()), [
        { hello: { heartbeat_ms: 15_000 } },
        message,
        { gap: { channel: "a" } },
      ]);
});

test("lines, cut anywhere", () => {
  const text = `{"hello":{"heartbeat_ms":1}}\n\n${JSON.stringify(message)}\r\n`;
  for (const size of [1, 2, 3, 7, 1_000])
    assert.deepEqual(inPieces(text, size, parseLines()), [{ hello: { heartbeat_ms: 1 } }, message]);
});

test("positions", () => {
  assert.deepEqual(parsePosition("3kTMd9yVqRz-12"), { epoch: "3kTMd9yVqRz", offset: 12 });
  for (const text of ["", "E", "E-", "-1", "E-x", "a-b-1", "E-1 ", undefined]) assert.equal(parsePosition(text), undefined);
});

test("tokens: the hashes are the server's", () => {
  assert.deepEqual(["chat", "общий-чат", "a"].map(hashOf), ["mi5PYx9W", "YpKMeOdZ", "1wu6jBEu"]);
  const channels = [
    { channel: "a", after: "E-1" },
    { channel: "new", after: undefined },
    { channel: "chat", after: "F-20" },
  ];
  assert.deepEqual(entriesOf(tokenOf(channels), channels), [
    ["a", "E-1"],
    ["chat", "F-20"],
  ]);
});
