import assert from "node:assert/strict";
import { test } from "node:test";
import { channelName, channelOfHash, encodeName, readableName } from "../src/channel.ts";
import { snippet } from "../src/snippets.ts";
import { transportNames } from "../src/wire.ts";

test("names as the server takes them", () => {
  assert.equal(channelName(" общий-чат "), "общий-чат");
  assert.equal(channelName("cafe\u0301"), "caf\u00e9", "NFC");
  for (const wrong of ["", "  ", ".", "..", "a/b", "a\nb", "x".repeat(256), "я".repeat(128)])
    assert.equal(channelName(wrong), undefined, JSON.stringify(wrong));
  assert.ok(channelName("x".repeat(255)));
});

test("the address's hash, encoded or not, even broken", () => {
  assert.equal(channelOfHash("#%D0%BE%D0%B1%D1%89%D0%B8%D0%B9-%D1%87%D0%B0%D1%82"), "общий-чат");
  assert.equal(channelOfHash("#общий-чат"), "общий-чат");
  assert.equal(channelOfHash("#100%"), "100%");
  assert.equal(channelOfHash(""), undefined);
});

test("an encoded name cannot leave its quotes or its path", () => {
  assert.equal(encodeName("it's (so)!*?#%"), "it%27s%20%28so%29%21%2A%3F%23%25");
  assert.equal(readableName("общий чат?\u202e👋"), "общий%20чат%3F%E2%80%AE%F0%9F%91%8B");
});

test("snippets name the real address and stay short", () => {
  for (const name of transportNames) {
    const { javascript, curl } = snippet(name, "http://127.0.0.1:8080/", `общий'"чат`);
    assert.match(javascript, /:\/\/127\.0\.0\.1:8080\/channels\/общий%27%22чат/);
    assert.match(curl, /'(http|ws):\/\/127\.0\.0\.1:8080\/channels\/%D0%BE[^'"]+'$/);
    assert.ok(javascript.split("\n").length <= 10, name);
  }
});
