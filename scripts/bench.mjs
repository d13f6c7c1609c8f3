// npm run bench [-- --quick] [--memory] [--only=WORD]: our Worker beside a plain-JavaScript floor, in one run, on bare workerd.
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { at } from "./lib/run.mjs";
import { bold, dim, green, main, red, say, seconds } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";
import * as cases from "../bench/cases.mjs";
import * as analytics from "../bench/analytics.mjs";
import * as attest from "../bench/attest.mjs";
import { drive, HOT_PEERS, PARTIES, PEERS, prepareHotParty, prepareParties } from "../bench/party.mjs";
import { audience, relayList, rendezvous } from "../bench/relay.mjs";
import { best, CommitCounter, median, residentBytes } from "../bench/measure.mjs";
import * as pushing from "../bench/push.mjs";
import { CONFIGS, startServer, STATE } from "../bench/servers.mjs";

const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 1 : 3;
const ROUND_MS = quick ? 800 : 1_500;
/** Between rounds: one server's closed sockets must not cost the other one time. */
const SETTLE_MS = 150;
const SERVERS = 10;
const IDLE_SOCKETS = 1_000;
const LIVE_ENTRIES = [100, 10_000, 100_000];
const REQUESTERS = [100, 1_000];
const DEVICES = quick ? [100, 10_000] : [100, 10_000, 100_000];
const AUDIT_ROWS = [100, 1_000, 10_000, 100_000];
/** An upload takes long: so many times the length of a round. */
const UPLOAD_ROUNDS = 2;
const RELAYS = [100, 5_000];
/** Where the client may not open 5,000 sockets to each of the servers. */
const RELAYS_FEWER = 2_000;

const rows = [];
const only = process.argv.find((arg) => arg.startsWith("--only="))?.slice(7);
const skipped = (name) => only !== undefined && !name.toLowerCase().includes(only.toLowerCase());

/** `value` is ours over the floor's, or ours alone; `target` says what it must be. */
function report(name, unit, { ours, floor, value = ours / floor, target, detail = "", cpuUs }) {
  const good = !target || (target.least !== undefined ? value >= target.least : value <= target.most);
  rows.push({ name: name.trim(), unit, ours, floor, value, target, good, cpuUs });
  const bound = target && (target.least !== undefined ? `≥ ${target.least}` : `≤ ${target.most}`);
  const verdict = target ? (good ? green("meets") : red("misses")) : "";
  const number = (it) => (it === undefined ? "" : it >= 100 ? Math.round(it).toLocaleString("en") : it.toPrecision(3));
  const cells = [number(ours), number(floor), unit, floor === undefined ? "" : `${value.toFixed(2)}×`, bound ?? ""];
  const [a, b, c, d, e] = cells;
  say(`${name.padEnd(44)} ${a.padStart(9)} ${b.padStart(9)} ${c.padEnd(8)} ${d.padStart(6)} ${e.padStart(8)}  ${verdict}`);
  if (detail) say(dim(`${" ".repeat(45)}${detail}`));
}

/** The server's own CPU time per operation, which other work on the machine disturbs least. */
const cpu = (ours, floor) => ({
  cpuUs: { ours: ours.cpuUs, floor: floor?.cpuUs },
  detail: `CPU ${ours.cpuUs.toFixed(1)} µs${floor ? ` against ${floor.cpuUs.toFixed(1)} (${(ours.cpuUs / floor.cpuUs).toFixed(2)}×)` : ""} each`,
});

/** Rounds of ours and the floor in turn, so that what else the machine does falls on both. */
async function compare({ ours, floor }, mine, its) {
  const results = { ours: [], floor: [] };
  for (let round = 0; round < ROUNDS; round++) {
    results.ours.push(await mine(ours, ROUND_MS));
    await sleep(SETTLE_MS);
    if (!its) continue;
    results.floor.push(await its(floor, ROUND_MS));
    await sleep(SETTLE_MS);
  }
  return { ours: best(results.ours), floor: its && best(results.floor) };
}

async function throughput(servers, name, mine, its, target) {
  if (skipped(name)) return;
  const { ours, floor } = await compare(servers, mine, its);
  report(name, "/s", { ours: ours.perSecond, floor: floor?.perSecond, value: floor ? undefined : ours.perSecond, target, ...cpu(ours, floor) });
  return { ours, floor };
}

