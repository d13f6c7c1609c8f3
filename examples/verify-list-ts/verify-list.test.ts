/** The vector that every client knows, and every way to damage it. Run: node --test */

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import test from "node:test";

import { SKEW_MS_MAX, VerifyError, verifyList } from "./verify-list.ts";

// RFC 8032, section 7.1, tests 1 and 2.
const KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const KID = "21fe31df";
const OTHER_KEY = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
const TEXT = '{"servers":[],"timestamp":1700000000000}';
const SIGNATURE = "Nfg6+EI6L6MSF4GCUMQ7OJjDKPKoAaMxGpcmIxRM+XkR83/++hlK6WLoasbcOlGxW1cZhjRB8ddVZmxDJjKaBA==";
const NOW = 1_700_000_000_000;

const bytes = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;

const refuses = (reason: VerifyError["reason"], promise: Promise<unknown>, hint = "") =>
  assert.rejects(promise, (error) => error instanceof VerifyError && error.reason === reason, hint);

test("the vector is genuine", async () => {
  const list = await verifyList(bytes(TEXT), { signature: SIGNATURE }, [KEY], NOW);
  assert.deepEqual(list, { servers: [], timestamp: NOW });
});

test("a pinned key is enough during a rotation", async () => {
  const wrong = Buffer.alloc(64, 7).toString("base64");
  const signatures = `deadbeef=${wrong}, ${KID}=${SIGNATURE}`;
  await verifyList(bytes(TEXT), { signature: wrong, signatures }, [KEY], NOW);
  await verifyList(bytes(TEXT), { signature: null, signatures }, [OTHER_KEY, KEY], NOW);
  await refuses("signature", verifyList(bytes(TEXT), { signature: wrong, signatures }, [OTHER_KEY], NOW));
  const otherId = `deadbeef=${SIGNATURE}`;
  await refuses("signature", verifyList(bytes(TEXT), { signature: null, signatures: otherId }, [KEY], NOW));
});

test("every damaged bit is noticed", async () => {
  const good = bytes(TEXT);
  for (let bit = 0; bit < good.length * 8; bit += 1) {
    const body = good.slice();
    body[bit >> 3]! ^= 1 << (bit & 7);
    await refuses("signature", verifyList(body, { signature: SIGNATURE }, [KEY], NOW), `bit ${bit}`);
  }
  for (const signature of [null, "", "AAAA", "not base64", SIGNATURE.slice(4), SIGNATURE.toLowerCase()]) {
    await refuses("signature", verifyList(good, { signature }, [KEY], NOW), String(signature));
  }
});

test("no pinned key trusts nothing", async () => {
  await refuses("signature", verifyList(bytes(TEXT), { signature: SIGNATURE }, [], NOW));
});

test("a list counts for five minutes in either direction", async () => {
  for (const now of [NOW + SKEW_MS_MAX, NOW - SKEW_MS_MAX]) {
    await verifyList(bytes(TEXT), { signature: SIGNATURE }, [KEY], now);
  }
  for (const now of [NOW + SKEW_MS_MAX + 1, NOW - SKEW_MS_MAX - 1, 0]) {
    await refuses("time", verifyList(bytes(TEXT), { signature: SIGNATURE }, [KEY], now));
  }
});

test("a signed body that is no list is not used", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const pinned = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("base64");
  const bodies = ["[]", "{}", "null", "nonsense", '{"servers":[],"timestamp":1.5}', '{"servers":{},"timestamp":1}'];
  for (const text of bodies) {
    const signature = sign(null, Buffer.from(text), privateKey).toString("base64");
    await refuses("body", verifyList(bytes(text), { signature }, [pinned], NOW), text);
  }
});

test("a bad pinned key is told from a bad list", async () => {
  await refuses("pinned-key", verifyList(bytes(TEXT), { signature: SIGNATURE }, ["short"], NOW));
});
