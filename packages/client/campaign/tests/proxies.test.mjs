// Other people's proxies, each as one named fault on every connection: what the client goes over to, that nothing is lost on the way, and
// how it comes back. Tests wait for what the client's own clocks bring, and look at no clock themselves.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../../../../e2e/stage/until.mjs";
import { Room, report } from "../room.mjs";
import { transports } from "../ways.mjs";

const channel = "news";
/** A silent path is noticed 5 s after a heartbeat was due; negotiation takes 2 s for each mute transport. */
const patience_ms = 45_000;

/** Publishes until the reader is carried as wanted and has everything. */
async function isCarriedBy(room, reader, wanted) {
  let n = 0;
  let receipt;
  const isThere = async () => {
    receipt = await room.publish(channel, `towards ${wanted} ${++n}`);
    return wanted.includes(reader.client.transport);
  };
  await until(`it is carried by ${wanted}`, isThere, { within_ms: patience_ms, seen: () => report(reader) });
  await room.has(reader, channel, receipt, patience_ms);
}

async function inRoom(options, scenario) {
  const room = await Room.open(options);
  try {
    await scenario(room);
    await room.settle();
  } finally {
    await room.close();
  }
}

/** A reader that begins behind a faulty proxy: what must carry it, and which faults must have happened. */
const proxies = [
  { name: "accepts upgrades and never forwards them", faults: [{ kind: "swallow_upgrade" }], carried: ["sse", "http-stream"] },
  { name: "answers an upgrade with 400", faults: [{ kind: "strip", answer: 400 }], carried: ["sse", "http-stream"] },
  { name: "strips Upgrade and passes the rest on", faults: [{ kind: "strip", answer: 200 }], carried: ["sse", "http-stream"] },
  { name: "buffers streams, sockets pass", faults: [{ kind: "buffer" }], carried: ["websocket"] },
  { name: "buffers streams and what is upgraded", faults: [{ kind: "buffer", sockets: true }], carried: ["long-poll", "short-poll"] },
  { name: "buffers streams and knows no Upgrade", faults: [{ kind: "strip", answer: 400 }, { kind: "buffer" }], carried: ["long-poll", "short-poll"] },
];

describe("proxies that negotiation has to get around", { concurrency: 4 }, () => {
  for (const { name, faults, carried } of proxies) {
    test(`proxies::${name}`, () =>
      inRoom({}, async (room) => {
        room.proxy.fault(() => faults);
        const reader = room.reader();
        reader.read(channel, "start");
        await isCarriedBy(room, reader, carried);
        for (const { kind } of faults) assert.ok(room.proxy.applied[kind.replace("_", " ")] > 0 || kind === "buffer", `${kind} happened`);
        const publisher = room.publisher();
        const receipt = await publisher.publish(channel, "published through it");
        assert.equal(typeof receipt, "object", `published: ${receipt}`);
        await room.has(reader, channel, receipt, patience_ms);
      }));
  }

  test("proxies::once the way is free it moves up to the best transport, without loss", () =>
    inRoom({}, async (room) => {
      room.proxy.fault(() => [{ kind: "strip", answer: 400 }]);
      const reader = room.reader();
      reader.read(channel, "start");
      await isCarriedBy(room, reader, transports.slice(1));
      room.proxy.fault(() => []);
      await isCarriedBy(room, reader, ["websocket"]);
    }));
});

/** What no transport gets around: the client must say that it is not online, and come back whole. */
const outages = {
  "accepts everything and never forwards": [{ kind: "silence", after: 0 }],
  "refuses every connection": [{ kind: "refuse" }],
  "has no server behind it": [{ kind: "gateway", status: 502 }],
  "is a captive portal": [{ kind: "portal" }],
};

describe("outages", { concurrency: 4 }, () => {
  for (const [name, faults] of Object.entries(outages)) {
    test(`proxies::${name}, for a while`, () =>
      inRoom({}, async (room) => {
        const reader = room.reader();
        reader.read(channel, "start");
        await room.has(reader, channel, await room.publish(channel, "before"));
        room.proxy.fault(() => faults);
        room.proxy.cut();
        await until("it says that it is not online", () => reader.client.state !== "online", { seen: () => report(reader) });
        const receipt = await room.publishMany(channel, 1, 10);
        // Several attempts fail, of several transports.
        const attempts = room.proxy.connections;
        await until("it goes on trying", () => room.proxy.connections > attempts + 3, { within_ms: patience_ms, seen: () => report(reader) });
        assert.notEqual(reader.client.state, "online");
        room.proxy.calm();
        await room.has(reader, channel, receipt, patience_ms);
      }));
  }
});

describe("each transport alone", { concurrency: 5 }, () => {
  for (const transport of transports) {
    test(`proxies::kills idle connections/${transport}`, () =>
      inRoom({ transport, times: { heartbeat: "1s" } }, async (room) => {
        room.proxy.fault(() => [{ kind: "idle", ms: 150 }]);
        const reader = room.reader();
        reader.read(channel, "start");
        for (let n = 1; n <= 4; n += 1) {
          await room.has(reader, channel, await room.publish(channel, `m${n}`), patience_ms);
          await until(`it was killed ${n} times`, () => (room.proxy.applied.idle ?? 0) >= n, { within_ms: patience_ms, seen: () => room.proxy.applied });
        }
        await room.has(reader, channel, await room.publish(channel, "last"), patience_ms);
      }));

    test(`proxies::falls silent in the middle and tells nobody/${transport}`, () =>
      inRoom({ transport }, async (room) => {
        // Long enough for a hello and a few messages; a connection that comes after that is as good as any.
        room.proxy.fault(() => (room.proxy.applied.silence ? [] : [{ kind: "silence", after: 3_000 }]));
        const reader = room.reader();
        reader.read(channel, "start");
        let n = 0;
        await until("it is silent", async () => (await room.publish(channel, `m${++n} ${"x".repeat(100)}`), room.proxy.applied.silence >= 1), { within_ms: patience_ms });
        await room.has(reader, channel, await room.publish(channel, "after"), patience_ms);
      }));

    test(`proxies::keeps the client's side open when the server's is gone/${transport}`, () =>
      inRoom({ transport }, async (room) => {
        room.proxy.fault(() => (room.proxy.applied["half-open"] ? [] : [{ kind: "half_open", after: 2_000 }]));
        const reader = room.reader();
        reader.read(channel, "start");
        let n = 0;
        await until("the server's side is gone", async () => (await room.publish(channel, `m${++n} ${"x".repeat(100)}`), room.proxy.applied["half-open"] >= 1), { within_ms: patience_ms });
        await room.has(reader, channel, await room.publish(channel, "after"), patience_ms);
      }));

    test(`proxies::repeats answers, chunks and frames/${transport}`, () =>
      inRoom({ transport }, async (room) => {
        room.proxy.fault((index) => [{ kind: "repeat", skip: index % 3 }]);
        const reader = room.reader();
        reader.read(channel, "start");
        let n = 0;
        const isRepeated = async () => {
          await room.has(reader, channel, await room.publishMany(channel, ++n, n));
          if (n % 5 === 0) room.proxy.cut();
          return room.proxy.applied.repeat >= 4;
        };
        await until("something was repeated", isRepeated, { within_ms: patience_ms, seen: () => room.proxy.applied });
      }));
  }
});
