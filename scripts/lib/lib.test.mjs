// What the commands promise about keys and settings.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import { CommitCounter } from "../../bench/measure.mjs";
import { parseDotenv } from "./devvars.mjs";
import { developmentSettings, keyId, publicKey } from "./keys.mjs";
import { SECRETS, settingsOf } from "./settings.mjs";
import { environmentText } from "./wrangler.mjs";

test("the public key of a seed is that of RFC 8032, in both forms of the seed", () => {
  const seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
  for (const text of [seed, seed.toUpperCase(), Buffer.from(seed, "hex").toString("base64")]) {
    assert.equal(publicKey(text).toString("base64"), "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  }
  assert.equal(keyId(publicKey(seed)), "21fe31df");
  for (const bad of ["", "00", seed.slice(2), `${seed}00`]) assert.equal(publicKey(bad), undefined);
});

test("development keys open every door but the registry's, and are new each time", () => {
  const [one, other] = [developmentSettings(), developmentSettings()].map((text) => settingsOf(parseDotenv(text)));
  const apns = ["APNS_KEY_P8", "APNS_KEY_ID", "APNS_TEAM_ID"];
  const provided = ["FCM_SERVICE_ACCOUNT", ...apns, "MAIL_WEBHOOK_SECRET", "PUSH_BILLING_KEY", "PUSH_VAPID_KEY", "SERVER_REGISTRY_SECRET"];
  const expected = SECRETS.filter((name) => !provided.includes(name));
  assert.deepEqual(Object.keys(one).sort(), [...expected, "DEV_MODE", "ALLOWED_ORIGINS"].sort());
  for (const name of expected) assert.notEqual(one[name], other[name], name);
  const [[publicHalf, privateHalf]] = Object.entries(JSON.parse(one.PUSH_REGISTRATION_KEYS));
  assert.equal(Buffer.from(publicHalf, "base64").length, 32);
  assert.equal(Buffer.from(privateHalf, "base64").length, 32);
});

test("dotenv lines are read as everywhere", () => {
  const text = "# no\nA=1\n export B = two words # note\nC='x # y'\nD=\"a\\nb\"\nE=\nF=a=b==\r\n=no\nG='{\"k\":\"v\"}'\n";
  const expected = { A: "1", B: "two words", C: "x # y", D: "a\nb", E: "", F: "a=b==", G: '{"k":"v"}' };
  assert.deepEqual(parseDotenv(text), expected);
});

test("nothing but settings is handed to the service", () => {
  assert.deepEqual(settingsOf({ PATH: "/bin", LOG_LEVEL: "info", BUILD_TOKEN_SIGNING_KEY: "x" }), { LOG_LEVEL: "info" });
});

test("the sections of wrangler.toml are told apart", () => {
  const text = 'top = 1\n[vars]\nA = 1\n[env.qa]\nx = 1\n[env.qa.vars]\nB = 1\n[env.qa2.vars]\nC = 1\n[[migrations]]\ntag = "v1"\n';
  assert.equal(environmentText("qa", text), "[env.qa]\nx = 1\n[env.qa.vars]\nB = 1\n");
  assert.equal(environmentText("", text), 'top = 1\n[vars]\nA = 1\n[[migrations]]\ntag = "v1"\n');
});

test("commits are counted in the write-ahead log, also over its restart", () => {
  const folder = mkdtempSync(join(tmpdir(), "waystation-wal-"));
  const database = new DatabaseSync(join(folder, "one.sqlite"));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x)");
  const counter = new CommitCounter(folder);
  const write = (times) => {
    for (let i = 0; i < times; i++) database.exec("INSERT INTO t VALUES (randomblob(9000))");
    counter.look();
  };
  write(3);
  assert.equal(counter.commits, 3);
  database.exec("PRAGMA wal_checkpoint(RESTART)");
  write(2);
  counter.look();
  assert.equal(counter.commits, 5);
  database.close();
  rmSync(folder, { recursive: true });
});