async function signaling(servers) {
  const many = await throughput(servers, "relay of 1 KB, 50 pairs: messages", cases.relay(50), cases.relay(50), { least: 0.85 });
  if (many) {
    report("  p50", "ms", { ours: many.ours.p50Ms, floor: many.floor.p50Ms });
    report("  p99", "ms", { ours: many.ours.p99Ms, floor: many.floor.p99Ms, target: { most: 1.3 } });
  }
  if (!skipped("relay of 1 KB, one pair")) {
    const one = await compare(servers, cases.relay(1), cases.relay(1));
    report("relay of 1 KB, one pair: round trip p50", "ms", { ours: 2 * one.ours.p50Ms, floor: 2 * one.floor.p50Ms, target: { most: 1.25 }, ...cpu(one.ours, one.floor) });
  }
  await throughput(servers, "connect and register", cases.connect, cases.connect, { least: 0.8 });
  await throughput(servers, "complete pairings", cases.pairing, undefined, { least: 600 });
}

async function bootstrap(servers) {
  for (const server of Object.values(servers)) await cases.registerServers(server, SERVERS);
  await throughput(servers, "GET /servers, cached (floor: hello)", cases.list, cases.hello, { least: 0.85 });
  await throughput(servers, "GET /servers, 304 (floor: hello)", cases.unchanged, cases.hello, { least: 0.85 });
  await throughput(servers, "GET /servers, changing (floor: hello)", cases.changing, cases.hello);
  if (!skipped("POST /servers/heartbeat")) {
    const counter = new CommitCounter(`${servers.ours.folder}/waystation-server-registry`);
    let beats = 0;
    const counted = async (server, ms) => {
      const result = await cases.heartbeat(server, ms);
      beats += (result.perSecond * ms) / 1000;
      counter.look();
      return result;
    };
    await throughput(servers, "POST /servers/heartbeat", counted, cases.heartbeat, { least: 1 });
    report("  rows written per heartbeat", "", { ours: counter.commits / beats, target: { most: 0.1 }, value: counter.commits / beats });
  }
}

/** Thirty servers that beat as in life, five times in each server's life, everything fifty times faster. */
async function liveness() {
  if (skipped("rows written per heartbeat, real pace")) return;
  const [count, life] = [30, 6_000];
  const server = await startServer("ours", { SERVER_TTL_MS: String(life), SWEEP_INTERVAL_MS: String(life) });
  try {
    await cases.registerServers(server, count);
    const counter = new CommitCounter(`${server.folder}/waystation-server-registry`);
    let beats = 0;
    const end = Date.now() + (quick ? life : 2 * life);
    while (Date.now() < end) {
      await cases.once(server, cases.beat(beats % count));
      beats += 1;
      await sleep(life / 5 / count - 2);
    }
    counter.look();
    const value = counter.commits / beats;
    report("rows written per heartbeat, real pace", "", { ours: value, value, target: { most: 0.1 }, detail: `${counter.commits} rows for ${beats} heartbeats of ${count} servers, time 50 times faster` });
  } finally {
    await server.stop();
  }
}

/** Memory of idle sockets in fresh servers, and what a full room does to one pair. */
async function idleSockets() {
  if (skipped("memory per idle socket")) return;
  const bytes = { ours: [], floor: [] };
  const crowded = {};
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    for (const name of ["ours", "floor"]) {
      const server = await startServer(name);
      const first = await cases.registered(server);
      await sleep(300);
      const before = residentBytes(server.pid);
      const sockets = [first];
      for (let i = 0; i < IDLE_SOCKETS; i++) sockets.push(await cases.registered(server));
      await sleep(700);
      bytes[name].push((residentBytes(server.pid) - before) / IDLE_SOCKETS);
      if (round === 0) crowded[name] = await cases.relay(1)(server, ROUND_MS);
      for (const socket of sockets) socket.close();
      await server.stop();
    }
  }
  const detail = `${bytes.ours.length} fresh processes each, the median`;
  report(`memory per idle socket, ${IDLE_SOCKETS} sockets`, "bytes", { ours: median(bytes.ours), floor: median(bytes.floor), target: { most: 1.1 }, detail });
  report("  one pair among them: round trip p50", "ms", { ours: 2 * crowded.ours.p50Ms, floor: 2 * crowded.floor.p50Ms });
}

