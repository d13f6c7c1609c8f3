// npm test: everything that must hold before a change goes to main, in the order of what fails fastest.
//
// Stops at the first step that fails; the last line counts the tests of all steps.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkConfiguration } from "./lib/config.mjs";
import { at, run, runAndKeep } from "./lib/run.mjs";
import { bold, dim, main, say, seconds, Trouble } from "./lib/say.mjs";
import { modernNode, needPackages, needRust } from "./lib/tools.mjs";
import { buildWorker, checkBudget, WASM_BYTES_MAX } from "./lib/worker.mjs";
import { dryRun, ENVIRONMENTS } from "./lib/wrangler.mjs";

let passed = 0;

/** Adds what cargo or node's test runner said about its tests. */
function count(output) {
  const plain = output.replaceAll(/\u001b\[[0-9;]*m/g, "");
  for (const [, cargo, node] of plain.matchAll(/^test result: ok\. (\d+) passed|^ℹ pass (\d+)/gm)) passed += Number(cargo ?? node);
}

const colour = process.stdout.isTTY ? { CARGO_TERM_COLOR: "always", FORCE_COLOR: "1" } : {};
const cargo = (args, failed, env = {}) =>
  runAndKeep("cargo", args, failed, { env: { ...process.env, ...colour, ...env } });

async function nodeTests(files, failed, args = []) {
  const all = ["--test", "--test-reporter=spec", ...args, ...files];
  count(await runAndKeep(modernNode(), all, failed, { env: { ...process.env, ...colour } }));
}

async function clippy(args, what) {
  await cargo(["clippy", "--quiet", ...args, "--", "-D", "warnings"], `clippy found something in ${what}, see above.`);
}

/** A link to something that is gone misleads whoever reads. */
async function docs() {
  await cargo(["doc", "--no-deps", "--lib", "--quiet"], "A link in the documentation leads nowhere, see above.", { RUSTDOCFLAGS: "-D warnings" });
}

async function nativeTests() {
  count(await cargo(["test", "--quiet"], "A native test failed, see above."));
}

function budget() {
  const bytes = checkBudget();
  say(`${bytes} of ${WASM_BYTES_MAX} bytes, compressed (${Math.round((100 * bytes) / WASM_BYTES_MAX)} %)`);
}

/** What would be uploaded: bindings for every class, and exactly one WASM module. */
async function dryRuns() {
  for (const name of ENVIRONMENTS) {
    const folder = mkdtempSync(join(tmpdir(), "waystation-dry-run-"));
    try {
      const said = await dryRun(name, folder);
      const modules = readdirSync(folder).filter((file) => file.endsWith(".wasm"));
      if (modules.length !== 1) throw new Trouble(`A deployment to ${name} would upload ${modules.length} WASM modules, not one.`);
      const [, upload = "?"] = /Total Upload: (.+)/.exec(said) ?? [];
      say(`${name}: ${upload}, ${(said.match(/Durable Object/g) ?? []).length} object classes`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** Examples whose dependencies nothing else needs: their README says how to test them. */
const OWN_GATE = [join("examples", "apns-relay", "Cargo.toml")];

async function examples() {
  const files = existsSync(at("examples")) ? filesEnding("examples", ".test.ts") : [];
  if (files.length > 0) await nodeTests(files, "A test of the TypeScript examples failed, see above.");
  for (const manifest of filesEnding("examples", "Cargo.toml").filter((file) => !OWN_GATE.includes(file))) {
    // The same profile and target folder as the service, so that the common dependencies are not built again.
    const args = ["test", "--quiet", "--manifest-path", manifest, "--target-dir", process.env.CARGO_TARGET_DIR ?? at("target")];
    count(await cargo(args, `A test of ${manifest} failed, see above.`, { CARGO_PROFILE_DEV_DEBUG: "line-tables-only" }));
  }
}

const filesEnding = (folder, end) =>
  readdirSync(at(folder), { recursive: true })
    .filter((file) => file.endsWith(end) && !/node_modules|target\//.test(file))
    .map((file) => join(folder, file));

async function endToEnd() {
  const files = existsSync(at("tests/e2e")) ? filesEnding("tests/e2e", ".spec.ts") : [];
  if (files.length === 0) return say("There are none yet.");
  await nodeTests(files, "An end-to-end test failed, see above.", ["--test-concurrency=2"]);
}

const STEPS = [
  ["Formatting", () => run("cargo", ["fmt", "--all", "--check"], "The sources are not formatted: run `npm run fmt`.")],
  ["Configuration files agree", () => say(checkConfiguration())],
  ["Scripts", () => nodeTests(filesEnding("scripts", ".test.mjs"), "A test of the scripts failed, see above.")],
  ["TypeScript types", () => run(at("node_modules/.bin/tsc"), ["-p", "scripts/tsconfig.json"], "A TypeScript type is wrong, see above.")],
  ["Lints, native (a minute from nothing)", () => clippy(["--all-targets"], "the native build")],
  ["Lints, WebAssembly (a minute from nothing)", () => clippy(["--lib", "--target", "wasm32-unknown-unknown"], "the WebAssembly build")],
  ["Links in the documentation", docs],
  ["Native tests (2 minutes from nothing)", nativeTests],
  ["WebAssembly build", buildWorker],
  ["WebAssembly budget", budget],
  ["Deployments to qa and production, dry", dryRuns],
  ["Examples", examples],
  ["End-to-end tests against workerd (five minutes)", endToEnd],
];

await main(async () => {
  const began = Date.now();
  await needPackages();
  await needRust(["clippy", "rustfmt"]);
  for (const [index, [name, step]] of STEPS.entries()) {
    const start = Date.now();
    say(bold(`\n[${index + 1}/${STEPS.length}] ${name}`));
    await step();
    say(dim(`      ${seconds(Date.now() - start)}`));
  }
  say(`\nAll ${STEPS.length} steps in ${seconds(Date.now() - began)}.`);
  say(`${passed} passed, 0 failed`);
});
