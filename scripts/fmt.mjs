// npm run fmt: formats the Rust sources. npm run fmt -- --check only looks.
import { run } from "./lib/run.mjs";
import { main } from "./lib/say.mjs";
import { needRust } from "./lib/tools.mjs";

await main(async () => {
  await needRust(["rustfmt"]);
  await run("cargo", ["fmt", "--all", ...process.argv.slice(2)], "`cargo fmt` found something, see above.");
});
