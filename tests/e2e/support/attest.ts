// What CI, a device and an operator do for attestation, from the specification's words and node:crypto alone.

import assert from 'node:assert/strict';
import { createHash, createHmac, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { assertProblem, Service } from './service.ts';
import type { Answer, Ask, Settings } from './service.ts';
import { fromSeed, rawPublic, verifies } from './signing.ts';

export const SESSION_SEED = '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb';
export const BUILD_SEED = 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7';
export const CI_SECRET = 'ci-upload-secret-0123456789abcdef';
export const ADMIN_SECRET = 'operator-secret-0123456789abcdef0';
export const CI = { Authorization: `Bearer ${CI_SECRET}` };
export const OPERATOR = { Authorization: `Bearer ${ADMIN_SECRET}` };
export const SECRETS: Settings = {
  ATTESTATION_SIGNING_KEY: SESSION_SEED,
  BUILD_TOKEN_VERIFY_KEY: rawPublic(fromSeed(Buffer.from(BUILD_SEED, 'hex'))).toString('base64'),
  CI_UPLOAD_SECRET: CI_SECRET,
  ADMIN_SECRET,
};
const buildKey = fromSeed(Buffer.from(BUILD_SEED, 'hex'));

export type Build = { version: string; platform: string; build_hash: string };
export type Asked = { index: number; offset: number; length: number };
export type Challenge = { nonce: string; regions: Asked[]; expires_at: number };
export type Response = { region_index: number; hmac: string };

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');
export const signed = (text: string, key: KeyObject = buildKey): string => sign(null, Buffer.from(text), key).toString('base64');

/** A build that no other test uses. */
export const newBuild = (version = '1.2.0', platform = 'linux'): Build => ({ version, platform, build_hash: sha256(randomUUID()) });

export function payloadOf(build: Build, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ version: build.version, platform: build.platform, build_hash: build.build_hash, timestamp: Date.now(), ...more });
}

export function tokenOf(build: Build, more: Record<string, unknown> = {}): { payload: string; signature: string } {
  const payload = payloadOf(build, more);
  return { payload, signature: signed(payload) };
}

/** The MAC of a region: the key is the nonce's 32 bytes, or as the app in the field does, its 64 letters. */
export function mac(nonce: string, bytes: Buffer, key: 'bytes' | 'letters' = 'bytes'): string {
  return createHmac('sha256', key === 'bytes' ? Buffer.from(nonce, 'hex') : Buffer.from(nonce)).update(bytes).digest('hex');
}

export function answers(challenge: Challenge, file: Buffer, key: 'bytes' | 'letters' = 'bytes'): Response[] {
  return challenge.regions.map(({ index, offset, length }) => ({
    region_index: index, hmac: mac(challenge.nonce, file.subarray(offset, offset + length), key),
  }));
}

/** Regions of a file, with their bytes. */
export function regionsOf(file: Buffer, spans: [number, number][]): Record<string, unknown>[] {
  return spans.map(([offset, length]) => ({ offset, length, data_hex: file.subarray(offset, offset + length).toString('hex') }));
}

function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(five.padEnd(5, '0'), 2)]).join('');
}

/** A device that owns a key; its id is the key's. */
export class KeyedDevice {
  key: KeyObject;
  raw: Buffer;
  id: string;
  hash: 'sha256' | null;
  #last = 0;
  constructor(kind: 'ed25519' | 'p256' = 'ed25519') {
    if (kind === 'ed25519') {
      this.key = generateKeyPairSync('ed25519').privateKey;
      this.raw = rawPublic(this.key);
      this.hash = null;
    } else {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      this.key = pair.privateKey;
      this.raw = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-65);
      this.hash = 'sha256';
    }
    this.id = `dk1-${base32(createHash('sha256').update(this.raw).digest())}`;
  }

  sign(...lines: (string | number)[]): string {
    return sign(this.hash, Buffer.from(lines.join('\n')), this.key).toString('base64');
  }

  /** Each time is newer than the one before. */
  now(): number {
    this.#last = Math.max(Date.now(), this.#last + 1);
    return this.#last;
  }

  registration(build: Build, at = this.now(), id = this.id): Record<string, unknown> {
    return {
      device_id: id, build_token: tokenOf(build), device_key: this.raw.toString('base64'), device_timestamp: at,
      device_signature: this.sign('waystation/attest/register/v1', id, build.version, build.platform, build.build_hash, at),
    };
  }

  wish(build: Build, at = this.now(), id = this.id): Record<string, unknown> {
    return {
      device_id: id, build_version: build.version, device_timestamp: at,
      device_signature: this.sign('waystation/attest/challenge/v1', id, at),
    };
  }

  answer(challenge: Challenge, file: Buffer, id = this.id): Record<string, unknown> {
    const responses = answers(challenge, file);
    const list = responses.map(({ region_index, hmac }) => `${region_index}:${hmac}`).join(',');
    return {
      device_id: id, nonce: challenge.nonce, responses,
      device_signature: this.sign('waystation/attest/verify/v1', id, challenge.nonce, list),
    };
  }
}

