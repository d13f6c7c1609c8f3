// npm run dev: wrangler dev, which builds again and reloads at every change. Much slower than npm start; for developing.
import { gatherSettings } from "./lib/devvars.mjs";
import { main } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";
import { wrangler } from "./lib/wrangler.mjs";

await main(async () => {
  await buildWorker();
  gatherSettings();
  await wrangler(["dev", ...process.argv.slice(2)], "wrangler dev ended with an error, see above.");
});
