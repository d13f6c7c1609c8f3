// From Rust to the two files that the runtime loads, build/worker.mjs and build/waystation.wasm; only when sources changed.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { at, root, run, runQuietly } from "./run.mjs";
import { say, seconds, Trouble } from "./say.mjs";
import { needPackages, needRust, needWasmBindgen } from "./tools.mjs";

const TARGET = "wasm32-unknown-unknown";
const SOURCES = ["src", "migrations", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "openapi.json", "package-lock.json"];
const WORK = at("target/worker");
const STAMP = join(WORK, "stamp");

/** What Cloudflare's free plan takes is 3 MiB; our own budget keeps cold starts short. Units: bytes, compressed. */
export const WASM_BYTES_MAX = 2 * 1024 * 1024;

function* filesUnder(path) {
  if (!existsSync(path)) return;
  const entries = readdirSync(path, { withFileTypes: true, recursive: true });
  for (const entry of entries) if (entry.isFile()) yield join(entry.parentPath ?? entry.path, entry.name);
}

/** A fingerprint of everything that the build reads. */
function fingerprint() {
  const hash = createHash("sha256");
  const files = SOURCES.flatMap((name) => (/\./.test(name) ? [at(name)] : [...filesUnder(at(name))])).filter(existsSync);
  for (const file of [...files, at("scripts/lib/worker.mjs")].sort()) {
    hash.update(`${relative(root, file)}\0`).update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

function isCurrent(print) {
  const outputs = ["build/worker.mjs", "build/waystation.wasm"].map((name) => at(name));
  return outputs.every(existsSync) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === print;
}

/** Builds when anything changed since the last time. */
export async function buildWorker() {
  await needPackages();
  const print = fingerprint();
  if (isCurrent(print)) return;
  await needRust();
  const wasmBindgen = await needWasmBindgen();
  const began = Date.now();
  say("Building the Worker (1 to 2 minutes from nothing, half a minute after a change) …");
  const cargo = ["build", "--release", "--lib", "--target", TARGET];
  await run("cargo", cargo, "The Worker could not be built: `cargo build` failed, see above.");
  await bundle(wasmBindgen);
  writeFileSync(STAMP, print);
  say(`Built in ${seconds(Date.now() - began)}: ${Math.ceil(compressedBytes() / 1024)} KiB of WebAssembly, compressed.`);
}

async function bundle(wasmBindgen) {
  const compiled = join(resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), TARGET, "release/waystation.wasm");
  const step = (program, args, name) => runQuietly(program, args, `The Worker could not be built: ${name} failed, see above.`);
  const inWork = (name) => join(WORK, name);
  rmSync(WORK, { recursive: true, force: true });
  mkdirSync(WORK, { recursive: true });
  await step(wasmBindgen, [
    "--target", "web", "--out-dir", inWork("bindgen"), "--out-name", "waystation", "--no-typescript",
    "--omit-default-module-path", "--experimental-reset-state-function", "--force-enable-abort-handler", compiled,
  ], "wasm-bindgen");
  const optimised = ["-O3", "--all-features", inWork("bindgen/waystation_bg.wasm"), "-o", inWork("waystation.wasm")];
  await step(at("node_modules/.bin/wasm-opt"), optimised, "wasm-opt");
  for (const name of ["shim.mjs", "glue.mjs"]) copyFileSync(at("src/shell", name), inWork(name));
  await step(at("node_modules/.bin/esbuild"), [
    inWork("shim.mjs"), "--bundle", "--format=esm", "--external:cloudflare:*", "--external:./waystation.wasm",
    `--outfile=${inWork("worker.mjs")}`, "--log-level=warning", "--log-override:duplicate-object-key=silent",
  ], "esbuild");
  // wasm-bindgen names the glue once per use in an object literal, which every later bundler would warn about.
  const script = readFileSync(inWork("worker.mjs"), "utf8");
  writeFileSync(inWork("worker.mjs"), script.replace(/^(\s*"\.\/snippets\/\S+: \w+)(?:,\n\1)+$/gm, "$1"));
  // Nothing else may stand in build/: it is what gets deployed.
  rmSync(at("build"), { recursive: true, force: true });
  mkdirSync(at("build"));
  for (const name of ["worker.mjs", "waystation.wasm"]) renameSync(inWork(name), at("build", name));
}

/** Units: bytes. */
export const compressedBytes = () => gzipSync(readFileSync(at("build/waystation.wasm")), { level: 9 }).length;

export function checkBudget() {
  const bytes = compressedBytes();
  if (bytes <= WASM_BYTES_MAX) return bytes;
  throw new Trouble(`build/waystation.wasm is ${bytes} bytes compressed, and its budget is ${WASM_BYTES_MAX}.`);
}
