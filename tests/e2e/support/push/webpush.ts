// A push service and its client in one: checks VAPID, and decrypts what was sent, from the RFCs' words.

import { createDecipheriv, createECDH, createPublicKey, hkdfSync, randomBytes, verify } from 'node:crypto';
import { Fake, jwtParts } from './fake.ts';
import type { Reply, Seen } from './fake.ts';

/** What a body holds for the client with these keys: RFC 8291, section 3, and RFC 8188, section 2. */
export function decrypt(body: Buffer, privateKey: Buffer, auth: Buffer): Buffer {
  const client = createECDH('prime256v1');
  client.setPrivateKey(privateKey);
  const salt = body.subarray(0, 16);
  const recordSize = body.readUInt32BE(16);
  const keyLength = body.readUInt8(20);
  const theirs = body.subarray(21, 21 + keyLength);
  const sealed = body.subarray(21 + keyLength);
  if (sealed.length > recordSize) throw new Error('more than one record');
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), client.getPublicKey(), theirs]);
  const material = Buffer.from(hkdfSync('sha256', client.computeSecret(theirs), auth, info, 32));
  const key = Buffer.from(hkdfSync('sha256', material, salt, 'Content-Encoding: aes128gcm\0', 16));
  const nonce = Buffer.from(hkdfSync('sha256', material, salt, 'Content-Encoding: nonce\0', 12));
  const decipher = createDecipheriv('aes-128-gcm', key, nonce);
  decipher.setAuthTag(sealed.subarray(-16));
  const record = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
  const end = record.findLastIndex((byte) => byte !== 0);
  if (record[end] !== 2) throw new Error('the last record is not marked');
  return record.subarray(0, end);
}

export class WebPush extends Fake {
  client = createECDH('prime256v1');
  auth = randomBytes(16);
  /** What the client has read. */
  delivered: { path: string; text: string; ttl: number; urgency: string | undefined; topic: string | undefined }[] = [];
  /** Endpoints that are gone. */
  gone = new Set<string>();
  /** The VAPID key that subscriptions are for, base64url; nothing for any. */
  applicationServerKey: string | undefined;

  constructor() {
    super();
    this.client.generateKeys();
  }

  static start(): Promise<WebPush> {
    return new WebPush().listen();
  }

  /** As a browser's `PushSubscription.toJSON()`. */
  subscription(name: string): object {
    return {
      endpoint: `${this.url}/push/${name}`,
      expirationTime: null,
      keys: { p256dh: this.client.getPublicKey().toString('base64url'), auth: this.auth.toString('base64url') },
    };
  }

  override answer(seen: Seen): Reply {
    const wrong = this.judge(seen);
    if (wrong !== undefined) {
      this.complain(wrong);
      return { status: wrong.startsWith('vapid') ? 403 : 400, body: wrong };
    }
    if (this.gone.has(seen.path)) return { status: 410 };
    const header = (name: string): string | undefined => seen.headers[name] as string | undefined;
    const text = decrypt(seen.body, this.client.getPrivateKey(), this.auth).toString('utf8');
    this.delivered.push({ path: seen.path, text, ttl: Number(header('ttl')), urgency: header('urgency'), topic: header('topic') });
    return { status: 201, headers: { location: `${this.url}/message/${this.delivered.length}`, ttl: header('ttl') ?? '0' } };
  }

  private judge(seen: Seen): string | undefined {
    if (seen.method !== 'POST' || !seen.path.startsWith('/push/')) return `asked for ${seen.method} ${seen.path}`;
    if (seen.headers['content-encoding'] !== 'aes128gcm') return 'content-encoding';
    if (!/^\d+$/.test(String(seen.headers.ttl))) return 'ttl';
    if (seen.body.length > 4096) return 'too long';
    const match = /^vapid t=([^,]+), *k=([\w-]+)$/.exec(seen.headers.authorization ?? '');
    if (match === null) return 'vapid header';
    const [, jwt = '', key = ''] = match;
    if (this.applicationServerKey !== undefined && key !== this.applicationServerKey) return 'vapid key';
    const { header, claims, input, signature } = jwtParts(jwt);
    const point = Buffer.from(key, 'base64url');
    const x = point.subarray(1, 33).toString('base64url');
    const y = point.subarray(33).toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
    if (header.alg !== 'ES256' || !verify('sha256', input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) return 'vapid signature';
    const now = Date.now() / 1000;
    if (claims.aud !== this.url || claims.exp < now || claims.exp > now + 86_400) return 'vapid claims';
    return /^(mailto:|https:)/.test(String(claims.sub)) ? undefined : 'vapid subject';
  }
}
