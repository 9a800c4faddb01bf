// The matrix's scenarios as far as they concern a client that does the rest by itself: each over each transport, through the proxy, judged
// by the checker of the matrix. A test is named client::SCENARIO/TRANSPORT.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "../../../../e2e/stage/until.mjs";
import { Room } from "../room.mjs";
import { transports } from "../ways.mjs";

const channel = "общий-чат";
const refuse_all = () => [{ kind: "refuse" }];

const scenarios = {
  async "live::every_kind_of_payload"(room) {
    const reader = room.reader();
    reader.read(channel, "start");
    const publisher = room.publisher();
    const payloads = ["Привет, 世界 👋", "", { deep: [{ er: [1, 2.5, null, true, "\n\u0000\u2028"] }] }, [], 0, null, new Uint8Array([0, 255, 254, 13, 10]), new Uint8Array(0), "x".repeat(60_000)];
    let receipt;
    for (const payload of payloads) {
      receipt = await publisher.publish(channel, payload);
      assert.equal(typeof receipt, "object", `published: ${receipt}`);
    }
    await room.has(reader, channel, receipt);
    assert.equal(receipt.offset, payloads.length);
  },

  async "live::from_now_on"(room) {
    await room.publishMany(channel, 1, 3);
    const reader = room.reader();
    reader.read(channel, "now");
    const { position } = reader.tracks.get(channel);
    assert.equal(position, undefined);
    let n = 3;
    await until("something came", async () => (await room.publish(channel, `m${++n}`), reader.tracks.get(channel).position));
    await room.has(reader, channel, await room.publishMany(channel, n + 1, n + 20));
  },

  async "live::several_channels"(room) {
    const reader = room.reader();
    const names = ["a", "b", channel, "d:e", "f g"];
    for (const name of names.slice(0, 3)) reader.read(name, "start");
    const last = new Map();
    for (let n = 1; n <= 40; n += 1) {
      // The list grows while messages come.
      if (n === 20) for (const name of names.slice(3)) reader.read(name, "start");
      const name = names[n % names.length];
      last.set(name, await room.publish(name, `${name} ${n}`));
    }
    for (const name of names) await room.has(reader, name, last.get(name));
  },

  async "live::a_throwing_callback_harms_nobody"(room) {
    const reader = room.reader();
    let thrown = 0;
    reader.client.channel(channel).subscribe(() => {
      thrown += 1;
      throw new Error("on purpose");
    });
    reader.read(channel, "start");
    await room.has(reader, channel, await room.publishMany(channel, 1, 5));
    assert.equal(reader.errors.filter(({ code }) => code === "callback_failed").length, thrown);
    reader.errors.length = 0;
  },

  async "catch_up::after_a_cursor"(room) {
    const { position } = await room.publishMany(channel, 1, 4);
    const receipt = await room.publishMany(channel, 5, 9);
    const reader = room.reader();
    reader.read(channel, { after: position });
    await room.has(reader, channel, receipt);
    await room.has(reader, channel, await room.publishMany(channel, 10, 12));
  },

  async "catch_up::more_than_one_reply"(room) {
    const receipt = await room.publishMany(channel, 1, 1_300);
    const reader = room.reader();
    reader.read(channel, "start");
    await room.has(reader, channel, receipt);
    await room.has(reader, channel, await room.publishMany(channel, 1_301, 1_303));
  },

  async "catch_up::the_last_few"(room) {
    await room.publishMany(channel, 1, 30);
    const reader = room.reader();
    reader.read(channel, { last: 5 });
    await room.has(reader, channel, await room.publishMany(channel, 31, 35));
    assert.ok(reader.tracks.get(channel).texts.length <= 10, "not more than the last five and what came");
  },

  async "catch_up::a_second_subscriber_begins_elsewhere"(room) {
    const receipt = await room.publishMany(channel, 1, 50);
    const reader = room.reader();
    reader.read(channel, { after: receipt.position });
    await room.has(reader, channel, await room.publishMany(channel, 51, 52));
    const texts = [];
    reader.client.channel(channel).subscribe(({ data }) => texts.push(data), { after: "start" });
    const last = await room.publishMany(channel, 53, 70);
    await room.has(reader, channel, last);
    await until("the second one has all", () => texts.length >= 70, { seen: () => texts.length });
    assert.deepEqual(texts, Array.from({ length: 70 }, (_, n) => `m${n + 1}`));
  },

  async "catch_up::pages_of_history"(room) {
    await room.publishMany(channel, 1, 25);
    const handle = room.reader().client.channel(channel);
    const texts = [];
    let page = await handle.history({ after: "start", limit: 10 });
    texts.push(...page.messages.map(({ data }) => data));
    while (page.more) {
      page = await handle.history({ after: page.cursor, limit: 10 });
      texts.push(...page.messages.map(({ data }) => data));
    }
    assert.deepEqual(texts, Array.from({ length: 25 }, (_, n) => `m${n + 1}`));
  },

  async "cuts::at_every_message"(room) {
    const reader = room.reader();
    reader.read(channel, "start");
    for (let n = 1; n <= 5; n += 1) {
      await room.has(reader, channel, await room.publish(channel, `m${n}`));
      room.proxy.cut();
    }
    await room.has(reader, channel, await room.publishMany(channel, 6, 9));
  },

  async "cuts::inside_of_answers"(room) {
    // The first connections break a little later each time: in the head, in the hello, in a message.
    // Not too many: a client waits longer each time.
    room.proxy.fault((index) => (index < 6 ? [{ kind: "truncate", after: 23 + index * 131 }] : []));
    const reader = room.reader();
    reader.read(channel, "start");
    await room.has(reader, channel, await room.publishMany(channel, 1, 40), 30_000);
    assert.ok(room.proxy.applied.truncate > 0, "something broke");
  },

  async "publish::lost_answers_are_asked_for_again"(room) {
    const publisher = room.publisher();
    await publisher.publish(channel, "known");
    for (let n = 1; n <= 4; n += 1) {
      room.proxy.deafen();
      const answered = publisher.publish(channel, `lost ${n}`);
      await until("it is there all the same", async () => (await room.server.read(channel)).includes(`lost ${n}`));
      room.proxy.calm();
      const receipt = await answered;
      assert.equal(receipt.offset, n + 1, JSON.stringify(receipt));
    }
    const reader = room.reader();
    reader.read(channel, "start");
    await room.has(reader, channel, await room.publish(channel, "last"));
    assert.deepEqual(reader.tracks.get(channel).texts, ["known", "lost 1", "lost 2", "lost 3", "lost 4", "last"]);
  },

  async "publish::while_away"(room) {
    const publisher = room.publisher({ offline: { messages: 20 }, transport: room.transport });
    await publisher.publish(channel, "first");
    room.proxy.fault(refuse_all);
    room.proxy.cut();
    const receipts = Array.from({ length: 20 }, (_, n) => publisher.publish(channel, `away ${n}`));
    assert.equal(await publisher.publish(channel, "one too many"), "queue_full");
    room.proxy.calm();
    const offsets = (await Promise.all(receipts)).map(({ offset }) => offset);
    assert.deepEqual(offsets, Array.from({ length: 20 }, (_, n) => n + 2), "in the order in which they were published");
  },

  async "publish::outcome_unknown"(room) {
    const publisher = room.publisher();
    for (const again of [false, true]) {
      await publisher.publish(channel, "known");
      room.proxy.deafen();
      const answered = publisher.client.channel(channel).publish("who knows", { again });
      answered.catch(() => undefined);
      await until("it is there", async () => (await room.server.read(channel)).includes("who knows"));
      await room.restart();
      room.proxy.calm();
      if (again) assert.equal((await answered).offset, 1, "the app asked for it");
      else await assert.rejects(answered, { code: "outcome_unknown" });
    }
  },

  async "restart::killed"(room) {
    const reader = room.reader();
    for (const name of ["a", "b"]) reader.read(name, "start");
    for (const name of ["a", "b"]) await room.has(reader, name, await room.publishMany(name, 1, 3));
    for (let kill = 1; kill <= 2; kill += 1) {
      await room.restart();
      for (const name of ["a", "b"]) await room.has(reader, name, await room.publishMany(name, 1, 2 + kill));
      for (const name of ["a", "b"]) assert.equal(reader.tracks.get(name).gaps, kill, "one gap a kill");
    }
  },

  async "restart::in_good_order"(room) {
    const reader = room.reader();
    const publisher = room.publisher();
    reader.read(channel, "start");
    await room.has(reader, channel, await publisher.publish(channel, "before"));
    await room.restart("terminate");
    // Nothing has to wake the client: it comes back by itself.
    const receipt = await publisher.publish(channel, "after");
    assert.equal(receipt.offset, 1, JSON.stringify(receipt));
    await room.has(reader, channel, receipt);
    assert.equal(reader.tracks.get(channel).gaps, 1);
  },
};

