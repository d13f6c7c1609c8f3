// The floor's attestation: devices, challenges and the leaves of a file as rows, MACs and tokens by the platform's own
// cryptography. It computes what an answer needs and compares it, and checks nothing else: no token, policy or quota.
import { DurableObject } from "cloudflare:workers";

const [LEAF_BYTES, LEAVES_PER_PART, BLOCK_BYTES, BLOCKS] = [64 * 1024, 64, 4096, 16];

const TABLES = `
  CREATE TABLE IF NOT EXISTS device (id TEXT PRIMARY KEY, entry TEXT NOT NULL, seen INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS challenge (nonce TEXT PRIMARY KEY, device TEXT NOT NULL, offsets TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;`;
const FILE_TABLES = "CREATE TABLE IF NOT EXISTS leaf (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, bytes BLOB NOT NULL) STRICT";

const json = (value) => Response.json(value);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/[+/]/g, (letter) => (letter === "+" ? "-" : "_")).replace(/=/g, "");

/** Requests go to the registry, parts and completions to the object of their file, and so do answers. */
export async function attest(request, env, path) {
  const registry = env.ATTEST.getByName("global");
  const [, build] = /^\/attest\/references\/([^/]+)/.exec(path) ?? [];
  if (build) return env.FILE.getByName(build).fetch(request);
  if (!path.endsWith("/verify")) return registry.fetch(request);
  const answer = await request.json();
  const asked = await registry.use(answer);
  if (!(await env.FILE.getByName(asked.build).judge(asked, answer))) return new Response(null, { status: 403 });
  return json({ valid: true, session_token: await registry.grant(answer.device_id) });
}

export class Attest extends DurableObject {
  #sql = this.ctx.storage.sql;
  #key = crypto.subtle.generateKey("Ed25519", false, ["sign"]);
  #build;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql.exec(TABLES);
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = await request.json();
    const now = Date.now();
    if (pathname.endsWith("/references")) {
      const { build_hash, size } = JSON.parse(body.manifest);
      // Challenges are about the first file.
      this.#build ??= { id: build_hash, size };
      return json({ reference_id: build_hash });
    }
    if (pathname.endsWith("/register")) {
      const device = { device_id: body.device_id, ...JSON.parse(body.build_token.payload), registered_at: now };
      this.#sql.exec("INSERT OR REPLACE INTO device VALUES (?, ?, ?)", body.device_id, JSON.stringify(device), now);
      return json({ status: "registered", device });
    }
    const nonce = hex(crypto.getRandomValues(new Uint8Array(32)));
    const blocks = Math.floor(this.#build.size / BLOCK_BYTES);
    const offsets = Array.from(crypto.getRandomValues(new Uint32Array(BLOCKS)), (number) => (number % blocks) * BLOCK_BYTES);
    this.#sql.exec("UPDATE device SET seen = ? WHERE id = ?", now, body.device_id);
    this.#sql.exec("INSERT INTO challenge VALUES (?, ?, ?, ?)", nonce, body.device_id, JSON.stringify(offsets), now + 300_000);
    return json({ nonce, regions: offsets.map((offset, index) => ({ index, offset, length: BLOCK_BYTES })), expires_at: now + 300_000 });
  }

  use({ nonce }) {
    const { offsets } = this.#sql.exec("DELETE FROM challenge WHERE nonce = ? RETURNING offsets", nonce).one();
    return { build: this.#build.id, offsets: JSON.parse(offsets) };
  }

  async grant(device_id) {
    const now = Date.now();
    const device = JSON.parse(this.#sql.exec("SELECT entry FROM device WHERE id = ?", device_id).one().entry);
    this.#sql.exec("UPDATE device SET seen = ? WHERE id = ?", now, device_id);
    const payload = new TextEncoder().encode(JSON.stringify({ ...device, issued_at: now, expires_at: now + 3_600_000, tier: 1 }));
    const signature = await crypto.subtle.sign("Ed25519", (await this.#key).privateKey, payload);
    return `${base64url(payload)}.${base64url(new Uint8Array(signature))}`;
  }
}

export class AttestFile extends DurableObject {
  #sql = this.ctx.storage.sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql.exec(FILE_TABLES);
  }

  async fetch(request) {
    const [, number] = /\/parts\/(\d+)/.exec(request.url) ?? [];
    if (number === undefined) return json({ success: true });
    const part = new Uint8Array(await request.arrayBuffer());
    await crypto.subtle.digest("SHA-256", part);
    const leaves = [];
    for (let at = 0; at < part.length; at += LEAF_BYTES) leaves.push(part.slice(at, at + LEAF_BYTES));
    const hashes = await Promise.all(leaves.map((leaf) => crypto.subtle.digest("SHA-256", leaf)));
    for (const [at, leaf] of leaves.entries()) {
      this.#sql.exec("INSERT OR REPLACE INTO leaf VALUES (?, ?, ?)", number * LEAVES_PER_PART + at, hashes[at], leaf);
    }
    return json({ success: true, part: Number(number) });
  }

  async judge({ offsets }, { nonce, responses }) {
    const key = await crypto.subtle.importKey("raw", unhex(nonce), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    const good = await Promise.all(
      offsets.map((offset, index) => {
        const query = "SELECT substr(bytes, ?, ?) AS piece FROM leaf WHERE number = ?";
        const { piece } = this.#sql.exec(query, (offset % LEAF_BYTES) + 1, BLOCK_BYTES, Math.floor(offset / LEAF_BYTES)).one();
        return crypto.subtle.verify("HMAC", key, unhex(responses[index].hmac), piece);
      }),
    );
    return good.every(Boolean);
  }
}
