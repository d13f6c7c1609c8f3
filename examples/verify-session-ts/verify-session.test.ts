/** A token that the service has issued, and every way to damage it. Run: node --test */

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import test from "node:test";

import { SKEW_MS_MAX, SessionError, verifySession } from "./verify-session.ts";

// RFC 8032, section 7.1, tests 1 and 2.
const KEY = { kid: "21fe31df", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
const OTHER_KEY = { kid: "39f713d0", x: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw" };
const NOW = 1_800_000_000_000;
const TOKEN =
  "eyJkZXZpY2VfaWQiOiJkZXZpY2UiLCJidWlsZF92ZXJzaW9uIjoiMS4yLjAiLCJwbGF0Zm9ybSI6ImFuZHJvaWQiLCJpc3N1ZWRfYXQiOjE4MDAwMDAwMDAwMDAsImV4cGlyZXNfYXQiOjE4MDAwMDM2MDAwMDAsInR5cCI6InNlc3Npb24iLCJraWQiOiIyMWZlMzFkZiIsImF1ZCI6IndheXN0YXRpb24iLCJidWlsZF9oYXNoIjoiaGFzaC0xIiwidGllciI6MSwicG9saWN5X2Vwb2NoIjoxLCJqdGkiOiI2OTUzNzk4ODc2YTJjMzY5ZWJmYWI1MDU5YmU3ODIxYSJ9.OocjS2vA0zwihDDtCw0Wl2u1IbOTkspTEfWo-0OfuX30ZTYkes8xlwhP9lxEiQSLXfDwlIPJ-dC_d-MrxmIFCQ";
const DEMAND = { audience: "waystation", tierMin: 1 };

const refuses = (reason: SessionError["reason"], promise: Promise<unknown>, hint = "") =>
  assert.rejects(promise, (error) => error instanceof SessionError && error.reason === reason, hint);

test("the vector is genuine", async () => {
  const session = await verifySession(TOKEN, [OTHER_KEY, KEY], DEMAND, NOW);
  assert.equal(session.device_id, "device");
  assert.equal(session.build_version, "1.2.0");
  assert.equal(session.tier, 1);
  assert.equal(session.policy_epoch, 1);
});

test("every flipped bit is noticed", async () => {
  for (let bit = 0; bit < TOKEN.length * 7; bit += 1) {
    const at = Math.floor(bit / 7);
    const damaged = String.fromCharCode(TOKEN.charCodeAt(at) ^ (1 << (bit % 7)));
    const bad = TOKEN.slice(0, at) + damaged + TOKEN.slice(at + 1);
    await refuses("genuine", verifySession(bad, [KEY], DEMAND, NOW), `bit ${bit}`);
  }
  for (const bad of ["", ".", TOKEN.slice(1), `${TOKEN}A`, `${TOKEN}=`, `${TOKEN}.`, TOKEN.split(".")[0]!]) {
    await refuses("genuine", verifySession(bad, [KEY], DEMAND, NOW), bad);
  }
});

test("only known keys count", async () => {
  await refuses("genuine", verifySession(TOKEN, [], DEMAND, NOW));
  await refuses("genuine", verifySession(TOKEN, [OTHER_KEY], DEMAND, NOW));
  await refuses("genuine", verifySession(TOKEN, [{ ...OTHER_KEY, kid: KEY.kid }], DEMAND, NOW));
});

test("a session counts in its time", async () => {
  await verifySession(TOKEN, [KEY], DEMAND, NOW + 3_600_000 - 1);
  await verifySession(TOKEN, [KEY], DEMAND, NOW - SKEW_MS_MAX);
  await refuses("time", verifySession(TOKEN, [KEY], DEMAND, NOW + 3_600_000));
  await refuses("time", verifySession(TOKEN, [KEY], DEMAND, NOW - SKEW_MS_MAX - 1));
});

test("audience, tier and policy epoch are demanded", async () => {
  await refuses("audience", verifySession(TOKEN, [KEY], { ...DEMAND, audience: "relay-1" }, NOW));
  await refuses("tier", verifySession(TOKEN, [KEY], { ...DEMAND, tierMin: 2 }, NOW));
  await verifySession(TOKEN, [KEY], { ...DEMAND, policyEpochMin: 1 }, NOW);
  await refuses("epoch", verifySession(TOKEN, [KEY], { ...DEMAND, policyEpochMin: 2 }, NOW));
});

test("another kind of signed payload is no session", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const key = { kid: "own", x: publicKey.export({ format: "jwk" }).x! };
  const good = JSON.parse(Buffer.from(TOKEN.split(".")[0]!, "base64url").toString());
  const issue = (payload: unknown) => {
    const bytes = Buffer.from(JSON.stringify(payload));
    return `${bytes.toString("base64url")}.${sign(null, bytes, privateKey).toString("base64url")}`;
  };
  await verifySession(issue({ ...good, kid: "own" }), [key], DEMAND, NOW);
  for (const change of [{ typ: "build" }, { typ: undefined }, { expires_at: "never" }, { tier: 1.5 }, { kid: "other" }]) {
    const token = issue({ ...good, kid: "own", ...change });
    await refuses("genuine", verifySession(token, [key], DEMAND, NOW), JSON.stringify(change));
  }
  await refuses("genuine", verifySession(issue(null), [key], DEMAND, NOW));
});
