import assert from "node:assert/strict";
import { test } from "node:test";
import { bestOf, readClock } from "../src/lab/clock.ts";
import { messagesOf, questions, steps, withValue, presets, messages_per_second_max } from "../src/lab/parameters.ts";
import { decode, each, encode, figureNames, no_figures, tableText, type Results } from "../src/lab/results.ts";
import { quantile, Samples } from "../src/lab/samples.ts";
import { Timing } from "../src/lab/timing.ts";
import { Plans, Track, type Ask } from "../src/lab/track.ts";

test("of several exchanges the one with the shortest round trip tells the offset", () => {
  const clock = bestOf([
    { sent: 1_000, server: 6_090, received: 1_100 },
    { sent: 2_000, server: 7_002, received: 2_004 },
    { sent: 3_000, server: 8_900, received: 3_950 },
  ]);
  assert.deepEqual(clock, { offset_ms: 5_000, round_trip_ms: 4 });
});

test("a clock is read by asking several times", async () => {
  let ours = 0;
  const way = [9, 7, 1, 5];
  let round = 0;
  const step = (): number => way[(round += 1) % way.length] ?? 1;
  const clock = await readClock(
    async () => {
      const half = step();
      ours += half;
      const server = ours + 100;
      ours += half;
      return server;
    },
    () => ours,
  );
  assert.equal(clock.offset_ms, 100);
  assert.equal(clock.round_trip_ms, 2);
});

test("quantiles are nearest ranks: numbers that were measured", () => {
  const hundred = Array.from({ length: 100 }, (_, at) => at + 1);
  assert.equal(quantile(hundred, 0.5), 50);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile([7], 0.99), 7);
});

test("samples: over the whole run, and by the second of the planned publishing", () => {
  const samples = new Samples();
  assert.equal(samples.quantiles(), undefined);
  samples.add(1.9, 30);
  samples.add(0.1, 10);
  samples.add(1.2, 20);
  samples.add(-0.001, -0.4);
  assert.deepEqual(samples.points(), [
    { second: 0, p50: 0, p99: 10 },
    { second: 1, p50: 20, p99: 30 },
  ]);
  assert.deepEqual(samples.quantiles(), { p50: 10, p99: 30 });
});

test("no setting of the sliders asks for more than the server gives", () => {
  for (const rate of steps.rate)
    for (const burst of steps.burst) {
      const byBurst = withValue({ ...presets.busy, rate }, "burst", burst);
      const byRate = withValue({ ...presets.busy, burst }, "rate", rate);
      assert.equal(byBurst.burst, burst);
      assert.equal(byRate.rate, rate);
      for (const set of [byBurst, byRate]) assert.ok(set.rate * set.burst <= messages_per_second_max);
    }
  for (const { parameters } of Object.values(questions)) assert.ok(parameters.rate * parameters.burst <= messages_per_second_max);
  assert.equal(messagesOf({ rate: 0.2, size: 100, burst: 1, seconds: 30 }), 6);
});

const results: Results = {
  at: "2026-11-21T15:30Z",
  parameters: presets.busy,
  figures: each((name) => ({
    ...no_figures,
    messages: 600,
    p50: 1.23456789,
    p99: 2_000,
    requests: name.length,
    overhead: name === "websocket" ? -3.5 : undefined,
  })),
  lines: each((name) => (name === "sse" ? [{ second: 0, p50: 1.5, p99: 3 }, { second: 4, p50: 2, p99: 2 }] : [])),
  faults: [{ what: "cut", from: 2.5, to: 7 }],
  envelope: 97,
};

test("an address keeps results, to six digits, and the sliders", () => {
  const { parameters, results: read } = decode(`#${encode(results)}`);
  assert.deepEqual(parameters, presets.busy);
  assert.equal(read?.figures.sse.p50, 1.23457);
  assert.deepEqual(read, { ...results, figures: each((name) => ({ ...results.figures[name], p50: 1.23457 })) });
  assert.equal(encode(read), encode(results), "written again it is the same");
  assert.match(encode(results), /^[A-Za-z0-9=&,.~:-]+$/, "nothing that an address would encode");
});

