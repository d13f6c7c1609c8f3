/**
 * How a client verifies Waystation's signed server list (`GET /servers`).
 *
 * The signature covers the exact bytes of the body: keep them as received, verify before parsing, never re-encode.
 * No dependencies; runs in Node 22 or newer, and in browsers and Deno, which have the same WebCrypto.
 */

/** How far the list's time may be from this clock, in either direction. */
export const SKEW_MS_MAX = 5 * 60 * 1000;

export type List = { servers: Record<string, unknown>[]; timestamp: number };

/** What the two headers say; `null` for a header that is absent. */
export type SignatureHeaders = {
  /** `X-Bootstrap-Signature`: base64, by the current key. */
  signature: string | null;
  /** `X-Bootstrap-Signatures`: `kid=base64` of every key, comma separated. */
  signatures?: string | null;
};

export class VerifyError extends Error {
  readonly reason: "pinned-key" | "signature" | "body" | "time";

  constructor(reason: VerifyError["reason"], message: string) {
    super(message);
    this.name = "VerifyError";
    this.reason = reason;
  }
}

/**
 * The list in `body`, if one of `pinnedKeys` (base64) has signed it about now; throws a {@link VerifyError} otherwise.
 *
 * During a rotation the current key may be one that this client does not know yet; then the signature that
 * `X-Bootstrap-Signatures` holds under a pinned key's id counts.
 */
export async function verifyList(
  body: Uint8Array<ArrayBuffer>,
  headers: SignatureHeaders,
  pinnedKeys: string[],
  nowMs: number = Date.now(),
): Promise<List> {
  let genuine = false;
  for (const pinned of pinnedKeys) {
    const key = await importKey(pinned);
    for (const signature of candidates(headers, key.kid)) {
      genuine ||= await crypto.subtle.verify("Ed25519", key.key, signature, body);
    }
  }
  if (!genuine) throw new VerifyError("signature", "no signature is a pinned key's over this body");

  const list = parse(body);
  if (Math.abs(nowMs - list.timestamp) > SKEW_MS_MAX) {
    throw new VerifyError("time", "the list is older than five minutes, or that far ahead of this clock");
  }
  return list;
}

/** Fetches and verifies the list of the service at `base`. */
export async function fetchList(base: string, pinnedKeys: string[]): Promise<List> {
  const answer = await fetch(new URL("/servers", base));
  if (!answer.ok) throw new Error(`GET /servers answered ${answer.status}`);
  const headers = {
    signature: answer.headers.get("X-Bootstrap-Signature"),
    signatures: answer.headers.get("X-Bootstrap-Signatures"),
  };
  return verifyList(new Uint8Array(await answer.arrayBuffer()), headers, pinnedKeys);
}

type PinnedKey = { key: CryptoKey; kid: string };

async function importKey(base64: string): Promise<PinnedKey> {
  const raw = fromBase64(base64);
  if (raw?.length !== 32) throw new VerifyError("pinned-key", "a pinned key is not 32 bytes in base64");
  const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  // The key id: first 8 hex digits of the SHA-256 of the public key.
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
  const kid = Array.from(hash.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { key, kid };
}

/** The signatures that the key with this id may have made. */
function candidates(headers: SignatureHeaders, kid: string): Uint8Array<ArrayBuffer>[] {
  const texts = headers.signature === null ? [] : [headers.signature];
  for (const pair of (headers.signatures ?? "").split(",")) {
    const [id, ...rest] = pair.trim().split("=");
    if (id === kid) texts.push(rest.join("="));
  }
  return texts.map(fromBase64).filter((signature) => signature?.length === 64) as Uint8Array<ArrayBuffer>[];
}

function parse(body: Uint8Array<ArrayBuffer>): List {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
    value = JSON.parse(text);
  } catch {
    throw new VerifyError("body", "the body is not JSON");
  }
  const list = value as Partial<List> | null;
  // JSON.parse cannot tell 1700000000000.0 from an integer; clients in other languages can, so the service never sends it.
  if (typeof list !== "object" || !Array.isArray(list?.servers) || !Number.isSafeInteger(list.timestamp)) {
    throw new VerifyError("body", "the body is not a server list");
  }
  return list as List;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

// As a program: node verify-list.ts http://127.0.0.1:8787 <public key>...
if (typeof process !== "undefined" && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  const [base, ...pinned] = process.argv.slice(2);
  if (base === undefined || pinned.length === 0) {
    console.error("usage: node verify-list.ts <base URL> <public key>...");
    process.exit(2);
  }
  try {
    const list = await fetchList(base, pinned);
    console.log(`genuine: ${list.servers.length} servers, signed at ${new Date(list.timestamp).toISOString()}`);
  } catch (error) {
    console.error(`do not use this list: ${(error as Error).message}`);
    process.exit(1);
  }
}
