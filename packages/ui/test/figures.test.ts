import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../src/backoff.ts";
import { LatencySamples, median } from "../src/latency.ts";
import { bytes, duration, plural } from "../src/numbers.ts";
import { sum } from "../src/traffic.ts";

test("the median of odd, even and no samples", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 1, 5, 2]), 3.5);
  assert.equal(median([]), 0);
});

test("samples are sorted as numbers and the input stays as it is", () => {
  const samples = [100, 9, 20];
  assert.equal(median(samples), 20);
  assert.deepEqual(samples, [100, 9, 20]);
});

test("latency follows the present", () => {
  const samples = new LatencySamples();
  for (let count = 0; count < 200; count += 1) samples.add(1000);
  let latest = samples.add(3);
  assert.deepEqual(latest, { last_ms: 3, median_ms: 1000 });
  for (let count = 0; count < 101; count += 1) latest = samples.add(3);
  assert.equal(latest.median_ms, 3);
});

test("waiting has full jitter, a ceiling and the server's floor", () => {
  assert.equal(backoff(1, 0), 0);
  assert.equal(backoff(1, 0.5), 400);
  assert.ok(backoff(1000, 0.999) <= 5_000);
  assert.equal(backoff(3, 0, 1500), 1500);
});

test("numbers as they are read", () => {
  assert.equal(bytes("en", 999, ["B", "KB"]), "999\u00a0B");
  assert.equal(bytes("en", 4567, ["B", "KB"]), "4.6\u00a0KB");
  assert.equal(bytes("en", 123_456, ["B", "KB"]), "123\u00a0KB");
  assert.equal(duration("en", 4.26, ["ms", "s"]), "4.3\u00a0ms");
  assert.equal(duration("ru", 1476, ["мс", "с"]), "1,48\u00a0с");
  const forms = { one: "# запрос", few: "# запроса", many: "# запросов", other: "# запроса" };
  assert.deepEqual(
    [1, 2, 5, 11, 21].map((count) => plural("ru", count, forms)),
    ["1 запрос", "2 запроса", "5 запросов", "11 запросов", "21 запрос"],
  );
});

test("the figures of a client are the sum over its transports", () => {
  assert.deepEqual(
    sum([
      { requests: 2, empty: 1, bytes_down: 10, bytes_up: 20 },
      { requests: 1, bytes_up: 5 },
    ]),
    { requests: 3, empty: 1, bytes_down: 10, bytes_up: 25 },
  );
});
