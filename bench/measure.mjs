// What can be measured of a server from outside: operations in a stretch of time, its CPU time and its memory.
import { execFileSync } from "node:child_process";
import { existsSync, openSync, readdirSync, readFileSync, readSync, closeSync, fstatSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const hasProc = existsSync("/proc/self/schedstat");

/** CPU time that a process has used, the sum of its threads'. Units: milliseconds; NaN where the system does not say. */
export function cpuMs(pid) {
  if (!hasProc) return NaN;
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch (error) {
      if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
    }
  }
  return ns / 1e6;
}

/** Resident memory of a process. Units: bytes. */
export function residentBytes(pid) {
  if (hasProc) return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
  return 1024 * Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)]));
}

export function quantile(sorted, part) {
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}

export const median = (values) => quantile([...values].sort((a, b) => a - b), 0.5);

/**
 * Counts for `ms` what happens after a warm-up: `lanes` call `done(latencyMs)` once per operation and go on while `on()`.
 */
export async function stretch(pid, ms, lanes) {
  let counting = false;
  let running = true;
  let latencies = [];
  const done = (latencyMs) => {
    if (counting) latencies.push(latencyMs);
  };
  const finished = lanes({ done, on: () => running });
  await sleep(ms / 4);
  const began = performance.now();
  const cpu = cpuMs(pid);
  counting = true;
  await sleep(ms);
  counting = false;
  const elapsed = performance.now() - began;
  const used = cpuMs(pid) - cpu;
  running = false;
  await finished;
  latencies.sort((a, b) => a - b);
  const ops = latencies.length;
  return {
    perSecond: (1000 * ops) / elapsed,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    cpuUs: (1000 * used) / ops,
  };
}

/**
 * What `stretch` says, of work that comes in bursts: each call of `prepare` is not counted and resolves to one burst,
 * which is; the first is the warm-up.
 */
export async function bursts(pid, ms, prepare) {
  const latencies = [];
  let [elapsed, used] = [0, 0];
  const end = performance.now() + 1.25 * ms;
  for (let turn = 0; turn < 2 || performance.now() < end; turn++) {
    const burst = await prepare();
    const cpu = cpuMs(pid);
    const began = performance.now();
    await burst((latencyMs) => turn > 0 && latencies.push(latencyMs));
    if (turn === 0) continue;
    elapsed += performance.now() - began;
    used += cpuMs(pid) - cpu;
  }
  latencies.sort((a, b) => a - b);
  const ops = latencies.length;
  return { perSecond: (1000 * ops) / elapsed, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), cpuUs: (1000 * used) / ops };
}

/** The best throughput and CPU of several rounds, and the median of the latencies. */
export function best(rounds) {
  return {
    perSecond: Math.max(...rounds.map((round) => round.perSecond)),
    p50Ms: median(rounds.map((round) => round.p50Ms)),
    p99Ms: median(rounds.map((round) => round.p99Ms)),
    cpuUs: Math.min(...rounds.map((round) => round.cpuUs)),
  };
}

/**
 * Counts the commits to a SQLite database by reading its write-ahead log: every frame that ends a transaction names the
 * size of the database, all others zero. Source: https://sqlite.org/fileformat2.html#the_write_ahead_log
 */
export class CommitCounter {
  commits = 0;
  #salt = "";
  #frames = 0;
  #file;

  constructor(folder) {
    // A folder of one class: one database per object, and what the runtime keeps for itself.
    const files = readdirSync(folder).filter((name) => name.endsWith(".sqlite-wal") && !name.startsWith("metadata"));
    if (files.length !== 1) throw new Error(`${folder} holds ${files.length} write-ahead logs, not one`);
    this.#file = join(folder, files[0]);
    this.look();
    this.commits = 0;
  }

  look() {
    const file = openSync(this.#file, "r");
    try {
      const bytes = Buffer.alloc(fstatSync(file).size);
      readSync(file, bytes, 0, bytes.length, 0);
      if (bytes.length < 32) return;
      const frameBytes = 24 + bytes.readUInt32BE(8);
      const salt = bytes.toString("hex", 16, 24);
      if (salt !== this.#salt) this.#frames = 0;
      this.#salt = salt;
      for (let at = 32 + this.#frames * frameBytes; at + frameBytes <= bytes.length; at += frameBytes) {
        if (bytes.toString("hex", at + 8, at + 16) !== salt) break;
        if (bytes.readUInt32BE(at + 4) !== 0) this.commits += 1;
        this.#frames += 1;
      }
    } finally {
      closeSync(file);
    }
  }
}