/** A service under test that remembers what it was asked and what it answered. */
export class Desk {
  service: Service;
  said: Buffer[] = [];
  /** What must not stand in any log line. */
  canaries = new Set<string>([SESSION_SEED, BUILD_SEED, CI_SECRET, ADMIN_SECRET]);
  /** Bytes of references, which must not stand in any answer. */
  files: { file: Buffer; spans: [number, number][] }[] = [];
  macs = new Set<string>();

  constructor(service: Service) {
    this.service = service;
  }

  static async open(settings: Settings = {}): Promise<Desk> {
    return new Desk(await Service.start({ ...SECRETS, ...settings }));
  }

  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const answer = await this.service.ask(method, path, ask);
    this.said.push(Buffer.concat([Buffer.from(JSON.stringify(answer.headers)), answer.bytes]));
    const session = answer.json?.session_token;
    for (const secret of [session?.token ?? session, answer.json?.nonce]) if (typeof secret === 'string') this.canaries.add(secret);
    const body: any = ask.body;
    for (const secret of [body?.build_token?.signature, body?.device_signature, body?.device_key, body?.signature]) {
      if (typeof secret === 'string' && secret.length > 20) this.canaries.add(secret);
    }
    for (const response of Array.isArray(body?.responses) ? body.responses : []) {
      if (typeof response?.hmac === 'string' && response.hmac.length === 64) this.macs.add(response.hmac);
    }
    return answer;
  }

  get = (path: string, ask: Ask = {}): Promise<Answer> => this.ask('GET', path, ask);
  post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => this.ask('POST', path, { body, headers });

  register = (build: Build, id: string, more: Record<string, unknown> = {}): Promise<Answer> =>
    this.post('/attest/register', { build_token: tokenOf(build), device_id: id, ...more });

  challenge = (build: Build, id: string, more: Record<string, unknown> = {}): Promise<Answer> =>
    this.post('/attest/challenge', { device_id: id, build_version: build.version, ...more });

  verify = (id: unknown, nonce: unknown, responses: unknown, more: Record<string, unknown> = {}): Promise<Answer> =>
    this.post('/attest/verify', { device_id: id, nonce, responses, ...more });

  /** Declares regions of a new file for a build. */
  async declare(build: Build, file: Buffer, spans: [number, number][]): Promise<Answer> {
    this.files.push({ file, spans });
    return this.post('/attest/upload-reference', { ...build, size: file.length, critical_regions: regionsOf(file, spans) }, CI);
  }

  async newDevice(build: Build, id = `device-${randomUUID()}`): Promise<string> {
    const answer = await this.register(build, id);
    assert.equal(answer.status, 200, answer.text);
    return id;
  }

  async newChallenge(build: Build, id: string): Promise<Challenge> {
    const answer = await this.challenge(build, id);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  async policy(): Promise<Answer> {
    const answer = await this.get('/attest/versions');
    assert.equal(answer.status, 200, answer.text);
    return answer;
  }

  setPolicy = (policy: unknown, more: { headers?: Record<string, string>; query?: string } = {}): Promise<Answer> =>
    this.post(`/attest/versions${more.query ?? ''}`, policy, { ...OPERATOR, ...more.headers });

  /** The whole log, page by page, after its chain was recomputed. */
  async log(limit = 100): Promise<any[]> {
    const entries: any[] = [];
    let previous = '0'.repeat(64);
    for (;;) {
      const answer = await this.get(`/attest/log?after=${entries.length}&limit=${limit}`);
      assert.equal(answer.status, 200, answer.text);
      await this.assertDocument(answer, 'log');
      for (const entry of answer.json.entries) {
        assert.equal(entry.seq, entries.length + 1, 'without gaps');
        assert.equal(entry.previous, previous, `entry ${entry.seq} is bound to the one before`);
        assert.equal(entry.hash, sha256(['waystation/attest/log/v1', entry.seq, entry.at, entry.kind, entry.previous, entry.entry].join('\n')), `hash of ${entry.seq}`);
        previous = entry.hash;
        entries.push({ ...entry, about: JSON.parse(entry.entry) });
      }
      if (entries.length >= answer.json.head.seq || answer.json.entries.length === 0) {
        assert.deepEqual(answer.json.head, { seq: entries.length, hash: previous });
        return entries;
      }
    }
  }

  async keys(): Promise<Map<string, Buffer>> {
    const answer = await this.get('/.well-known/jwks.json');
    assert.equal(answer.status, 200, answer.text);
    return new Map(answer.json.keys.map((key: any) => {
      assert.deepEqual({ kty: key.kty, crv: key.crv, use: key.use, alg: key.alg }, { kty: 'OKP', crv: 'Ed25519', use: 'sig', alg: 'EdDSA' });
      assert.equal(key.d, undefined, 'a public key only');
      const raw = Buffer.from(key.x, 'base64url');
      assert.equal(raw.length, 32);
      return [key.kid, raw];
    }));
  }

  /** `X-Attestation-Signature` over the context line, the time and the exact body. */
  async assertDocument(answer: Answer, kind: 'versions' | 'log'): Promise<void> {
    const header = String(answer.headers['x-attestation-signature']);
    const [, kid, at, signature] = /^kid=([^;]+);t=(\d+);sig=(.+)$/.exec(header) ?? assert.fail(`no signature: ${header}`);
    const key = (await this.keys()).get(kid as string) ?? assert.fail(`unknown key ${kid}`);
    assert.ok(Math.abs(Date.now() - Number(at)) < 30_000, 'signed now');
    const text = (context: string, body: Buffer): Buffer => Buffer.concat([Buffer.from(`waystation/attest/${context}/v1\n${at}\n`), body]);
    assert.ok(verifies(key, text(kind, answer.bytes), signature as string), 'the signature is over the exact body');
    assert.ok(!verifies(key, text(kind === 'log' ? 'versions' : 'log', answer.bytes), signature as string));
    assert.ok(!verifies(key, text(kind, Buffer.concat([answer.bytes, Buffer.from(' ')])), signature as string));
  }

  /** The payload of a session token that a key of the key set has signed. */
  async session(token: string): Promise<any> {
    assert.match(token, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$/, 'base64url(payload).base64url(signature), unpadded');
    const [payload, signature] = token.split('.').map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer];
    const session = JSON.parse(payload.toString());
    const key = (await this.keys()).get(session.kid) ?? assert.fail(`unknown key ${session.kid}`);
    assert.ok(verifies(key, payload, signature.toString('base64')), 'signed over the decoded payload');
    assert.ok(!verifies(key, Buffer.from(payload.toString().replace('"tier":', '"tier":1')), signature.toString('base64')));
    return session;
  }

  /** No answer that was ever given holds a byte of a reference or a MAC, in any spelling. */
  assertNothingTold(): void {
    const all = Buffer.concat(this.said);
    const text = all.toString('latin1').toLowerCase();
    assert.ok(this.said.length > 0 && this.files.length > 0 && this.macs.size > 0, 'there must be something to look for');
    for (const { file, spans } of this.files) {
      for (const [offset, length] of spans) {
        for (let at = offset; at + 12 <= offset + length; at += Math.max(12, Math.floor(length / 4))) {
          const piece = file.subarray(at, at + 12);
          assert.equal(all.indexOf(piece), -1, 'bytes of a reference were answered');
          for (const spelling of [piece.toString('hex'), piece.toString('base64'), piece.toString('base64url')]) {
            assert.ok(!text.includes(spelling.toLowerCase()), 'bytes of a reference were answered');
          }
        }
        assert.ok(!text.includes(sha256(file.subarray(offset, offset + length))), 'a hash of a region was answered');
      }
    }
    for (const one of this.macs) assert.ok(!text.includes(one), 'a MAC was answered');
  }
}

/** The one answer to every answer that is not good; without what differs from request to request. */
export function assertRefused(answer: Answer): string {
  assertProblem(answer, 403, 'Verification failed');
  assert.equal(answer.json.valid, false);
  assert.equal(answer.json.session_token, undefined);
  const { request_id: _, ...rest } = answer.json;
  return JSON.stringify(rest);
}

/** A wrong MAC that looks like one. */
export const wrongMac = (): string => randomBytes(32).toString('hex');
