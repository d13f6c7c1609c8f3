/**
 * Signs the build token that goes into an app.
 *
 *   BUILD_SIGNING_KEY=… node scripts/attest/sign-build-token.mjs --version 1.2.0 --platform android --file app.bin
 *
 * Prints `{payload, signature}` as one line of JSON. `--build-hash` instead of `--file` names a build whose hash CI knows
 * already; `--format flat` prints `{version, platform, build_hash, timestamp, signature}`, `--format base64` packs the
 * first form. The token says which build an app claims to be; it is public and proves nothing about its bearer.
 *
 * A token cannot hold the hash of the file that it stands in. Hash the file without it (the executable, before packing).
 */

import { readFileSync } from "node:fs";

import { buildHashOf, keyFromSeed, options, secret, signText, stop } from "./ci.mjs";

const given = options(["version", "platform", "file", "build-hash", "format"]);
if (!given.version || !given.platform || Boolean(given.file) === Boolean(given["build-hash"])) {
  stop("needed: --version, --platform, and one of --file and --build-hash");
}
const members = {
  version: given.version,
  platform: given.platform,
  build_hash: given["build-hash"] ?? buildHashOf(readFileSync(given.file)),
  timestamp: Date.now(),
};
const payload = JSON.stringify(members);
const signature = signText(keyFromSeed(secret("BUILD_SIGNING_KEY")), payload);
const token = JSON.stringify({ payload, signature });
switch (given.format ?? "json") {
  case "json":
    console.log(token);
    break;
  case "base64":
    console.log(Buffer.from(token).toString("base64"));
    break;
  case "flat":
    console.log(JSON.stringify({ ...members, signature }));
    break;
  default:
    stop("--format is json, base64 or flat");
}