/** Scenarios for a server that keeps little. */
const scenarios_short = {
  async "gap::trimmed_while_away"(room) {
    room.history.keeps(channel, 6);
    const reader = room.reader();
    reader.read(channel, "start");
    await room.has(reader, channel, await room.publishMany(channel, 1, 3));
    for (let away = 1; away <= 2; away += 1) {
      room.proxy.fault(refuse_all);
      room.proxy.cut();
      const receipt = await room.publishMany(channel, away * 100, away * 100 + 19);
      room.proxy.calm();
      await room.has(reader, channel, receipt);
      assert.equal(reader.tracks.get(channel).gaps, away, "one gap an absence");
    }
  },

  async "gap::of_a_foreign_epoch"(room) {
    room.history.keeps(channel, 6);
    const receipt = await room.publishMany(channel, 1, 4);
    const reader = room.reader();
    reader.read(channel, { after: "foreign-3" });
    await room.has(reader, channel, receipt);
    assert.equal(reader.tracks.get(channel).gaps, 1);
  },

  async "gap::ahead_of_the_log"(room) {
    room.history.keeps(channel, 6);
    const receipt = await room.publishMany(channel, 1, 4);
    const reader = room.reader();
    reader.read(channel, { after: `${receipt.epoch}-77` });
    await until("the gap is told", () => reader.tracks.get(channel).gaps === 1);
    await room.has(reader, channel, await room.publishMany(channel, 5, 6));
  },
};

