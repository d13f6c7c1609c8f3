// A WebSocket client as a phone would be one, strict about what comes and in which order.

import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import WebSocket from 'ws';
import type { Service } from './service.ts';

const ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';
const DEADLINE_MS = 5000;

/** Every code and key that was ever made, for the search through the logs. */
export const secrets: string[] = [];

export function newCode(): string {
  let code = '';
  for (let i = 0; i < 6; i += 1) code += ALPHABET[randomInt(ALPHABET.length)];
  secrets.push(code);
  return code;
}

export function newKey(): string {
  const key = randomBytes(32).toString('base64');
  secrets.push(key);
  return key;
}

let addresses = 0;
/** An address nobody used before. */
export function newAddress(): string {
  addresses += 1;
  return `198.${18 + ((addresses >> 16) & 1)}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

export type Frame = { text: string; value: any };
export type Closed = { code: number; reason: string };
export type Open = { headers?: Record<string, string>; address?: string; origin?: string };

export class Client {
  socket: WebSocket;
  path: string;
  code = '';
  key = '';
  closed: Promise<Closed>;
  closure: Closed | undefined;
  inbox: Frame[] = [];
  wake: (() => void) | undefined;

  constructor(socket: WebSocket, path: string) {
    this.socket = socket;
    this.path = path;
    socket.on('message', (data, binary) => {
      const text = data.toString();
      let value: any;
      try {
        value = JSON.parse(text);
      } catch {
        value = undefined;
      }
      this.inbox.push({ text, value: binary ? { type: '(binary frame)' } : value });
      this.wake?.();
    });
    this.closed = new Promise((done) => {
      socket.once('close', (code, reason) => {
        this.closure = { code, reason: reason.toString() };
        this.wake?.();
        done(this.closure);
      });
    });
    socket.on('error', () => {});
  }

  static async open(service: Service, path: string, open: Open = {}): Promise<Client> {
    const headers: Record<string, string> = { 'CF-Connecting-IP': open.address ?? newAddress(), ...open.headers };
    if (open.origin !== undefined) headers.Origin = open.origin;
    const socket = new WebSocket(`ws://127.0.0.1:${service.port}${path}`, { headers, perMessageDeflate: false, closeTimeout: 1200, handshakeTimeout: 5000 } as WebSocket.ClientOptions);
    const client = new Client(socket, path);
    await new Promise<void>((done, fail) => {
      socket.once('open', () => done());
      socket.once('error', fail);
      socket.once('unexpected-response', (_request, response) => {
        response.resume();
        fail(new Error(`upgrade answered ${response.statusCode}`));
      });
    });
    return client;
  }

  /** Opens, reads the greeting where there is one, and registers; `more` goes into the registration. */
  static async enter(service: Service, path: string, more: Record<string, unknown> = {}, open: Open = {}): Promise<Client> {
    const client = await Client.open(service, path, open);
    if (path === '/') await client.next('server_info');
    client.code = typeof more.pairingCode === 'string' ? more.pairingCode : newCode();
    client.key = typeof more.publicKey === 'string' ? more.publicKey : newKey();
    client.send({ type: 'register', pairingCode: client.code, publicKey: client.key, ...more });
    const registered = await client.next('registered');
    assert.equal(registered.pairingCode, client.code);
    return client;
  }

  send(message: unknown): void {
    this.sendRaw(JSON.stringify(message));
  }

  sendRaw(data: string | Buffer): void {
    this.socket.send(data);
  }

  /** The next frame, whatever it is. */
  async frame(what = 'a frame', deadlineMs = DEADLINE_MS): Promise<Frame> {
    const end = Date.now() + deadlineMs;
    for (;;) {
      const first = this.inbox.shift();
      if (first !== undefined) return first;
      if (this.closure !== undefined) assert.fail(`closed ${this.closure.code} ${this.closure.reason}, awaited ${what}`);
      const left = end - Date.now();
      if (left <= 0) assert.fail(`no frame within ${deadlineMs} ms, awaited ${what}`);
      await new Promise<void>((done) => {
        const timer = setTimeout(done, left);
        this.wake = () => {
          clearTimeout(timer);
          done();
        };
      });
      this.wake = undefined;
    }
  }

  /** The next frame, which must be of this type. */
  async next(type: string, deadlineMs = DEADLINE_MS): Promise<any> {
    const frame = await this.frame(type, deadlineMs);
    assert.equal(frame.value?.type, type, `awaited ${type}, got ${frame.text.slice(0, 300)}`);
    return frame.value;
  }

  /** Sends, and the next frame must be exactly this. */
  async expect(message: unknown, answer: unknown): Promise<void> {
    this.send(message);
    const frame = await this.frame(JSON.stringify(answer));
    assert.deepEqual(frame.value, answer);
  }

  /** A question that the room itself answers after all that this socket sent before. */
  async settle(): Promise<Frame[]> {
    this.send({ type: 'ping', settle: true });
    const before: Frame[] = [];
    for (;;) {
      const frame = await this.frame('pong');
      if (frame.value?.type === 'pong') return before;
      before.push(frame);
    }
  }

  /** Nothing came, and nothing is on its way: proven by a further exchange on the same socket. */
  async silent(): Promise<void> {
    const before = await this.settle();
    assert.deepEqual(before.map((frame) => frame.text), [], `${this.path} should have heard nothing`);
  }

  async close(code?: number, reason?: string): Promise<Closed> {
    this.socket.close(code, reason);
    return this.closed;
  }

  /** The closing that the server must start. */
  async cut(deadlineMs = DEADLINE_MS): Promise<Closed> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(() => fail(new assert.AssertionError({ message: `not closed within ${deadlineMs} ms` })), deadlineMs);
    });
    try {
      return await Promise.race([this.closed, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** After `actor`'s messages were all dealt with, none of these heard anything. */
export async function nobodyHeard(actor: Client, listeners: Client[]): Promise<void> {
  await actor.silent();
  for (const listener of listeners) await listener.silent();
}

/** A completed pairing between two registered clients. */
export async function pair(requester: Client, responder: Client): Promise<void> {
  requester.send({ type: 'pair_request', targetCode: responder.code });
  assert.equal((await responder.next('pair_incoming')).fromCode, requester.code);
  responder.send({ type: 'pair_response', targetCode: requester.code, accepted: true });
  assert.equal((await requester.next('pair_matched')).peerCode, responder.code);
  assert.equal((await responder.next('pair_matched')).peerCode, requester.code);
}

/** The status with which an upgrade is refused. */
export async function refusedUpgrade(service: Service, path: string, open: Open = {}): Promise<number> {
  const headers: Record<string, string> = { 'CF-Connecting-IP': open.address ?? newAddress(), ...open.headers };
  if (open.origin !== undefined) headers.Origin = open.origin;
  const socket = new WebSocket(`ws://127.0.0.1:${service.port}${path}`, { headers });
  return new Promise((done, fail) => {
    socket.once('open', () => {
      socket.terminate();
      fail(new assert.AssertionError({ message: `the upgrade of ${path} was accepted` }));
    });
    socket.once('unexpected-response', (_request, response) => {
      response.resume();
      done(response.statusCode ?? 0);
    });
    socket.once('error', () => {});
  });
}