/** The registry is full at 1,000 servers: ten times and a hundred times fewer must not be faster. */
async function growth() {
  if (skipped("growth")) return;
  const results = {};
  for (const count of [SERVERS, 990]) {
    const server = await startServer("ours");
    await cases.registerServers(server, count);
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await cases.reregister(server, ROUND_MS));
    results[count] = best(rounds);
    await server.stop();
  }
  const [few, full] = [results[SERVERS], results[990]];
  const value = full.cpuUs / few.cpuUs;
  report("growth: POST /servers, 990 against 10 servers", "µs CPU", { ours: full.cpuUs, floor: few.cpuUs, value, target: { most: 1.2 } });
}

/** Both servers anew; killed afterwards, so that no case pays for the thousands of sockets of another. */
async function freshPair(run, settings) {
  const servers = {};
  try {
    for (const name of ["ours", "floor"]) servers[name] = await startServer(name, settings);
    await run(servers);
  } finally {
    for (const server of Object.values(servers)) await server.stop();
  }
}

/**
 * The same operation at several sizes: all rooms are prepared first and the rounds go through all sizes, so that what
 * else the machine does falls on all of them. What grows is the server's CPU time of one operation.
 */
async function scaled(servers, name, sizes, prepare, { unit, operation, most = 1.2 }) {
  const drives = [];
  for (const size of sizes) {
    const began = Date.now();
    const both = { size, rounds: { ours: [], floor: [] } };
    for (const [who, server] of Object.entries(servers)) both[who] = await prepare(server, size);
    drives.push({ ...both, preparedMs: Date.now() - began });
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const drive of drives) {
      for (const who of ["ours", "floor"]) {
        drive.rounds[who].push(await drive[who](ROUND_MS));
        await sleep(SETTLE_MS);
      }
    }
  }
  const results = drives.map(({ rounds }) => ({ ours: best(rounds.ours), floor: best(rounds.floor) }));
  for (const [index, { size, preparedMs }] of drives.entries()) {
    const { ours, floor } = results[index];
    const { detail, cpuUs } = cpu(ours, floor);
    const row = { ours: ours.perSecond, floor: floor.perSecond, cpuUs, detail: `${detail}; both prepared in ${seconds(preparedMs)}` };
    report(`${name}, ${size.toLocaleString("en")} ${unit}: ${operation}`, "/s", row);
    report("  p99", "ms", { ours: ours.p99Ms, floor: floor.p99Ms });
  }
  const [few, many] = [results[0], results.at(-1)];
  const [value, its] = ["ours", "floor"].map((who) => many[who].cpuUs / few[who].cpuUs);
  const [less, more] = [sizes[0], sizes.at(-1)].map((size) => size.toLocaleString("en"));
  const detail = `CPU of one at ${more} over that at ${less}; the floor's grows ${its.toFixed(2)}×`;
  report(`  growth, ${more} against ${less}`, "", { ours: value, value, target: { most }, detail });
}

/** Many small parties, and one that everybody is in. */
async function parties(servers) {
  if (skipped("party")) return;
  const cases = [
    [`${PARTIES} parties of ${PEERS}`, prepareParties, [1, 16, 64]],
    [`hot party of ${HOT_PEERS}`, prepareHotParty, [16]],
  ];
  for (const [where, prepare, lanes] of cases) {
    const members = {};
    for (const [who, server] of Object.entries(servers)) members[who] = await prepare(server);
    for (const what of ["heartbeat", "get", "join"]) {
      for (const count of lanes) {
        const mine = drive(members.ours, what, count);
        const its = drive(members.floor, what, count);
        const both = await throughput(servers, `party ${what}, ${where}, ${count} connections`, mine, its);
        if (both) report("  p99", "ms", { ours: both.ours.p99Ms, floor: both.floor.p99Ms });
      }
    }
  }
}

