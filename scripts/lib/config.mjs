// Lists that stand in several files must agree: settings, bindings, classes, dates.
import { readdirSync, readFileSync } from "node:fs";
import { at } from "./run.mjs";
import { Trouble } from "./say.mjs";
import { SETTINGS } from "./settings.mjs";
import { declared, ENVIRONMENTS } from "./wrangler.mjs";

function agree(what, expected, found, where) {
  const missing = expected.filter((name) => !found.includes(name));
  const extra = found.filter((name) => !expected.includes(name));
  if (missing.length === 0 && extra.length === 0) return;
  const parts = [missing.length && `lacks ${missing.join(", ")}`, extra.length && `has ${extra.join(", ")} too many`];
  throw new Trouble(`${where} ${parts.filter(Boolean).join(" and ")}: its ${what} must be the same everywhere.`);
}

/** The names that the service reads, which are some of SETTINGS: the rest belongs to parts that are still to come. */
function settingsInRust() {
  const folder = at("src/kernel/settings");
  const texts = readdirSync(folder).map((file) => readFileSync(`${folder}/${file}`, "utf8").split("#[cfg(test)]")[0]);
  return texts.flatMap((text) => all(text, /\(\s*"([A-Z][A-Z0-9_]+)"/g));
}

const all = (text, pattern) => [...text.matchAll(pattern)].map(([, first]) => first);

export function checkConfiguration() {
  const capnp = readFileSync(at("workerd.capnp"), "utf8");
  const toml = readFileSync(at("wrangler.toml"), "utf8");
  const settings = [...capnp.matchAll(/name = "(\w+)", fromEnvironment = "(\w+)"/g)].map(([, name, from]) => {
    if (name !== from) throw new Trouble(`workerd.capnp gives ${name} the value of ${from}.`);
    return name;
  });
  agree("settings", SETTINGS, settings, "workerd.capnp");
  const unknown = settingsInRust().find((name) => !SETTINGS.includes(name));
  if (unknown) throw new Trouble(`src/kernel/settings reads ${unknown}, which scripts/lib/settings.mjs does not name.`);

  const development = declared("");
  const local = [...capnp.matchAll(/name = "(\w+)", durableObjectNamespace = "(\w+)"/g)].map(([, name, cls]) => `${name}=${cls}`);
  agree("bindings", development.bindings, local.sort(), "workerd.capnp");
  for (const name of ENVIRONMENTS) {
    const environment = declared(name);
    agree("bindings", development.bindings, environment.bindings, `[env.${name}] in wrangler.toml`);
    agree("variables", development.variables, environment.variables, `[env.${name}] in wrangler.toml`);
    if (!environment.text.includes(`ENVIRONMENT = "${name}"`)) {
      throw new Trouble(`[env.${name}.vars] in wrangler.toml must say ENVIRONMENT = "${name}".`);
    }
  }

  const classes = development.bindings.map((pair) => pair.split("=")[1]).sort();
  agree("classes", classes, all(capnp, /className = "(\w+)", uniqueKey/g).sort(), "workerd.capnp");
  agree("classes", classes, all(toml, /new_sqlite_classes = \["(\w+)"\]/g).sort(), "The migrations in wrangler.toml");
  agree("classes", classes, all(readFileSync(at("src/shell/shim.mjs"), "utf8"), /^export const (\w+) = durable/gm).sort(), "shim.mjs");
  agree("compatibility date", [/compatibilityDate = "(.+?)"/.exec(capnp)[1]], [/compatibility_date = "(.+?)"/.exec(toml)[1]], "wrangler.toml");
  return `${SETTINGS.length} settings, ${classes.length} object classes, ${ENVIRONMENTS.length + 1} environments agree`;
}
