// One workerd of our own per test file: own port, own state folder, own settings, all its output kept.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
// The binary itself: a signal to the package's wrapper script would leave it running.
const WORKERD: string = createRequire(join(ROOT, 'package.json'))('workerd').default;

export type Settings = Record<string, string>;
export type Answer = {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  bytes: Buffer;
  json: any;
};
export type Ask = {
  headers?: Record<string, string>;
  /** An object is sent as JSON, text and bytes as they are. */
  body?: unknown;
  /** Send without `Content-Length`. */
  chunked?: boolean;
  /** The client address that the edge would report. */
  address?: string;
  /** How long to wait for the answer; 10 seconds unless said otherwise. */
  timeoutMs?: number;
};

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Asks again until the answer is truthy; fails after the deadline with what was awaited. */
export async function until<T>(what: string, ask: () => Promise<T> | T, deadlineMs = 5000, everyMs = 25): Promise<Exclude<T, undefined | false>> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer as Exclude<T, undefined | false>;
    if (Date.now() > end) assert.fail(`waited ${deadlineMs} ms in vain: ${what}`);
    await pause(everyMs);
  }
}

// Below the kernel's ephemeral range, so that no outgoing connection takes a port while a service restarts.
let nextPort = 12000 + (process.pid % 900) * 20;
async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries += 1) {
    const port = nextPort++;
    const free = await new Promise<boolean>((done) => {
      const probe = net.createServer();
      probe.once('error', () => done(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
  throw new Error('no free port');
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Service {
  settings: Settings;
  port: number;
  state: string;
  output = '';
  child: ChildProcess | undefined;
  agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  config = 'workerd.capnp';

  constructor(settings: Settings, port: number, state: string) {
    this.settings = settings;
    this.port = port;
    this.state = state;
  }

  /** The front limiter is off unless a test is about it. */
  static async start(settings: Settings = {}, config = 'workerd.capnp'): Promise<Service> {
    const state = mkdtempSync(join(tmpdir(), 'waystation-e2e-'));
    const service = new Service({ RATE_LIMIT_PER_MINUTE: '0', ...settings }, await freePort(), state);
    service.config = config;
    await service.boot();
    return service;
  }

  /** Our service behind a front that can make the platform fail: see chaos.mjs. */
  static async startChaos(settings: Settings = {}): Promise<Service> {
    const state = mkdtempSync(join(tmpdir(), 'waystation-e2e-'));
    const service = new Service({ RATE_LIMIT_PER_MINUTE: '0', ...settings }, await freePort(), state);
    service.config = 'tests/e2e/support/chaos.capnp';
    await service.boot();
    return service;
  }

  /** Not our service but the smallest hibernating object there is, for comparison. */
  static async startCanary(): Promise<Service> {
    const service = new Service({}, await freePort(), mkdtempSync(join(tmpdir(), 'waystation-e2e-')));
    service.config = 'tests/e2e/support/canary.capnp';
    await service.boot();
    return service;
  }

  async boot(): Promise<void> {
    assert.equal(this.child, undefined, 'already running');
    const child = spawn(
      WORKERD,
      [
        'serve', this.config, `--socket-addr=http=127.0.0.1:${this.port}`,
        ...(this.config.includes('canary') ? [] : [`--directory-path=state=${this.state}`]),
      ],
      { cwd: ROOT, env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...this.settings }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => {
        this.output += text;
      });
    }
    await until(
      'the service answers',
      async () => {
        assert.equal(child.exitCode, null, `workerd ended: ${this.output}`);
        return this.ask('GET', '/health').then((answer) => answer.status === 200 || this.config.includes('canary'), () => false);
      },
      15_000,
      20,
    );
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.child;
    if (child === undefined) return;
    this.child = undefined;
    const gone = new Promise<void>((done) => child.once('exit', () => done()));
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const late = setTimeout(() => child.kill('SIGKILL'), 3000);
      await gone;
      clearTimeout(late);
    }
    this.agent.destroy();
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  }

  /** As a crash of the machine's process would: no warning, no flush. */
  async crash(): Promise<void> {
    await this.end('SIGKILL');
  }

  async crashAndRestart(): Promise<void> {
    await this.crash();
    await this.boot();
  }

  async stop(): Promise<void> {
    // Open sockets would keep a gracefully ending workerd waiting.
    await this.end('SIGKILL');
    rmSync(this.state, { recursive: true, force: true });
  }

  /** One request; the path goes out exactly as written. */
  ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const headers: Record<string, string> = { ...ask.headers };
    if (ask.address !== undefined) headers['CF-Connecting-IP'] = ask.address;
    let body: Buffer | undefined;
    if (ask.body !== undefined) {
      body = Buffer.isBuffer(ask.body)
        ? ask.body
        : Buffer.from(typeof ask.body === 'string' ? ask.body : JSON.stringify(ask.body));
      if (ask.chunked) headers['Transfer-Encoding'] = 'chunked';
      else headers['Content-Length'] = String(body.length);
      if (headers['Content-Type'] === undefined) headers['Content-Type'] = 'application/json';
    }
    return new Promise((done, fail) => {
      const request = http.request(
        { host: '127.0.0.1', port: this.port, method, path, headers, agent: this.agent, timeout: ask.timeoutMs ?? 10_000 },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', fail);
          response.on('end', () => {
            const bytes = Buffer.concat(parts);
            const text = bytes.toString('utf8');
            let json: any;
            try {
              json = JSON.parse(text);
            } catch {
              json = undefined;
            }
            done({ status: response.statusCode ?? 0, headers: response.headers, text, bytes, json });
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer to ${method} ${path}`)));
      request.on('error', fail);
      if (body === undefined) request.end();
      else if (ask.chunked) {
        for (let at = 0; at < body.length; at += 1000) request.write(body.subarray(at, at + 1000));
        request.end();
      } else request.end(body);
    });
  }

  get(path: string, ask: Ask = {}): Promise<Answer> {
    return this.ask('GET', path, ask);
  }

  post(path: string, body: unknown, ask: Ask = {}): Promise<Answer> {
    return this.ask('POST', path, { ...ask, body });
  }

  get lines(): string[] {
    // What follows the last line end is still being printed.
    return this.output.slice(0, this.output.lastIndexOf('\n') + 1).split('\n').filter((line) => line.trim() !== '');
  }

  /** Our own log lines, parsed; a line that begins like JSON and is none fails. */
  get logs(): any[] {
    return this.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }
}

/** Nothing of what must stay secret stands in any line that the service printed, in any common spelling. */
export function assertNoLeak(service: Service, secrets: string[]): void {
  assert.ok(service.logs.some((line) => typeof line.route === 'string'), 'there must be request lines to look at');
  assert.ok(secrets.length > 0, 'there must be secrets to look for');
  const haystack = service.output.toLowerCase();
  for (const secret of new Set(secrets)) {
    assert.ok(secret.length >= 5, `too short to look for: ${secret}`);
    for (const spelling of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]) {
      const at = haystack.indexOf(spelling.toLowerCase());
      assert.equal(at, -1, `a secret stands in the log: ${service.output.slice(Math.max(0, at - 120), at + 120)}`);
    }
  }
}

/** No crash, panic or uncaught exception was printed. */
export function assertCalm(service: Service): void {
  const bad = service.lines.filter((line) => /panick|uncaught|RuntimeError|unreachable|"status":500/i.test(line));
  assert.deepEqual(bad, []);
}

/** The one error form: RFC 9457 with the original's sentence beside it. */
export function assertProblem(answer: Answer, status: number, sentence?: string | RegExp): void {
  assert.equal(answer.status, status, `status of ${answer.text}`);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const body = answer.json;
  assert.ok(body !== null && typeof body === 'object' && !Array.isArray(body), `not one object: ${answer.text}`);
  for (const name of ['error', 'type', 'title', 'detail', 'code', 'request_id']) {
    assert.equal(typeof body[name], 'string', `${name} of ${answer.text}`);
  }
  assert.equal(body.status, status);
  assert.equal(body.request_id, answer.headers['x-request-id']);
  if (typeof sentence === 'string') assert.equal(body.error, sentence);
  else if (sentence !== undefined) assert.match(body.error, sentence);
}
