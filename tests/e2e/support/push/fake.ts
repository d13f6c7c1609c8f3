// A server on the Internet that does what a test says: answers by script, fails in part, is silent, or hangs up.

import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '../service.ts';

/** A request as it arrived. */
export type Seen = {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
  /** When it arrived. Units: milliseconds since 1970. */
  at: number;
};

/** An answer; `silence` keeps the caller waiting, `hang_up` breaks the connection. An object is sent as JSON. */
export type Reply = { status: number; headers?: Record<string, string>; body?: unknown } | 'silence' | 'hang_up';

/** Answers, in turn, or decides by the request; nothing means the ordinary answer. */
export type Rule = Reply | ((seen: Seen) => Reply | undefined);

export const json = (seen: Seen): any => JSON.parse(seen.body.toString('utf8'));

export class Fake {
  server: http.Server;
  /** Everything that arrived, in order. */
  seen: Seen[] = [];
  /** What a well-behaved caller would not have done; `assertContent` wants none. */
  complaints: string[] = [];
  /** How many requests were under way at once, at most. */
  atOnceMax = 0;
  private atOnce = 0;
  private next: Rule[] = [];
  private standing: Rule | undefined;
  private share = 0;
  private shareReply: Reply = { status: 503 };
  private owed = 0;
  private held = new Set<http.ServerResponse>();

  constructor() {
    this.server = http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => this.arrived(request, response, Buffer.concat(parts)));
    });
    this.server.keepAliveTimeout = 60_000;
  }

  async listen(): Promise<this> {
    await new Promise<void>((done) => this.server.listen(0, '127.0.0.1', () => done()));
    return this;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((done) => this.server.close(() => done()));
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** The next requests are answered so, one each. */
  queue(...rules: Rule[]): void {
    this.next.push(...rules);
  }

  /** Every request is answered so, until `calm`. */
  always(rule: Rule): void {
    this.standing = rule;
  }

  /** So many percent of the requests fail, spread evenly: the same requests in every run. */
  failing(percent: number, reply: Reply = { status: 503 }): void {
    this.share = percent;
    this.shareReply = reply;
    this.owed = 0;
  }

  /** Back to ordinary answers. Callers who were kept waiting are hung up on. */
  calm(): void {
    this.next = [];
    this.standing = undefined;
    this.share = 0;
    for (const response of this.held) response.destroy();
    this.held.clear();
  }

  forget(): void {
    this.seen = [];
    this.complaints = [];
    this.atOnceMax = 0;
  }

  /** Waits until so many requests have arrived. */
  async until(count: number, deadlineMs = 10_000): Promise<Seen[]> {
    await until(`${count} requests at the fake, not ${this.seen.length}`, () => this.seen.length >= count, deadlineMs);
    return this.seen;
  }

  assertContent(): void {
    assert.deepEqual(this.complaints, []);
  }

  /** The ordinary answer. */
  answer(_seen: Seen): Reply {
    return { status: 404, body: { error: 'nothing here' } };
  }

  complain(what: string): void {
    this.complaints.push(what);
  }

  private choose(seen: Seen): Reply {
    const rule = this.next.shift() ?? this.standing;
    const said = typeof rule === 'function' ? rule(seen) : rule;
    if (said !== undefined) return said;
    this.owed += this.share;
    if (this.owed >= 100) {
      this.owed -= 100;
      return this.shareReply;
    }
    return this.answer(seen);
  }

  private arrived(request: http.IncomingMessage, response: http.ServerResponse, body: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://fake');
    const seen = {
      method: request.method ?? '', path: url.pathname, query: url.searchParams, headers: request.headers, body, at: Date.now(),
    };
    this.seen.push(seen);
    this.atOnce += 1;
    this.atOnceMax = Math.max(this.atOnceMax, this.atOnce);
    response.once('close', () => {
      this.atOnce -= 1;
    });
    const reply = this.choose(seen);
    if (reply === 'silence') {
      this.held.add(response);
      response.once('close', () => this.held.delete(response));
    } else if (reply === 'hang_up') {
      request.socket.destroy();
    } else {
      const isText = typeof reply.body === 'string' || Buffer.isBuffer(reply.body);
      const text = reply.body === undefined ? '' : isText ? (reply.body as string | Buffer) : JSON.stringify(reply.body);
      const type: Record<string, string> = isText || reply.body === undefined ? {} : { 'content-type': 'application/json' };
      response.writeHead(reply.status, { ...type, ...reply.headers });
      response.end(text);
    }
  }
}

/** The two halves of a JWT, decoded, and what is signed. */
export function jwtParts(text: string): { header: any; claims: any; input: Buffer; signature: Buffer } {
  const parts = text.split('.');
  assert.equal(parts.length, 3, 'three parts');
  const [header = '', claims = '', signature = ''] = parts;
  const decode = (part: string): any => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  return {
    header: decode(header), claims: decode(claims), input: Buffer.from(`${header}.${claims}`), signature: Buffer.from(signature, 'base64url'),
  };
}
