// npm run build: build/worker.mjs and build/waystation.wasm, when sources changed.
import { main, say } from "./lib/say.mjs";
import { buildWorker, checkBudget } from "./lib/worker.mjs";

await main(async () => {
  await buildWorker();
  say(`build/ is up to date (${Math.ceil(checkBudget() / 1024)} KiB of WebAssembly, compressed).`);
});
