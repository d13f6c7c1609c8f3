// The two servers that are compared: ours and the floor, each a workerd of its own with its state in the same place.
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { at } from "../scripts/lib/run.mjs";
import { Trouble } from "../scripts/lib/say.mjs";
import { startWorkerd, untilReady } from "../scripts/lib/workerd.mjs";

/** Every check and limit is on, each with room enough that no case meets it; the one at the front is off. */
const SETTINGS = {
  ENVIRONMENT: "development",
  DEV_MODE: "true",
  LOG_LEVEL: "error",
  RATE_LIMIT_PER_MINUTE: "0",
  SIGNAL_MESSAGES_PER_MINUTE: "1000000000",
  SIGNAL_PAIR_REQUESTS_PER_MINUTE: "1000000000",
  SIGNAL_UNKNOWN_CODES_PER_MINUTE: "1000000000",
  SIGNAL_SOCKETS_PER_ADDRESS: "1000000",
  SIGNAL_SOCKETS_MAX: "1000000",
  // The seed of RFC 8032, section 7.1, test 1: known to everybody, which a benchmark does not mind.
  PARTY_TOKEN_KEY: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
  BOOTSTRAP_SIGNING_KEY: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
};

export const CONFIGS = { ours: at("workerd.capnp"), floor: at("bench/floor/floor.capnp") };

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** On the disk of the working tree, so that durable work is durable; `--memory` spares it for both servers alike. */
export const STATE = process.argv.includes("--memory") ? "/dev/shm" : at("bench/results");

const running = new Set();

/** However the run ends, nothing of it stays. */
process.on("exit", () => {
  for (const { child, folder } of running) {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

export async function startServer(name, settings = {}, config = CONFIGS[name]) {
  if (STATE === "/dev/shm" && !existsSync(STATE)) throw new Trouble("This system has no /dev/shm: run the benchmark without --memory.");
  mkdirSync(STATE, { recursive: true });
  const port = await freePort();
  const folder = mkdtempSync(join(STATE, `waystation-bench-${name}-`));
  const env = { ...SETTINGS, ...settings };
  const workerd = startWorkerd({ config, host: "127.0.0.1", port, state: folder, env });
  const run = { child: workerd.child, folder };
  running.add(run);
  await untilReady(`http://127.0.0.1:${port}/health`, workerd.ended);
  return {
    name,
    port,
    folder,
    pid: workerd.child.pid,
    async stop() {
      workerd.child.kill("SIGKILL");
      await workerd.ended;
      rmSync(folder, { recursive: true, force: true });
      running.delete(run);
    },
  };
}
