// One workerd process: started on a free port, stopped gracefully, and never left behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { at } from "./run.mjs";
import { Trouble } from "./say.mjs";
import { workerdProgram } from "./tools.mjs";

const STOP_MS = 5_000;
const READY_MS = 20_000;

/** Refuses an address that cannot be listened on. */
export async function checkAddress(host, port) {
  const server = createServer();
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    if (error.code === "EADDRINUSE") {
      throw new Trouble(`Port ${port} on ${host} is in use: stop what listens there, or choose another, as in PORT=8788 npm start.`);
    }
    if (error.code === "EACCES") throw new Trouble(`Port ${port} needs rights that you do not have: choose one above 1023.`);
    throw new Trouble(`Nothing can listen on ${host}, port ${port} (${error.code}): HOST must be an address of this machine.`);
  }
  await new Promise((closed) => server.close(closed));
}

/**
 * Ends workerd when this process is gone, however it went: `kill -9` runs no handler, but it closes the pipe on which
 * this small shell waits.
 */
function guard(pid) {
  const script = 'read -r _; kill -TERM "$1" 2>/dev/null; sleep 5; kill -KILL "$1" 2>/dev/null';
  const options = { stdio: ["pipe", "ignore", "ignore"], detached: true };
  const watcher = spawn("/bin/sh", ["-c", script, "guard", String(pid)], options);
  watcher.on("error", () => {});
  watcher.unref();
  watcher.stdin.unref?.();
  return () => watcher.kill("SIGKILL");
}

/**
 * Starts workerd. Returns the process, a promise of its end, and `stop`.
 *
 * Detached, so that Ctrl-C in the terminal reaches only us and we stop it in order.
 */
export function startWorkerd({ config = at("workerd.capnp"), host, port, state, env, stdio = "inherit", args = [] }) {
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Trouble(`The data folder ${state} cannot be created (${error.code}).`);
  }
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const all = ["serve", config, `--socket-addr=http=${address}`, `--directory-path=state=${state}`, ...args];
  const child = spawn(workerdProgram(), all, { cwd: at(), env, stdio: ["ignore", stdio, stdio], detached: true });
  const release = child.pid ? guard(child.pid) : () => {};
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.code));
    child.on("exit", (code, signal) => resolve(signal ?? `code ${code}`));
  }).then((how) => {
    release();
    return how;
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })]);
    child.kill("SIGKILL");
    return ended;
  };
  return { child, ended, stop };
}

/** Waits until the service answers at `url`; refuses when workerd ends before. */
export async function untilReady(url, ended) {
  let end;
  ended.then((how) => (end = how));
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    if (end) throw new Trouble(`workerd ended before it answered (${end}): see above.`);
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer) return;
    await sleep(25);
  }
  throw new Trouble(`The service did not answer at ${url} within ${READY_MS / 1000} seconds.`);
}
