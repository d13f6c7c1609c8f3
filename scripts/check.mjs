// npm run check: the quick part of npm test, for while one works: formatting, configuration, types of all Rust code.
import { checkConfiguration } from "./lib/config.mjs";
import { run } from "./lib/run.mjs";
import { main, say } from "./lib/say.mjs";
import { needPackages, needRust } from "./lib/tools.mjs";

await main(async () => {
  await needPackages();
  await needRust(["rustfmt"]);
  await run("cargo", ["fmt", "--all", "--check"], "The sources are not formatted: run `npm run fmt`.");
  say(checkConfiguration());
  await run("cargo", ["check", "--quiet", "--all-targets"], "The native build has errors, see above.");
  const wasm = ["check", "--quiet", "--lib", "--target", "wasm32-unknown-unknown"];
  await run("cargo", wasm, "The WebAssembly build has errors, see above.");
  say("No errors.");
});
