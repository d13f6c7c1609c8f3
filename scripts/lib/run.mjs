// Running other programs from the repository's root.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Trouble } from "./say.mjs";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const at = (...parts) => join(root, ...parts);

function start(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, ...options });
    let output = "";
    for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      from?.on("data", (data) => {
        output += data;
        if (options.show) to.write(data);
      });
    }
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, output }));
  });
}

/** Runs a program that the person watches. `failed` is the sentence for when it does not end well. */
export async function run(program, args, failed, options = {}) {
  const { code, output } = await start(program, args, { stdio: ["ignore", "inherit", "inherit"], ...options }).catch(
    (error) => ({ code: error.message }),
  );
  if (code !== 0) throw new Trouble(failed);
  return output;
}

/** As `run`, and also returns what the program printed. */
export const runAndKeep = (program, args, failed, options = {}) =>
  run(program, args, failed, { stdio: ["ignore", "pipe", "pipe"], show: true, ...options });

/** As `run`, but what the program printed is shown only when it failed. */
export async function runQuietly(program, args, failed, options = {}) {
  const { code, output } = await start(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options }).catch(
    (error) => ({ code: error.code, output: `${error.message}\n` }),
  );
  if (code === 0) return output;
  process.stderr.write(output);
  throw new Trouble(failed);
}

/** What a program prints, or undefined when it is missing or fails. */
export async function ask(program, args) {
  const answer = await start(program, args, { stdio: ["ignore", "pipe", "ignore"] }).catch(() => undefined);
  return answer?.code === 0 ? answer.output.trim() : undefined;
}
