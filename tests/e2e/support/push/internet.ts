// The rest of the Internet that the bouncer asks: DNS over HTTPS, and the remote server whose ownership is proven.

import { Fake } from './fake.ts';
import type { Reply, Seen } from './fake.ts';

const TYPES: Record<string, number> = { A: 1, NS: 2, MX: 15, AAAA: 28 };

/** A resolver; what is not listed does not exist. */
export class Dns extends Fake {
  /** Records by `TYPE name`. */
  records = new Map<string, string[]>();

  static start(): Promise<Dns> {
    return new Dns().listen();
  }

  get queryUrl(): string {
    return `${this.url}/dns-query`;
  }

  set(type: 'A' | 'AAAA' | 'MX' | 'NS', name: string, ...data: string[]): void {
    this.records.set(`${type} ${name}`, data);
  }

  override answer(seen: Seen): Reply {
    const name = (seen.query.get('name') ?? '').replace(/\.$/, '').toLowerCase();
    const asked = (seen.query.get('type') ?? 'A').toUpperCase();
    const type = Object.keys(TYPES).find((word) => word === asked || String(TYPES[word]) === asked);
    if (seen.method !== 'GET' || seen.path !== '/dns-query' || name === '' || type === undefined) {
      this.complain(`asked for ${seen.method} ${seen.path} ${seen.query}`);
      return { status: 400, body: 'Invalid query.' };
    }
    if (!String(seen.headers.accept).includes('application/dns-json')) this.complain(`accepts ${seen.headers.accept}`);
    const data = this.records.get(`${type} ${name}`) ?? [];
    const exists = [...this.records.keys()].some((key) => key.endsWith(` ${name}`));
    return {
      status: 200,
      headers: { 'content-type': 'application/dns-json' },
      body: JSON.stringify({
        Status: exists ? 0 : 3,
        TC: false, RD: true, RA: true, AD: false, CD: false,
        Question: [{ name, type: TYPES[type] }],
        ...(data.length > 0 ? { Answer: data.map((text) => ({ name, type: TYPES[type], TTL: 300, data: text })) } : {}),
      }),
    };
  }
}

/** A self-hosted server's own web server, as far as the proof of ownership goes. */
export class RemoteHost extends Fake {
  /** Secrets that are served, by access token. */
  prepared = new Map<string, string>();

  static start(): Promise<RemoteHost> {
    return new RemoteHost().listen();
  }

  override answer(seen: Seen): Reply {
    const token = /^\/api\/v1\/zulip-services\/verify\/([A-Za-z0-9_-]+)\/$/.exec(seen.path)?.[1];
    if (seen.method !== 'GET' || token === undefined) {
      this.complain(`asked for ${seen.method} ${seen.path}`);
      return { status: 404, body: { result: 'error', msg: 'Not found', code: 'BAD_REQUEST' } };
    }
    const secret = this.prepared.get(token);
    if (secret !== undefined) return { status: 200, body: { result: 'success', msg: '', verification_secret: secret } };
    const msg = 'Verification secret not prepared';
    return { status: 400, body: { result: 'error', msg, code: 'REMOTE_SERVER_VERIFICATION_SECRET_NOT_PREPARED' } };
  }
}
