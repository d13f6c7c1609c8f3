// npm start: installs what is missing, builds when sources changed, and serves with bare workerd until it is stopped.
//
// HOST, PORT and WAYSTATION_DATA say where; every setting comes from the process environment, else from .dev.vars.
import { join, relative, resolve } from "node:path";
import { gatherSettings } from "./lib/devvars.mjs";
import { keyId, publicKey } from "./lib/keys.mjs";
import { root } from "./lib/run.mjs";
import { bold, main, say, seconds, Trouble } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";
import { checkAddress, startWorkerd, untilReady } from "./lib/workerd.mjs";

const began = Date.now();
const host = process.env.HOST || "127.0.0.1";
const port = Number(process.env.PORT || 8787);
const data = resolve(root, process.env.WAYSTATION_DATA || ".waystation");

/** The address that somebody on this machine can open; 0.0.0.0 is not one. */
const reachable = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[host] ?? (host.includes(":") ? `[${host}]` : host);
const http = `http://${reachable}:${port}`;

function describe(settings) {
  const [seed] = (settings.BOOTSTRAP_SIGNING_KEY ?? "").split(",").map((text) => text.trim());
  const key = seed && publicKey(seed);
  const shown = relative(root, data);
  const lines = [
    ["HTTP", http],
    ["WebSocket", `${http.replace("http", "ws")}/signaling`],
    ["public key", key ? `${key.toString("base64")}  (Ed25519, kid ${keyId(key)})` : "none: GET /servers is closed"],
    ["data", shown.startsWith("..") ? data : shown],
  ];
  const other = port === 8787 && reachable === "127.0.0.1" ? "" : ` -- ${http}`;
  say(`\n${bold("Waystation is listening")}  (ready after ${seconds(Date.now() - began)})\n`);
  for (const [name, value] of lines) say(`  ${name.padEnd(11)} ${value}`);
  say("\nTry next:");
  say(`  curl -i ${http}/servers`);
  say(`  npm run demo${other}`);
  say(`  open ${http}/docs\n`);
}

async function serve() {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Trouble(`PORT must be a number between 1 and 65535, not "${process.env.PORT}".`);
  }
  await checkAddress(host, port);
  await buildWorker();
  const settings = gatherSettings();
  await checkAddress(host, port);
  const workerd = startWorkerd({ host, port, state: join(data, "state"), env: settings });

  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, async () => {
      // Impatience counts: the second signal does not wait.
      if (stopping) return workerd.child.kill("SIGKILL");
      stopping = true;
      say("\nStopping …");
      await workerd.stop();
      process.exit(0);
    });
  }
  await untilReady(`${http}/health`, workerd.ended).catch(async (error) => {
    await workerd.stop();
    if (!stopping) throw error;
  });
  if (!stopping) describe(settings);
  const how = await workerd.ended;
  if (!stopping) throw new Trouble(`workerd ended by itself (${how}); what was acknowledged is on disk in ${data}.`);
}

await main(serve);