/** Registrations and notifications through a fake of FCM in this process, and the same with ever more devices. */
async function push() {
  if (skipped("push")) return;
  const firebase = await pushing.startFirebase();
  const servers = {};
  try {
    for (const name of ["ours", "floor"]) {
      servers[name] = await startServer(name, firebase.settings, pushing.reachingLocal(CONFIGS[name], name));
    }
    for (const [devices, what] of [[1, "register"], [1, "notify"], [20, "notify"]]) {
      const prepared = {};
      for (const [who, server] of Object.entries(servers)) prepared[who] = await pushing.prepareServer(server, 0, devices);
      const name = what === "notify" ? `push notify, ${devices} device${devices > 1 ? "s" : ""}` : "push register a device";
      const both = await throughput(servers, name, pushing.drive(prepared.ours, what), pushing.drive(prepared.floor, what));
      if (both) report("  p99", "ms", { ours: both.ours.p99Ms, floor: both.floor.p99Ms });
    }
    const grown = async (server, count) => {
      const prepared = await pushing.prepareServer(server, count, 1);
      const drive = pushing.drive(prepared, "notify");
      return (ms) => drive(server, ms);
    };
    await scaled(servers, "push", DEVICES, grown, { unit: "devices", operation: "notify one" });
  } finally {
    for (const server of Object.values(servers)) await server.stop();
    firebase.stop();
  }
}

/** Uploads of usage, how far they are, and the decision that they are for. */
async function usage() {
  const [counts, , audit] = analytics.ALL_TABLES;
  const uploads = [
    ["analytics upload, 3 × 10,000 rows", analytics.ALL_TABLES],
    ["analytics upload, 10,000 realm counts", [counts]],
    ["analytics upload, 10,000 audit rows", [audit]],
  ].filter(([name]) => !skipped(name));
  const [status, permission] = ["analytics status", "analytics permission"];
  if (uploads.length === 0 && skipped(status) && skipped(permission)) return;
  await freshPair(async (servers) => {
    for (const [name, tables] of uploads) await upload(servers, name, tables);
    if (!skipped(status)) {
      const asks = {};
      for (const [who, server] of Object.entries(servers)) asks[who] = await analytics.statuses(server);
      const { ours, floor } = await throughput(servers, status, asks.ours, asks.floor);
      report("  p99", "ms", { ours: ours.p99Ms, floor: floor.p99Ms });
    }
    const decision = { unit: "audit rows", operation: "asked", most: 1.25 };
    if (!skipped(permission)) await scaled(servers, permission, AUDIT_ROWS, analytics.permissions, decision);
  }, analytics.SETTINGS);
}

async function upload(servers, name, tables) {
  const runs = {};
  for (const [who, server] of Object.entries(servers)) runs[who] = await analytics.uploads(server, tables);
  const run = (server, ms) => runs[server.name](UPLOAD_ROUNDS * ms);
  const { ours, floor } = await compare(servers, run, run);
  const rows = analytics.ROWS * tables.length;
  const [mine, its] = [ours, floor].map(({ perSecond, cpuUs }) => ({ perSecond: rows * perSecond, cpuUs: cpuUs / rows }));
  report(name, "rows/s", { ours: mine.perSecond, floor: its.perSecond, ...cpu(mine, its) });
  const cpuMs = [ours, floor].map(({ cpuUs }) => Math.round(cpuUs / 1_000)).join(" ms against ");
  const detail = `the floor's ${Math.round(floor.p50Ms)} ms; CPU ${cpuMs}; ${(runs.ours.bytes / 1e6).toFixed(1)} MB each`;
  report("  one upload, p50", "ms", { ours: ours.p50Ms, value: ours.p50Ms, target: { most: 2_000 }, detail });
}

async function relayRegistry() {
  if (!skipped("rendezvous")) {
    await freshPair((servers) => scaled(servers, "rendezvous", LIVE_ENTRIES, rendezvous, { unit: "live", operation: "registered" }));
  }
  if (!skipped("get_relays")) {
    const enough = openFilesMax() > 2 * RELAYS[1] + 1_000;
    if (!enough) say(dim(`This process may open ${openFilesMax()} files: ${RELAYS_FEWER} relays instead of ${RELAYS[1]}; see ulimit -n.`));
    const sizes = [RELAYS[0], enough ? RELAYS[1] : RELAYS_FEWER];
    await freshPair((servers) => scaled(servers, "get_relays", sizes, relayList, { unit: "relays", operation: "lists" }));
  }
  if (!skipped("chunk fan-out")) await freshPair(chunkFanOut);
}

