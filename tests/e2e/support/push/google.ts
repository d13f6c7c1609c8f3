// Google as the bouncer sees it: an OAuth token endpoint that checks RS256 assertions, and FCM v1 that checks bearers.

import { generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Settings } from '../service.ts';
import { Fake, json, jwtParts } from './fake.ts';
import type { Reply, Seen } from './fake.ts';

export const PROJECT = 'my-project';
const SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/** An error as FCM writes it. */
export function fcmError(status: number, code: string, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers,
    body: {
      error: {
        code: status,
        message: `a sentence about ${code}`,
        status: status === 404 ? 'NOT_FOUND' : code,
        details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: code }],
      },
    },
  };
}

export class Tokens extends Fake {
  keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  email = `push@${PROJECT}.iam.gserviceaccount.com`;
  /** Access tokens that are good, by when they end. */
  good = new Map<string, number>();
  lifetimeSeconds = 3600;

  override answer(seen: Seen): Reply {
    const wrong = this.judge(seen);
    if (wrong !== undefined) {
      this.complain(wrong);
      return { status: 400, body: { error: 'invalid_grant', error_description: wrong } };
    }
    const token = `ya29.${randomBytes(24).toString('base64url')}`;
    this.good.set(token, Date.now() + this.lifetimeSeconds * 1000);
    return { status: 200, body: { access_token: token, expires_in: this.lifetimeSeconds, token_type: 'Bearer' } };
  }

  /** As when a key is replaced: every token so far is worth nothing. */
  revokeAll(): void {
    this.good.clear();
  }

  /** The setting: a service account with our key. */
  account(more: Record<string, unknown> = {}): string {
    return JSON.stringify({
      type: 'service_account',
      project_id: PROJECT,
      private_key_id: 'kid-1',
      private_key: this.keys.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      client_email: this.email,
      token_uri: `${this.url}/token`,
      ...more,
    });
  }

  private judge(seen: Seen): string | undefined {
    if (seen.method !== 'POST' || seen.path !== '/token') return `asked for ${seen.method} ${seen.path}`;
    const form = new URLSearchParams(seen.body.toString('utf8'));
    if (form.get('grant_type') !== GRANT) return 'another grant';
    const { header, claims, input, signature } = jwtParts(form.get('assertion') ?? '..');
    if (header.alg !== 'RS256' || header.kid !== 'kid-1') return 'header of the assertion';
    if (!verify('sha256', input, this.keys.publicKey as KeyObject, signature)) return 'signature of the assertion';
    const now = Math.floor(Date.now() / 1000);
    if (claims.iss !== this.email || claims.scope !== SCOPE || claims.aud !== `${this.url}/token`) return 'claims of the assertion';
    if (Math.abs(claims.iat - now) > 60 || claims.exp <= now || claims.exp > claims.iat + 3600) return 'times of the assertion';
    return undefined;
  }
}

export type Message = { token: string; data: Record<string, string>; android: Record<string, string> };

export class Fcm extends Fake {
  tokens: Tokens;
  /** What was accepted. */
  delivered: Message[] = [];
  /** Device tokens that Google has given up. */
  dead = new Set<string>();

  constructor(tokens: Tokens) {
    super();
    this.tokens = tokens;
  }

  /** Both, and what the service must be told. */
  static async start(): Promise<Fcm> {
    return new Fcm(await new Tokens().listen()).listen();
  }

  get settings(): Settings {
    return { FCM_SERVICE_ACCOUNT: this.tokens.account(), FCM_BASE_URL: this.url, FCM_TOKEN_URL: `${this.tokens.url}/token` };
  }

  override async close(): Promise<void> {
    await this.tokens.close();
    await super.close();
  }

  override assertContent(): void {
    this.tokens.assertContent();
    super.assertContent();
  }

  /** Messages to one device. */
  to(token: string): Message[] {
    return this.delivered.filter((message) => message.token === token);
  }

  override answer(seen: Seen): Reply {
    if (seen.method !== 'POST' || seen.path !== `/v1/projects/${PROJECT}/messages:send`) {
      this.complain(`asked for ${seen.method} ${seen.path}`);
      return { status: 404, body: {} };
    }
    const [scheme, bearer = ''] = (seen.headers.authorization ?? '').split(' ');
    const ends = this.tokens.good.get(bearer);
    // Not a complaint: that a token has ended is only known by asking.
    if (scheme !== 'Bearer' || ends === undefined || ends < Date.now()) return fcmError(401, 'UNAUTHENTICATED');
    const { message, ...others } = json(seen);
    const wrong = this.judge(message, others);
    if (wrong !== undefined) {
      this.complain(wrong);
      return fcmError(400, 'INVALID_ARGUMENT');
    }
    if (this.dead.has(message.token)) return fcmError(404, 'UNREGISTERED');
    this.delivered.push(message);
    return { status: 200, body: { name: `projects/${PROJECT}/messages/${this.delivered.length}` } };
  }

  private judge(message: any, others: object): string | undefined {
    if (message === undefined || Object.keys(others).length > 0) return 'members beside the message';
    const unknown = Object.keys(message).filter((key) => !['token', 'data', 'android'].includes(key));
    if (unknown.length > 0) return `unknown members ${unknown}`;
    if (typeof message.token !== 'string' || message.token === '') return 'no token';
    if (Object.values(message.data ?? {}).some((value) => typeof value !== 'string')) return 'data that is not text';
    if (!['HIGH', 'NORMAL'].includes(message.android?.priority)) return 'no priority';
    const bytes = Object.entries(message.data ?? {}).reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(String(value)), 0);
    return bytes > 4096 ? `${bytes} bytes of data` : undefined;
  }
}
