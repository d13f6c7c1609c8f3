// wrangler, under a Node that it accepts, without its own chatter.
import { readFileSync } from "node:fs";
import { at, run, runQuietly } from "./run.mjs";
import { modernNode, wranglerScript } from "./tools.mjs";

export const ENVIRONMENTS = ["qa", "production"];

const environment = () => ({ ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true" });

/** Runs wrangler before the person's eyes; `input` passes the keyboard on. */
export const wrangler = (args, failed, options = {}) =>
  run(modernNode(), [wranglerScript(), ...args], failed, { stdio: "inherit", env: environment(), ...options });

/** What wrangler would deploy to an environment, written to `folder`; returns what it said. */
export const dryRun = (name, folder) =>
  runQuietly(
    modernNode(),
    [wranglerScript(), "deploy", "--dry-run", "--env", name, "--outdir", folder],
    `\`wrangler deploy --dry-run --env ${name}\` failed, see above.`,
    { env: { ...environment(), CI: "true" } },
  );

/** The pieces of wrangler.toml that belong to an environment; "" is the top level. */
export function environmentText(name, text = readFileSync(at("wrangler.toml"), "utf8")) {
  const sections = text.split(/^(?=\[)/m);
  const belongs = (section) => {
    const [, header] = /^\[+([^\]]+)\]/.exec(section) ?? [];
    if (name === "") return header === undefined || !header.startsWith("env.");
    return header === `env.${name}` || header?.startsWith(`env.${name}.`);
  };
  return sections.filter(belongs).join("");
}

/** [binding, class] pairs and variable names of an environment. */
export function declared(name) {
  const text = environmentText(name);
  const bindings = [...text.matchAll(/name = "([A-Z_]+)", class_name = "(\w+)"/g)].map(([, binding, cls]) => `${binding}=${cls}`);
  const [, vars = ""] = /^\[(?:env\.\w+\.)?vars\]\n([^[]*)/m.exec(text) ?? [];
  const variables = [...vars.matchAll(/^(\w+) =/gm)].map(([, variable]) => variable);
  return { bindings: bindings.sort(), variables: variables.sort(), text };
}
