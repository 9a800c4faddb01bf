import assert from "node:assert/strict";
import { test } from "node:test";
import { Cursor, parsePosition } from "../src/cursor.ts";

test("a position is an epoch and a decimal offset", () => {
  assert.deepEqual(parsePosition("3kTMd9yVqRz-12"), { epoch: "3kTMd9yVqRz", offset: 12 });
  assert.deepEqual(parsePosition("E-0"), { epoch: "E", offset: 0 });
  for (const wrong of [undefined, "", "E", "E-", "-3", "E-03", "E-1x", "a-b-3", "ö-1"])
    assert.equal(parsePosition(wrong), undefined, String(wrong));
});

test("each message is new once", () => {
  const cursor = new Cursor();
  assert.deepEqual(
    ["E-4", "E-5", "E-5", "E-4", "E-6"].map((position) => cursor.accept(position)),
    ["new", "new", "duplicate", "duplicate", "new"],
  );
  assert.equal(cursor.resume, "E-6");
});

test("a missing message is noticed", () => {
  const cursor = new Cursor();
  cursor.accept("E-4");
  assert.equal(cursor.accept("E-6"), "hole");
});

test("another epoch without a gap is a hole, with a gap it is not", () => {
  const silent = new Cursor();
  silent.accept("E-4");
  assert.equal(silent.accept("F-1"), "hole");
  const told = new Cursor();
  told.accept("E-4");
  told.skip({ reason: "epoch_changed", resume_from: "F-0", epoch: "F" });
  assert.equal(told.resume, "F-0");
  assert.equal(told.accept("F-1"), "new");
});

test("a gap may lead backwards within the epoch", () => {
  const cursor = new Cursor();
  cursor.accept("E-9");
  cursor.skip({ reason: "position_ahead", resume_from: "E-2" });
  assert.equal(cursor.accept("E-3"), "new");
});

test("hello gives a cursor to who has none, and takes none away", () => {
  const fresh = new Cursor();
  fresh.join("E-7");
  assert.equal(fresh.resume, "E-7");
  const resumed = new Cursor();
  resumed.accept("E-3");
  resumed.join("E-7");
  assert.equal(resumed.resume, "E-3", "E-4 to E-7 are still to come");
});

test("the join cursor does not swallow the replay before it", () => {
  const cursor = new Cursor();
  cursor.join("E-7");
  assert.deepEqual(
    ["E-6", "E-7", "E-8"].map((position) => cursor.accept(position)),
    ["new", "new", "new"],
  );
});

test("a heartbeat moves forward within the epoch only", () => {
  const cursor = new Cursor();
  cursor.accept("E-3");
  cursor.beat("E-2");
  assert.equal(cursor.resume, "E-3");
  cursor.beat("F-9");
  assert.equal(cursor.resume, "E-3");
  cursor.beat("E-5");
  assert.equal(cursor.resume, "E-5");
});
