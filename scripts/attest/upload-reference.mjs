/**
 * Tells the service what the released file of a build looks like.
 *
 *   CI_UPLOAD_SECRET=… BUILD_SIGNING_KEY=… node scripts/attest/upload-reference.mjs \
 *     --url https://signal.example --version 1.2.0 --platform android --file app.bin [--critical 4096:65536,1000000:512]
 *
 * Uploads the whole file, in parts, and goes on where an interrupted run stopped. With `--regions 24` it declares that
 * many regions of 512 bytes instead, with their bytes, in one request: weaker, for services that keep no files.
 * `--critical` names pieces (offset:length) that challenges favour. `--build-hash` as in sign-build-token.mjs.
 *
 * What is uploaded for a build never changes. The same upload again is fine; another one is refused with 409.
 */

import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";

import { ask, buildHashOf, keyFromSeed, options, secret, sha256, signText, stop, treeHash } from "./ci.mjs";

const LEAF_SIZE = 64 * 1024;
const REGION_SIZE = 512;
/** The service takes 64 KiB of JSON: 48 regions of 512 bytes in hex, with room for the rest. */
const REGIONS_MAX = 48;

const given = options(["url", "version", "platform", "file", "build-hash", "critical", "regions"]);
if (!given.url || !given.version || !given.platform || !given.file) {
  stop("needed: --url, --version, --platform, --file");
}
const bearer = secret("CI_UPLOAD_SECRET");
const file = readFileSync(given.file);
const build = {
  version: given.version,
  platform: given.platform,
  build_hash: given["build-hash"] ?? buildHashOf(file),
};
const critical = (given.critical ?? "").split(",").filter(Boolean).map((range) => {
  const [offset, length] = range.split(":").map(Number);
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) stop(`--critical ${range} is not offset:length`);
  return { offset, length };
});

const answer = given.regions === undefined ? await uploadWhole() : await declareRegions(Number(given.regions));
console.log(JSON.stringify(answer));

async function uploadWhole() {
  const manifest = JSON.stringify({
    typ: "manifest",
    ...build,
    size: file.length,
    tree_hash: treeHash(file, LEAF_SIZE),
    critical_ranges: critical,
  });
  const key = keyFromSeed(secret("BUILD_SIGNING_KEY"));
  const signature = signText(key, `waystation/attest/manifest/v1\n${manifest}`);
  const begun = await ask(given.url, bearer, "POST", "/attest/references", JSON.stringify({ manifest, signature }));
  for (const part of begun.missing_parts) {
    const bytes = file.subarray(part * begun.part_size, (part + 1) * begun.part_size);
    const path = `/attest/references/${begun.reference_id}/parts/${part}?sha256=${sha256(bytes).toString("hex")}`;
    await ask(given.url, bearer, "PUT", path, bytes);
    console.error(`part ${part + 1} of ${begun.parts}`);
  }
  return ask(given.url, bearer, "POST", `/attest/references/${begun.reference_id}/complete`);
}

/** Regions on random blocks, so that nobody knows them from the script; the same ones cannot be declared twice. */
async function declareRegions(count) {
  const blocks = Math.floor(file.length / REGION_SIZE);
  if (!(count >= 1 && count <= REGIONS_MAX && count <= blocks)) stop(`--regions is 1 to ${Math.min(REGIONS_MAX, blocks)}`);
  const chosen = new Set();
  while (chosen.size < count) chosen.add(randomInt(blocks));
  const isCritical = (offset) =>
    critical.some((range) => offset < range.offset + range.length && range.offset < offset + REGION_SIZE);
  const regions = [...chosen].sort((left, right) => left - right).map((block) => {
    const offset = block * REGION_SIZE;
    const data_hex = file.subarray(offset, offset + REGION_SIZE).toString("hex");
    return { offset, length: REGION_SIZE, data_hex, weight: isCritical(offset) ? 4 : 1 };
  });
  const body = JSON.stringify({ ...build, size: file.length, critical_regions: regions });
  return ask(given.url, bearer, "POST", "/attest/upload-reference", body);
}
