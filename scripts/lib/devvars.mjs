// Where the settings of `npm start` come from: the process environment, else .dev.vars (in development only).
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { developmentSettings } from "./keys.mjs";
import { at } from "./run.mjs";
import { say, Trouble } from "./say.mjs";
import { settingsOf } from "./settings.mjs";

const FILE = at(".dev.vars");

/** NAME=value lines; comments, blank lines, `export`, and single or double quotes as everywhere. */
export function parseDotenv(text) {
  const pairs = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, rest] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (!name) continue;
    const [, quote, inner] = /^(['"])(.*)\1(?:\s+#.*)?$/.exec(rest) ?? [];
    if (quote === '"') pairs[name] = inner.replaceAll("\\n", "\n").replaceAll('\\"', '"');
    else pairs[name] = quote ? inner : rest.replace(/\s+#.*$/, "");
  }
  return pairs;
}

/** All settings for the service. */
export function gatherSettings() {
  const own = settingsOf(process.env);
  if (own.ENVIRONMENT && own.ENVIRONMENT !== "development") {
    say(`ENVIRONMENT is ${own.ENVIRONMENT}: settings come from the process environment alone, .dev.vars is not read.`);
    return own;
  }
  if (!existsSync(FILE)) {
    writeFileSync(FILE, developmentSettings(), { mode: 0o600, flag: "wx" });
    say("Generated development keys: .dev.vars (readable by you alone, ignored by git).");
  }
  const file = settingsOf(parseDotenv(readFileSync(FILE, "utf8")));
  if (file.ENVIRONMENT && file.ENVIRONMENT !== "development") {
    throw new Trouble(
      `.dev.vars says ENVIRONMENT=${file.ENVIRONMENT}, but its keys are for development: take the line out, or set ` +
        "ENVIRONMENT and every secret in the process environment.",
    );
  }
  return { ...file, ...own };
}