/** Node asks for as many as the system allows, and so do the servers that it starts. */
function openFilesMax() {
  try {
    const [, soft] = /Max open files\s+(\S+)/.exec(readFileSync("/proc/self/limits", "utf8"));
    return soft === "unlimited" ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}

async function chunkFanOut(servers) {
  const ask = {};
  for (const [who, server] of Object.entries(servers)) ask[who] = await audience(server, Math.max(...REQUESTERS));
  for (const count of REQUESTERS) {
    const chunks = { ours: [], floor: [] };
    for (let round = 0; round < (quick ? 2 : 5); round++) {
      for (const who of ["ours", "floor"]) chunks[who].push(await ask[who](count));
    }
    const middle = (who, member) => median(chunks[who].map((chunk) => chunk[member]));
    const each = `CPU ${middle("ours", "cpuMs").toFixed(1)} ms against ${middle("floor", "cpuMs").toFixed(1)}`;
    const queue = `all requests kept in ${Math.round(middle("ours", "queuedMs"))} ms against ${Math.round(middle("floor", "queuedMs"))}`;
    const name = `chunk fan-out, 64 KiB to ${count.toLocaleString("en")}: last has it`;
    const detail = `${each}; before, ${queue}; medians of ${chunks.ours.length} cold chunks`;
    report(name, "ms", { ours: middle("ours", "ms"), floor: middle("floor", "ms"), detail });
    const pulls = (who) => chunks[who].map((chunk) => chunk.pulls);
    // A source that is silent for two seconds is given up: more pulls than one may mean that a disk kept a tenth of the requests so long.
    report("  most chunk_pulls for one chunk", "", { ours: Math.max(...pulls("ours")), floor: Math.max(...pulls("floor")), target: { most: 1 } });
    if (Math.min(...pulls("ours")) !== 1) throw new Error(`a chunk was served after ${Math.min(...pulls("ours"))} pulls`);
  }
}

async function attestation(servers) {
  for (const server of Object.values(servers)) await attest.furnish(server);
  await throughput(servers, "attest: register", attest.register, attest.register);
  const both = await throughput(servers, "attest: challenge and verify, 20 MB", attest.attest, attest.attest);
  if (both) report("  p99", "ms", { ours: both.ours.p99Ms, floor: both.floor.p99Ms });
  if (skipped("attest: part upload, 4 MiB")) return;
  const { ours, floor } = await compare(servers, attest.upload, attest.upload);
  const megabytes = ({ perSecond }) => (perSecond * attest.PART_BYTES) / 1e6;
  report("attest: part upload, 4 MiB", "MB/s", { ours: megabytes(ours), floor: megabytes(floor), ...cpu(ours, floor) });
}

/** Where the state is, and whether a commit waits for a disk there. Source: TMPFS_MAGIC in linux/magic.h. */
function place() {
  const isMemory = process.platform === "linux" && statfsSync(STATE).type === 0x01021994;
  return `${STATE} (${isMemory ? "in memory: nothing waits for a disk" : "on disk"})`;
}

await main(async () => {
  const began = Date.now();
  await buildWorker();
  mkdirSync(STATE, { recursive: true });
  const load = loadavg()[0].toFixed(1);
  say(`${ROUNDS} rounds of ${ROUND_MS} ms each, ours and the floor in turn; ${cpus().length} cores shared with the client, load ${load} before.`);
  say(`State of both in ${place()}.`);
  say(bold(`\n${"".padEnd(44)} ${"ours".padStart(9)} ${"floor".padStart(9)} ${"".padEnd(8)} ${"ratio".padStart(6)} ${"target".padStart(8)}`));
  await freshPair(async (servers) => {
    await signaling(servers);
    await bootstrap(servers);
  });
  await liveness();
  await idleSockets();
  await growth();
  await relayRegistry();
  if (!skipped("attest: register, challenge and verify, part upload")) await freshPair(attestation, attest.SETTINGS);
  await freshPair(parties);
  await push();
  await usage();
  mkdirSync(at("bench/results"), { recursive: true });
  const result = { at: new Date().toISOString(), node: process.version, cores: cpus().length, cpu: cpus()[0]?.model, load, state: STATE, quick, rows };
  writeFileSync(at("bench/results/latest.json"), `${JSON.stringify(result, null, 2)}\n`);
  const missed = rows.filter((row) => !row.good).length;
  say(`\n${rows.filter((row) => row.target && row.good).length} targets met, ${missed} missed, in ${seconds(Date.now() - began)}, load ${loadavg()[0].toFixed(1)} after; figures in bench/results/latest.json.`);
});