test("an address may preset the sliders alone; what is malformed counts as absent", () => {
  const sliders = "rate=2&size=100&burst=1&seconds=10";
  assert.deepEqual(decode(`#${sliders}`), {
    parameters: { rate: 2, size: 100, burst: 1, seconds: 10 },
    results: undefined,
  });
  for (const hash of ["", "#", "#rate=2", "#rate=x&size=1&burst=1&seconds=1", "#rate=1e9&size=100&burst=1&seconds=10", "#%%%"])
    assert.deepEqual(decode(hash), { parameters: undefined, results: undefined }, hash);
  for (const at of ["<b>", "", "x".repeat(99)])
    assert.equal(decode(encode({ ...results, at })).results, undefined, `at ${at}`);
  const cut = encode(results).replace(/websocket=[^&]*/, "websocket=1,2");
  assert.equal(decode(cut).results, undefined);
});

test("a table for spreadsheets and one for papers", () => {
  const rows = [["Transport", "p50"], ["SSE", "1 ms"]];
  assert.equal(tableText(rows, "tab"), "Transport\tp50\nSSE\t1 ms");
  assert.equal(tableText(rows, "markdown"), "| Transport | p50 |\n| --- | ---: |\n| SSE | 1 ms |");
  assert.equal(figureNames.length, Object.keys(no_figures).length);
});

test("a track counts the messages of each answer, and forgets what nobody can look back to", () => {
  const track = new Track(() => 0);
  const first = track.begin();
  track.arrive(1, 2);
  track.arrive(1, 2);
  first.end("messages");
  first.end("failed");
  track.begin().end("empty");
  assert.deepEqual(track.asks.map(({ messages, outcome }) => [messages, outcome]), [[2, "messages"], [0, "empty"]]);
  track.begin();
  track.trim(performance.now() + 100_000);
  assert.deepEqual(track.asks.map(({ outcome }) => outcome), ["open"], "what is open stays");
  assert.deepEqual(track.flights, []);
});

test("what one lane has seen, another is known to wait for", () => {
  const plans = new Plans();
  plans.note(1, 100);
  plans.note(2, 200);
  plans.note(2, 999);
  plans.note(3, 300);
  assert.deepEqual(plans.missing(150, 350, (ordinal) => ordinal === 3), [200]);
});

test("drawn arrows keep their order: no answer leaves before its question is there, none begins before the one before is back", () => {
  const track = new Track(() => 0);
  const ask = (begin: number, end: number): Ask => ({ begin, end, outcome: "messages", messages: 1, way_ms: 0.2 });
  track.asks = [ask(0, 500), ask(500, 501), ask(501, 1_500), ask(1_500, 2_200)];
  const drawn = new Timing({ track, span_ms: 8_000, isPoll: true }, 0).asks(track.asks, true);
  for (const [at, { begin, arrive, leave = 0, end = 0 }] of drawn.entries()) {
    assert.ok(begin < arrive && arrive <= leave && leave < end);
    assert.ok(begin >= (drawn[at - 1]?.end ?? 0));
  }
});

test("a message that a publish from here caused is not drawn to leave before the publish is there", () => {
  const track = new Track(() => 0.1);
  track.sent = [{ begin: 1_000, end: undefined, isFrame: true, way_ms: 0.1 }];
  const timing = new Timing({ track, span_ms: 8_000, isPoll: false }, 0);
  const [sent] = timing.sent;
  const { leave, end } = timing.flight({ planned: 1_001, at: 1_001, way_ms: 0.1 });
  assert.ok(sent && leave >= sent.arrive && end > leave);
  assert.equal(timing.flight({ planned: 900, at: 900, way_ms: 0 }).leave, 900);
});

test("a stream's messages are not drawn to leave before its request is there", () => {
  const track = new Track(() => 0);
  track.asks = [{ begin: 1_000, end: undefined, outcome: "open", messages: 0, way_ms: 0.1 }];
  const timing = new Timing({ track, span_ms: 8_000, isPoll: false }, 0);
  const [ask] = timing.asks(track.asks, false);
  assert.ok(ask && timing.flight({ planned: 500, at: 1_002, way_ms: 0.1 }).leave >= ask.arrive);
});
