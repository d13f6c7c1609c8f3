/**
 * How a relay or a service checks a session token of Waystation's attestation, without asking anybody.
 *
 * A token is `base64url(payload).base64url(signature)`: Ed25519 over the payload's bytes, by a key of
 * `GET /.well-known/jwks.json`. No dependencies; runs in Node 22 or newer, and wherever there is the same WebCrypto.
 */

/** How far this clock may be behind the issuer's. */
export const SKEW_MS_MAX = 60_000;

export type Session = {
  device_id: string;
  build_version: string;
  platform: string;
  build_hash: string;
  issued_at: number;
  expires_at: number;
  typ: "session";
  kid: string;
  aud: string;
  /** 0: registered; 1: has the released file; 2: has it and holds a device key. */
  tier: number;
  policy_epoch: number;
  jti: string;
  trust_level?: string;
  cnf?: string;
};

export type Demand = {
  /** Whom the token must be for: "waystation", or what was named when the challenge was asked for. */
  audience: string;
  tierMin: number;
  /** After a version was blocked, its policy_epoch goes here, and older sessions end at once. */
  policyEpochMin?: number;
};

/** A key of the key set. */
export type Key = { kid: string; x: string };

export class SessionError extends Error {
  readonly reason: "genuine" | "time" | "audience" | "tier" | "epoch";

  constructor(reason: SessionError["reason"], message: string) {
    super(message);
    this.name = "SessionError";
    this.reason = reason;
  }
}

/** The session in `token`, if one of `keys` has signed it and it fulfils `demand`; throws a {@link SessionError}. */
export async function verifySession(
  token: string,
  keys: Key[],
  demand: Demand,
  nowMs: number = Date.now(),
): Promise<Session> {
  const session = await genuine(token, keys);
  if (session === undefined) throw new SessionError("genuine", "not a session that a known key has signed");
  if (session.expires_at <= nowMs || session.issued_at > nowMs + SKEW_MS_MAX) {
    throw new SessionError("time", "the session is over, or not yet");
  }
  if (session.aud !== demand.audience) throw new SessionError("audience", "the session is for somebody else");
  if (session.tier < demand.tierMin) throw new SessionError("tier", "too little was shown for this session");
  if (session.policy_epoch < (demand.policyEpochMin ?? 0)) {
    throw new SessionError("epoch", "the version policy has changed since");
  }
  return session;
}

/** The keys of the service at `base`. Keep them, and ask again when a token names an unknown one. */
export async function fetchKeys(base: string): Promise<Key[]> {
  const answer = await fetch(new URL("/.well-known/jwks.json", base));
  if (!answer.ok) throw new Error(`the key set answered ${answer.status}`);
  const set = (await answer.json()) as { keys: (Key & { crv: string; kty: string })[] };
  return set.keys.filter((key) => key.kty === "OKP" && key.crv === "Ed25519");
}

async function genuine(token: string, keys: Key[]): Promise<Session | undefined> {
  const parts = token.split(".");
  const [payload, signature] = parts.map(fromBase64url);
  if (parts.length !== 2 || payload === undefined || signature?.length !== 64) return undefined;
  let session: Partial<Session> | null;
  try {
    session = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
  // The id only chooses among known keys. The algorithm is fixed, and the kind keeps other signed things out.
  const key = keys.find((known) => known.kid === session?.kid);
  const raw = key && fromBase64url(key.x);
  if (raw?.length !== 32 || session?.typ !== "session") return undefined;
  const imported = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  if (!(await crypto.subtle.verify("Ed25519", imported, signature, payload))) return undefined;
  const numbers = [session.issued_at, session.expires_at, session.tier, session.policy_epoch];
  return numbers.every(Number.isSafeInteger) ? (session as Session) : undefined;
}

/** Strict: one text for each value, so that nobody can write the same token in two ways. */
function fromBase64url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
    const again = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
    return again === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}

// As a program: node verify-session.ts http://127.0.0.1:8787 <token> [audience] [tier]
if (typeof process !== "undefined" && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  const [base, token, audience = "waystation", tier = "1"] = process.argv.slice(2);
  if (base === undefined || token === undefined) {
    console.error("usage: node verify-session.ts <base URL> <token> [audience] [tier]");
    process.exit(2);
  }
  try {
    const session = await verifySession(token, await fetchKeys(base), { audience, tierMin: Number(tier) });
    console.log(`genuine: ${session.device_id} runs ${session.build_version} on ${session.platform}, tier ${session.tier}`);
  } catch (error) {
    console.error(`refuse this token: ${(error as Error).message}`);
    process.exit(1);
  }
}
