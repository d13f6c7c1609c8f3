// npm run deploy -- --env qa|production: builds and uploads that environment; further arguments go to wrangler.
import { bold, main, say, Trouble } from "./lib/say.mjs";
import { buildWorker, checkBudget } from "./lib/worker.mjs";
import { ENVIRONMENTS, environmentText, wrangler } from "./lib/wrangler.mjs";

await main(async () => {
  const args = process.argv.slice(2);
  const name = args.find((arg) => arg.startsWith("--env="))?.slice(6) ?? args[args.indexOf("--env") + 1];
  if (!args.some((arg) => arg.startsWith("--env")) || !ENVIRONMENTS.includes(name)) {
    throw new Trouble("Say where to deploy: npm run deploy -- --env qa, or --env production.");
  }
  const [, pattern] = /pattern = "(.+?)"/.exec(environmentText(name)) ?? [];
  if (pattern?.endsWith("example.com") && !args.includes("--dry-run")) {
    throw new Trouble(`wrangler.toml still has the placeholder route ${pattern} for ${name}: put your own host name there.`);
  }
  await buildWorker();
  checkBudget();
  say(`Deploying to ${bold(name)} …`);
  await wrangler(["deploy", ...args], `The deployment to ${name} failed, see above.`);
});
