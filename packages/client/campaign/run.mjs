// `node run.mjs [--faults N] [--seed S] [--only WAY,…] [--kills N]`: the campaign. Prints a table and ends with 1 if anything does not hold.
// The client is the built one (`npm run build` in packages/client), the server `EFIR_BIN`, the judge `EFIR_JUDGE`, or what cargo built.
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Leg } from "./leg.mjs";
import { Random } from "./random.mjs";
import { ways } from "./ways.mjs";
import { announce, connect } from "./client.mjs";

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "1050" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 32)) },
    only: { type: "string", default: ways.map(({ name }) => name).join(",") },
    kills: { type: "string", default: "2" },
    histories: { type: "string", default: path.join(os.tmpdir(), `efir-campaign-${process.pid}`) },
  },
});

const chosen = ways.filter(({ name }) => values.only.split(",").includes(name));
const seed = new Random(values.seed);
console.log(`seed ${values.seed}; ${values.faults} faults over ${chosen.length} ways; histories in ${values.histories}`);
const begun = performance.now();

// Now and then the page comes back or the network changes: whoever waits for its next attempt makes it now. Otherwise most of the time
// would be spent waiting, as it should be where a network is that bad.
const wakes = seed.of("wakes");
const waking = setInterval(() => announce(wakes.chance(0.2) ? "online" : "pageshow"), 500);

const rows = await Promise.all(
  chosen.map(async (way) => {
    const leg = new Leg({ way, connect, random: seed.of(way.name), faults: Math.ceil(Number(values.faults) / chosen.length), kills: Number(values.kills) });
    const file = path.join(values.histories, `${way.name}.jsonl`);
    return leg.run(file).catch((error) => ({ name: way.name, wrong: [error.stack] }));
  }),
);

clearInterval(waking);

const columns = {
  way: (row) => row.name,
  faults: (row) => row.faults,
  connections: (row) => row.connections,
  reconnects: (row) => row.reconnects,
  published: (row) => row.accepted,
  received: (row) => row.received,
  kills: (row) => row.kills,
  gaps: (row) => row.gaps,
  lost: (row) => row.lost,
  duplicated: (row) => row.duplicated,
  reordered: (row) => row.reordered,
  "silent gaps": (row) => row.silent_gaps,
  other: (row) => row.other,
  seconds: (row) => row.seconds?.toFixed(1),
};
const names = Object.keys(columns);
const summed = names.slice(1, -1);
const done = rows.filter((row) => row.faults !== undefined);
const total = Object.fromEntries(summed.map((name) => [name, done.reduce((sum, row) => sum + columns[name](row), 0)]));
const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
const number = (cell) => (typeof cell === "number" ? cell.toLocaleString("en") : (cell ?? "–"));
line(names);
line(names.map((_, index) => (index === 0 ? "---" : "--:")));
for (const row of rows) line(names.map((name) => number(columns[name](row))));
line(["together", ...summed.map((name) => number(total[name])), ((performance.now() - begun) / 1000).toFixed(1)]);

const kinds = new Map();
for (const { applied } of done) for (const [kind, count] of Object.entries(applied)) kinds.set(kind, (kinds.get(kind) ?? 0) + count);
console.log(`\nfaults by kind: ${[...kinds].sort(([, a], [, b]) => b - a).map(([kind, count]) => `${kind} ${count}`).join(", ")}`);

const bad = rows.filter(({ wrong }) => wrong.length > 0);
for (const { name, wrong } of bad) for (const words of wrong) console.log(`\n${name}: ${words}`);
if (bad.length > 0) console.log(`\nagain: node run.mjs --seed ${values.seed} --faults ${values.faults} --only ${bad.map(({ name }) => name)}`);
// As Node's test runner closes, so that whoever counts tests counts the legs.
console.log(`\n# pass ${rows.length - bad.length}\n# fail ${bad.length}`);
process.exit(bad.length > 0 ? 1 : 0);
