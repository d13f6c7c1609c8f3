// The tools that the commands need: found, or installed with a word about it, or a sentence about what is missing.
import { existsSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { ask, at, run } from "./run.mjs";
import { say, Trouble } from "./say.mjs";

const TARGET = "wasm32-unknown-unknown";
const installed = createRequire(at("package.json"));

/** npm packages as package-lock.json names them; installed again when the lock file is newer. */
export async function needPackages() {
  const mtime = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);
  if (mtime(at("node_modules/.package-lock.json")) < mtime(at("package-lock.json"))) {
    say("Installing npm packages (about half a minute, once) …");
    const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    const npm = process.env.npm_execpath;
    const failed = "The npm packages could not be installed: `npm ci` failed, see above. Is the package registry reachable?";
    if (npm?.endsWith(".js")) await run(process.execPath, [npm, ...args], failed);
    else await run("npm", args, failed);
  }
  linkWorkerd();
}

/** npm links a script that starts workerd as its child; who stops workerd by signals needs the program itself there. */
function linkWorkerd() {
  const link = at("node_modules/.bin/workerd");
  const target = relative(dirname(link), workerdProgram());
  if (existsSync(link) && readlinkSync(link) === target) return;
  rmSync(link, { force: true });
  symlinkSync(target, link);
}

/** rustup's toolchain as rust-toolchain.toml names it, with the target for WASM and the named components. */
export async function needRust(components = []) {
  // A rustup that was installed a minute ago is often not in this shell's PATH yet.
  const home = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin");
  if (existsSync(home)) process.env.PATH = `${process.env.PATH}${delimiter}${home}`;
  if (!(await ask("rustup", ["--version"]))) {
    throw new Trouble("rustup is missing: install it from https://rustup.rs and run this again.");
  }
  const channel = /channel = "(.+)"/.exec(readFileSync(at("rust-toolchain.toml"), "utf8"))[1];
  const failed = (what) => `${what} could not be installed: rustup failed, see above. Is its download server reachable?`;
  if (!(await ask("rustup", ["run", channel, "rustc", "--version"]))) {
    say(`Installing Rust ${channel} (about a minute, once) …`);
    await run("rustup", ["toolchain", "install", channel, "--profile", "minimal"], failed(`Rust ${channel}`));
  }
  const wasm = await ask("rustup", ["target", "list", "--installed", "--toolchain", channel]);
  if (!wasm?.split("\n").includes(TARGET)) {
    say(`Installing Rust's target ${TARGET} (a few seconds, once) …`);
    await run("rustup", ["target", "add", TARGET, "--toolchain", channel], failed(`Rust's target ${TARGET}`));
  }
  const present = (await ask("rustup", ["component", "list", "--installed", "--toolchain", channel])) ?? "";
  for (const name of components.filter((name) => !present.split("\n").some((line) => line.startsWith(name)))) {
    say(`Installing Rust's ${name} (a few seconds, once) …`);
    await run("rustup", ["component", "add", name, "--toolchain", channel], failed(`Rust's ${name}`));
  }
  if (!(await ask("cargo", ["--version"]))) {
    throw new Trouble("cargo does not run here although rustup does: `cargo --version` says why.");
  }
}

/** The wasm-bindgen program of exactly the version that Cargo.lock names, in .tools; returns its path. */
export async function needWasmBindgen() {
  const version = /name = "wasm-bindgen"\nversion = "(.+)"/.exec(readFileSync(at("Cargo.lock"), "utf8"))[1];
  const program = at(".tools/bin/wasm-bindgen");
  if ((await ask(program, ["--version"])) === `wasm-bindgen ${version}`) return program;
  say(`Building the wasm-bindgen tool ${version} (about 2 minutes, once) …`);
  const args = ["install", "wasm-bindgen-cli", "--version", version, "--root", ".tools", "--force", "--quiet"];
  await run("cargo", args, `wasm-bindgen ${version} could not be built: \`cargo install\` failed, see above.`);
  return program;
}

/** A Node that runs TypeScript and wrangler: the one from npm, or this one where that has none for the platform. */
export function modernNode() {
  const bundled = at("node_modules/.bin/node");
  if (existsSync(bundled)) return bundled;
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  throw new Trouble("This platform has no Node package on npm; install Node 24 or newer and run this again.");
}

/** The workerd program itself, not the script that npm puts before it, so that its process id is ours to signal. */
export function workerdProgram() {
  const platform = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
  try {
    const wrapper = createRequire(installed.resolve("workerd"));
    return join(dirname(wrapper.resolve(`@cloudflare/workerd-${platform}/package.json`)), "bin/workerd");
  } catch {
    throw new Trouble(`workerd has no program for ${platform}: it runs on Linux and macOS, x64 and arm64.`);
  }
}

export const wranglerScript = () => join(dirname(installed.resolve("wrangler/package.json")), "bin/wrangler.js");
