/** What the two programs of CI share: keys, hashes, the service. No dependencies; Node 20 or newer. */

import { createHash, createPrivateKey, sign } from "node:crypto";

/** Prints why and stops. */
export function stop(message) {
  console.error(message);
  process.exit(1);
}

/** `--name value` pairs of the command line; every other word is refused. */
export function options(known) {
  const given = {};
  const words = process.argv.slice(2);
  for (let at = 0; at < words.length; at += 2) {
    const name = words[at]?.replace(/^--/, "");
    if (!words[at].startsWith("--") || !known.includes(name) || words[at + 1] === undefined) {
      stop(`unknown or incomplete option ${words[at]}; known: ${known.map((one) => `--${one}`).join(" ")}`);
    }
    given[name] = words[at + 1];
  }
  return given;
}

/** The value of an environment variable that must be there. */
export function secret(name) {
  const value = process.env[name]?.trim();
  if (!value) stop(`${name} is not set`);
  return value;
}

/** An Ed25519 private key from its seed, written as 64 hex digits or 44 characters of base64. */
export function keyFromSeed(text) {
  const seed = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  if (seed.length !== 32) stop("BUILD_SIGNING_KEY must be an Ed25519 seed: 64 hex digits or 44 characters of base64");
  // PKCS #8 around a bare seed (RFC 8410, section 7).
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
}

/** Ed25519 over a text, base64. */
export const signText = (key, text) => sign(null, Buffer.from(text), key).toString("base64");

export const sha256 = (...pieces) => {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
};

/** What names a build: the hash of its file, unless CI has a name of its own. */
export const buildHashOf = (bytes) => sha256(bytes).toString("hex");

/** The root over leaves of `leafSize` bytes (RFC 9162, section 2.1.1). */
export function treeHash(bytes, leafSize) {
  let level = [];
  for (let at = 0; at < bytes.length; at += leafSize) {
    level.push(sha256(Buffer.from([0]), bytes.subarray(at, at + leafSize)));
  }
  while (level.length > 1) {
    const next = [];
    for (let at = 0; at < level.length; at += 2) {
      next.push(at + 1 < level.length ? sha256(Buffer.from([1]), level[at], level[at + 1]) : level[at]);
    }
    level = next;
  }
  return level[0].toString("hex");
}

const ATTEMPTS_MAX = 5;

/** A request to the service, repeated while the trouble may pass. Every request here is safe to repeat. */
export async function ask(base, bearer, method, path, body) {
  for (let attempt = 1; ; attempt += 1) {
    let trouble;
    try {
      const headers = { Authorization: `Bearer ${bearer}` };
      const answer = await fetch(new URL(path, base), { method, headers, body, signal: AbortSignal.timeout(60_000) });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      trouble = `${method} ${path} answered ${answer.status}: ${text}`;
      if (answer.status < 500 && answer.status !== 429) stop(trouble);
    } catch (error) {
      trouble = `${method} ${path}: ${error.message}`;
    }
    if (attempt === ATTEMPTS_MAX) stop(trouble);
    await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** attempt * Math.random()));
  }
}
