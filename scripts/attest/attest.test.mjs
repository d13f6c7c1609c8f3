/** CI's programs against the service's golden files and a stand-in for the service. Run: node --test scripts/attest */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { buildHashOf, keyFromSeed, signText, treeHash } from "./ci.mjs";

// RFC 8032, section 7.1, test 2.
const SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const golden = JSON.parse(
  readFileSync(new URL("../../tests/golden/attestation/manifest.json", import.meta.url), "utf8"),
);
const file = Buffer.from(Array.from({ length: golden.size }, (_, at) => (at * 31) % 251));
const path = join(mkdtempSync(join(tmpdir(), "attest-")), "app.bin");
writeFileSync(path, file);

const run = (program, args, env = {}) =>
  promisify(execFile)(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...args], {
    env: { PATH: process.env.PATH, BUILD_SIGNING_KEY: SEED, CI_UPLOAD_SECRET: "ci", ...env },
  });

/** A stand-in that remembers requests and answers from a list of functions. */
async function standIn(answer) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const seen = { method: request.method, url: request.url, bearer: request.headers.authorization };
    requests.push({ ...seen, body: Buffer.concat(pieces) });
    const [status, body] = answer(requests.at(-1), requests.length);
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { requests, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

test("the documented signature and the service's golden manifest are made", () => {
  const key = keyFromSeed(SEED);
  const payload = '{"version":"1.0.0","platform":"android","build_hash":"abc123","timestamp":1700000000000}';
  const documented = "f8vEydNfRWVGdCE9vJaQ/BRPgX9lLzhDrva2qmPTcv3EG1GIKHCDtPfIKgG0E5JagQOTQ94Z/JZAHo/5TBquCA==";
  assert.equal(signText(key, payload), documented);
  assert.equal(signText(keyFromSeed(Buffer.from(SEED, "hex").toString("base64")), payload), documented);
  const manifest = JSON.parse(golden.manifest);
  assert.equal(treeHash(file, 64 * 1024), manifest.tree_hash);
  assert.equal(buildHashOf(file), manifest.build_hash);
});

test("a build token is signed in every form", async () => {
  const args = ["--version", "1.2.0", "--platform", "linux", "--file", path];
  for (const format of ["json", "base64", "flat"]) {
    const { stdout } = await run("sign-build-token.mjs", [...args, "--format", format]);
    const token = JSON.parse(format === "base64" ? Buffer.from(stdout, "base64").toString() : stdout);
    const { signature, ...members } = token;
    const payload = format === "flat" ? JSON.stringify(members) : token.payload;
    assert.equal(signature, signText(keyFromSeed(SEED), payload));
    const { timestamp, ...build } = JSON.parse(payload);
    assert.deepEqual(build, { version: "1.2.0", platform: "linux", build_hash: buildHashOf(file) });
    assert.ok(Math.abs(Date.now() - timestamp) < 60_000);
  }
});

test("a whole file is uploaded as the golden manifest says, and trouble that passes is waited for", async () => {
  const service = await standIn((request, count) => {
    if (count === 1) return [503, {}];
    if (request.url === "/attest/references") {
      return [200, { reference_id: "id", part_size: 100_000, parts: 2, missing_parts: [1] }];
    }
    return [200, { success: true }];
  });
  const args = ["--url", service.url, "--version", "1.2.0", "--platform", "linux", "--file", path];
  await run("upload-reference.mjs", [...args, "--critical", "4096:100"]);
  service.close();
  const [, begin, part, complete] = service.requests;
  const { size, ...signed } = golden;
  assert.deepEqual(JSON.parse(begin.body), signed);
  const bytes = file.subarray(100_000, 200_000);
  const digest = createHash("sha256").update(bytes).digest("hex");
  assert.equal(`${part.method} ${part.url}`, `PUT /attest/references/id/parts/1?sha256=${digest}`);
  assert.deepEqual(part.body, bytes);
  assert.equal(`${complete.method} ${complete.url}`, "POST /attest/references/id/complete");
  assert.ok(service.requests.every((request) => request.bearer === "Bearer ci"));
});

test("declared regions are the file's own bytes and fit the service's limit", async () => {
  const service = await standIn(() => [200, { success: true }]);
  const args = ["--url", service.url, "--version", "1.2.0", "--platform", "linux", "--file", path];
  await run("upload-reference.mjs", [...args, "--regions", "48"]);
  service.close();
  const [{ body }] = service.requests;
  assert.ok(body.length <= 65_536, `${body.length}`);
  const { critical_regions } = JSON.parse(body);
  assert.equal(new Set(critical_regions.map(({ offset }) => offset)).size, 48);
  for (const { offset, length, data_hex } of critical_regions) {
    assert.equal(data_hex, file.subarray(offset, offset + length).toString("hex"));
  }
});

test("a refusal stops at once and a missing secret is named", async () => {
  const service = await standIn(() => [409, { error: "Another reference is kept for this build" }]);
  const args = ["--url", service.url, "--version", "1.2.0", "--platform", "linux", "--file", path];
  await assert.rejects(run("upload-reference.mjs", args), /Another reference is kept/);
  service.close();
  assert.equal(service.requests.length, 1);
  await assert.rejects(run("upload-reference.mjs", args, { CI_UPLOAD_SECRET: "" }), /CI_UPLOAD_SECRET is not set/);
});