async function run(scenario, options, settles = true) {
  const room = await Room.open(options);
  try {
    await scenario(room);
    if (settles) await room.settle();
  } finally {
    await room.close();
  }
}

for (const transport of transports) {
  describe(`client over ${transport}`, { concurrency: 4 }, () => {
    for (const [name, scenario] of Object.entries(scenarios)) test(`client::${name}/${transport}`, () => run(scenario, { transport }));
    for (const [name, scenario] of Object.entries(scenarios_short)) {
      test(`client::${name}/${transport}`, () => run(scenario, { transport, args: ["--set", "retention.messages=6"] }));
    }
    for (const to of transports.filter((other) => other !== transport)) {
      test(`client::switch::mid_stream/${transport}/${to}`, () => run((room) => switchOver(room, transport, to), { transport }));
    }
  });
}

/** While messages come without pause: over to the other transport, and back. */
async function switchOver(room, from, to) {
  const reader = room.reader();
  reader.read(channel, "start");
  reader.read("side", "start");
  await room.has(reader, channel, await room.publishMany(channel, 1, 3));
  let n = 3;
  for (const wanted of [to, from]) {
    reader.client.use(wanted);
    await until(`it is carried by ${wanted}`, async () => (await room.publishMany(channel, ++n, n), reader.client.transport === wanted), { seen: () => reader.client.transport });
  }
  await room.has(reader, "side", await room.publish("side", "last"));
  await room.has(reader, channel, await room.publishMany(channel, ++n, n));
}
