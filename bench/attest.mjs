// The cases of attestation: devices that register, challenges about a file of 20 MB that are answered, parts of a file.
import { createHash, createHmac, createPrivateKey, createPublicKey, randomBytes, sign } from "node:crypto";
import { Connection, request } from "./client/http.mjs";
import { stretch } from "./measure.mjs";

const LANES = 16;
const FILE_BYTES = 20_000_000;
const LEAF_BYTES = 64 * 1024;
export const PART_BYTES = 4 * 1024 * 1024;
/** Sessions that one device gets in an hour; and devices of a lane, enough for a stretch. */
const SESSIONS = 20;
const DEVICES = 40;

const pem = (seed) => createPrivateKey({ key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]), format: "der", type: "pkcs8" });
/** The seed of RFC 8032, section 7.1, test 2. */
const buildKey = pem(Buffer.from("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "hex"));
const CI = { Authorization: "Bearer bench" };

/** What our service needs besides; the seed is that of test 1. */
export const SETTINGS = {
  ATTESTATION_SIGNING_KEY: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
  BUILD_TOKEN_VERIFY_KEY: createPublicKey(buildKey).export({ format: "der", type: "spki" }).subarray(-32).toString("base64"),
  CI_UPLOAD_SECRET: "bench",
};

const signed = (text) => sign(null, Buffer.from(text), buildKey).toString("base64");
const sha256 = (...pieces) => pieces.reduce((hash, piece) => hash.update(piece), createHash("sha256")).digest();

const file = randomBytes(FILE_BYTES);
const pieces = (bytes) => Array.from({ length: Math.ceil(FILE_BYTES / bytes) }, (_, at) => file.subarray(at * bytes, (at + 1) * bytes));

/** The root over the leaves: RFC 9162, section 2.1.1. */
function treeHash() {
  let level = pieces(LEAF_BYTES).map((leaf) => sha256(Buffer.from([0]), leaf));
  while (level.length > 1) {
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, at) => {
      const [left, right] = level.slice(2 * at, 2 * at + 2);
      return right ? sha256(Buffer.from([1]), left, right) : left;
    });
  }
  return level[0].toString("hex");
}

const build = (build_hash) => ({ version: "1.2.0", platform: "linux", build_hash });
let token;
const tokenText = () => {
  const payload = JSON.stringify({ ...build("whole"), timestamp: Date.now() });
  return (token ??= { payload, signature: signed(payload) });
};

async function answered(connection, bytes, what) {
  const status = await connection.send(bytes);
  if (status !== 200) throw new Error(`${what}: ${status} ${connection.answer}`);
  return JSON.parse(connection.answer.slice(connection.answer.indexOf("\r\n\r\n")));
}

/** Begins an upload; the requests that bring its parts. */
async function begun(connection, build_hash) {
  const manifest = JSON.stringify({ typ: "manifest", ...build(build_hash), size: FILE_BYTES, tree_hash: treeHash() });
  const signature = signed(`waystation/attest/manifest/v1\n${manifest}`);
  const { reference_id } = await answered(connection, request("POST", "/attest/references", { headers: CI, body: { manifest, signature } }), "begin");
  const parts = pieces(PART_BYTES).map((part, number) => {
    const path = `/attest/references/${reference_id}/parts/${number}?sha256=${sha256(part).toString("hex")}`;
    const headers = { ...CI, "Content-Type": "application/octet-stream", "Content-Length": part.length };
    return Buffer.concat([request("PUT", path, { headers }), part]);
  });
  return { parts, complete: request("POST", `/attest/references/${reference_id}/complete`, { headers: CI }) };
}

/** The file of the build that all devices run. */
export async function furnish(server) {
  const connection = await Connection.open(server.port);
  const { parts, complete } = await begun(connection, "whole");
  for (const part of parts) await answered(connection, part, "part");
  await answered(connection, complete, "complete");
  connection.close();
}

/** From everywhere: newcomers of one network displace each other. */
const from = () => ({ "CF-Connecting-IP": `10.${randomBytes(3).join(".")}` });
const registration = (device_id) => request("POST", "/attest/register", { headers: from(), body: { build_token: tokenText(), device_id } });
const newId = () => `device-${randomBytes(12).toString("hex")}`;

async function onLanes(server, ms, count, lane) {
  const connections = await Promise.all(Array.from({ length: count }, () => Connection.open(server.port)));
  const ready = await Promise.all(connections.map((connection, index) => lane(connection, index)));
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    Promise.all(
      ready.map(async (turn) => {
        while (on()) {
          const began = performance.now();
          await turn();
          done(performance.now() - began);
        }
      }),
    ),
  );
  for (const connection of connections) connection.close();
  return result;
}

/** A device that was never seen registers. */
export const register = (server, ms) =>
  onLanes(server, ms, LANES, async (connection) => () => answered(connection, registration(newId()), `${server.name}, register`));

/** A device asks for a challenge about the whole file, and answers it: two requests. */
export const attest = (server, ms) =>
  onLanes(server, ms, LANES, async (connection) => {
    const devices = Array.from({ length: DEVICES }, newId);
    for (const device of devices) await answered(connection, registration(device), `${server.name}, register`);
    let turn = 0;
    return async () => {
      const device_id = devices[Math.floor(turn++ / SESSIONS)];
      const wish = { device_id, build_version: "1.2.0" };
      const { nonce, regions } = await answered(connection, request("POST", "/attest/challenge", { body: wish }), `${server.name}, challenge`);
      const key = Buffer.from(nonce, "hex");
      const responses = regions.map(({ index, offset, length }) => ({
        region_index: index,
        hmac: createHmac("sha256", key).update(file.subarray(offset, offset + length)).digest("hex"),
      }));
      await answered(connection, request("POST", "/attest/verify", { body: { device_id, nonce, responses } }), `${server.name}, verify`);
    };
  });

/** Parts of 4 MiB of an upload that stays open, two at a time. */
export const upload = async (server, ms) => {
  const connection = await Connection.open(server.port);
  const { parts } = await begun(connection, "open");
  connection.close();
  // The last one is shorter.
  const whole = parts.slice(0, -1);
  let turn = 0;
  return onLanes(server, ms, 2, async (own) => () => answered(own, whole[turn++ % whole.length], `${server.name}, part`));
};
