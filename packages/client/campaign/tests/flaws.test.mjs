// The campaign judges: a client with a flaw planted in it does not pass, and the same client without it does.
import assert from "node:assert/strict";
import os from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { connect } from "../client.mjs";
import { flawed, found } from "../flaws.mjs";
import { Leg } from "../leg.mjs";
import { Random } from "../random.mjs";
import { ways } from "../ways.mjs";

const way = ways.find(({ name }) => name === "http-stream");

function leg(name, client) {
  const file = path.join(os.tmpdir(), `efir-flaw-${process.pid}-${name.replaceAll(" ", "-")}.jsonl`);
  return new Leg({ way, connect: client, random: new Random(`flaws/${name}`), faults: 25, kills: 1, settle_ms: 25_000 }).run(file);
}

describe("planted flaws", { concurrency: 3 }, () => {
  test("flaws::none passes", async () => {
    const { wrong } = await leg("none", connect);
    assert.deepEqual(wrong, []);
  });
  for (const [name, column] of Object.entries(found)) {
    test(`flaws::a client that ${name} is found`, async () => {
      const row = await leg(name, flawed(connect, name));
      assert.ok(row[column] > 0, `${column}: ${row[column]}; ${row.wrong}`);
    });
  }
});
