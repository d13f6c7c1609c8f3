// A whole file from CI's own programs to a device's session: issue 4 section 3, security-and-conventions.md A8, scripts/attest/README.md.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { answers, assertRefused, BUILD_SEED, CI, CI_SECRET, Desk, KeyedDevice, mac, OPERATOR, sha256, signed, wrongMac } from './support/attest.ts';
import type { Build, Challenge } from './support/attest.ts';
import { assertCalm, assertNoLeak, assertProblem, ROOT } from './support/service.ts';

const PART = 4 * 1024 * 1024;
const CRITICAL: [number, number][] = [[0, 65_536], [9_000_000, 40_960]];
const ENV = { PATH: process.env.PATH ?? '', BUILD_SIGNING_KEY: BUILD_SEED, CI_UPLOAD_SECRET: CI_SECRET };
const program = (name: string): string => join(ROOT, 'scripts/attest', name);

type Run = { code: number | null; out: string; err: string };
function ci(name: string, args: string[], env: Record<string, string> = {}): Promise<Run> {
  return new Promise((done) => {
    execFile(process.execPath, [program(name), ...args], { env: { ...ENV, ...env }, timeout: 40_000 }, (error, out, err) =>
      done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : null, out, err }));
  });
}

/** The root of RFC 9162 over leaves of 64 KiB, written down once more and independently. */
function treeHash(file: Buffer): string {
  const hash = (bytes: Buffer): Buffer => Buffer.from(sha256(bytes), 'hex');
  const root = (leaves: Buffer[]): Buffer => {
    if (leaves.length === 1) return leaves[0] as Buffer;
    let split = 1;
    while (split * 2 < leaves.length) split *= 2;
    return hash(Buffer.concat([Buffer.from([1]), root(leaves.slice(0, split)), root(leaves.slice(split))]));
  };
  const leaves: Buffer[] = [];
  for (let at = 0; at < file.length; at += 65_536) leaves.push(hash(Buffer.concat([Buffer.from([0]), file.subarray(at, at + 65_536)])));
  return root(leaves).toString('hex');
}

function manifestOf(build: Build, file: Buffer, more: Record<string, unknown> = {}): { manifest: string; signature: string } {
  const manifest = JSON.stringify({ typ: 'manifest', ...build, size: file.length, tree_hash: treeHash(file), critical_ranges: [], ...more });
  return { manifest, signature: signed(`waystation/attest/manifest/v1\n${manifest}`) };
}

const partOf = (file: Buffer, part: number): Buffer => file.subarray(part * PART, (part + 1) * PART);

describe('a whole file', () => {
  let desk: Desk;
  let folder: string;
  const file = randomBytes(20 * 1024 * 1024 - 4321);
  const build: Build = { version: '2.1.0', platform: 'linux', build_hash: sha256(file) };
  let path: string;
  let token: any;
  let id: string;
  let cutAllowed = 0;
  const args = (url: string): string[] => ['--url', url, '--version', build.version, '--platform', build.platform, '--file', path, '--critical', CRITICAL.map((span) => span.join(':')).join()];
  const put = (reference: string, part: number | string, bytes: Buffer, digest: string | undefined, headers: Record<string, string> = CI): ReturnType<Desk['ask']> =>
    desk.ask('PUT', `/attest/references/${reference}/parts/${part}${digest === undefined ? '' : `?sha256=${digest}`}`, { body: bytes, headers });
  const begin = (of: Build, content: Buffer, more = {}, headers: Record<string, string> = CI): ReturnType<Desk['post']> => desk.post('/attest/references', manifestOf(of, content, more), headers);
  const complete = (reference: string, headers: Record<string, string> = CI): ReturnType<Desk['ask']> => desk.ask('POST', `/attest/references/${reference}/complete`, { headers });

  before(async () => {
    desk = await Desk.open();
    folder = mkdtempSync(join(tmpdir(), 'waystation-e2e-app-'));
    path = join(folder, 'app.bin');
    writeFileSync(path, file);
    desk.files.push({ file, spans: [...CRITICAL, [5_000_000, 400_000], [file.length - 5000, 4900]] });
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    try {
      // A part that was cut on its way is logged as 500 too (a finding of its own: attest-hangup.spec.ts).
      const whole = desk.service.output;
      desk.service.output = desk.service.lines.filter((line) => !(/"method":"PUT".*"status":500/.test(line) && cutAllowed-- > 0)).join('\n') + '\n';
      assertCalm(desk.service);
      desk.service.output = whole;
      assertNoLeak(desk.service, [...desk.canaries, ...desk.macs]);
    } finally {
      await desk.service.stop();
    }
  });
  const url = (): string => `http://127.0.0.1:${desk.service.port}`;

  /** The answer to a part of which only the head was sent. */
  function announce(path: string, length: number, headers: Record<string, string>): Promise<string> {
    return new Promise((done, fail) => {
      const socket = net.connect(desk.service.port, '127.0.0.1');
      let text = '';
      const late = setTimeout(() => socket.destroy(new Error(`no answer to the head: ${text}`)), 5000);
      socket.on('close', () => clearTimeout(late));
      socket.on('error', fail);
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        const size = Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? Number.NaN);
        if (end >= 0 && text.length - end - 4 >= size) { socket.destroy(); done(text); }
      });
      socket.write([`PUT ${path} HTTP/1.1`, 'Host: localhost', `Content-Length: ${length}`, ...Object.entries(headers).map((header) => header.join(': ')), '', ''].join('\r\n'));
    });
  }

  async function newDevice(): Promise<string> {
    const device = `app-${randomUUID()}`;
    const answer = await desk.post('/attest/register', { build_token: token, device_id: device });
    assert.equal(answer.status, 200, answer.text);
    return device;
  }

  test('CI signs a build token and an app registers with it', async () => {
    const run = await ci('sign-build-token.mjs', ['--version', build.version, '--platform', build.platform, '--file', path]);
    assert.equal(run.code, 0, run.err);
    token = JSON.parse(run.out);
    id = await newDevice();
    assertProblem(await desk.challenge(build, id), 404, 'No reference binary found for this version and platform');
    for (const format of ['flat', 'base64']) {
      const other = await ci('sign-build-token.mjs', ['--version', build.version, '--platform', build.platform, '--file', path, '--format', format]);
      const build_token = format === 'flat' ? JSON.parse(other.out) : other.out.trim();
      assert.equal((await desk.post('/attest/register', { build_token, device_id: `app-${randomUUID()}` })).status, 200, format);
    }
  });

  test('CI\'s uploader is cut in the middle of the third part, and the service is killed', async () => {
    // Between CI and the service: the third part is cut half way and nothing gets through from then on.
    let parts = 0;
    let cut = false;
    let told: () => void = () => {};
    const happened = new Promise<void>((done) => { told = done; });
    const between = http.createServer((request, response) => {
      const isThird = request.method === 'PUT' && (parts += 1) === 3;
      if (cut) { request.socket.destroy(); return; }
      const onward = http.request({ host: '127.0.0.1', port: desk.service.port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => {});
      let passed = 0;
      request.on('data', (bytes: Buffer) => {
        passed += bytes.length;
        if (isThird && passed > PART / 2) {
          cut = true;
          onward.destroy();
          request.socket.destroy();
          told();
        } else onward.write(bytes);
      });
      request.on('end', () => onward.end());
      request.on('error', () => {});
    });
    await new Promise<void>((done) => between.listen(0, '127.0.0.1', done));
    const child = spawn(process.execPath, [program('upload-reference.mjs'), ...args(`http://127.0.0.1:${(between.address() as net.AddressInfo).port}`)], { env: ENV, stdio: 'ignore' });
    const gone = new Promise<void>((done) => child.once('exit', () => done()));
    await Promise.race([happened, gone]);
    assert.ok(cut, 'the upload came as far as its third part');
    cutAllowed = 1;
    child.kill('SIGKILL');
    await gone;
    between.closeAllConnections();
    between.close();
    await desk.service.crashAndRestart();

    const answer = await begin(build, file, { critical_ranges: CRITICAL.map(([offset, length]) => ({ offset, length })) });
    assert.equal(answer.status, 200, answer.text);
    const { reference_id, part_size, parts: all, missing_parts } = answer.json;
    assert.deepEqual([part_size, all, missing_parts, answer.json.complete], [PART, 5, [2, 3, 4], false]);
    assertProblem(await complete(reference_id), 409, 'Parts are missing');
    assertProblem(await desk.challenge(build, id), 404);
    assert.deepEqual(await desk.log(), [], 'half a file is no reference');
  });

  test('a part with one flipped byte is refused', async () => {
    const { reference_id } = (await begin(build, file, { critical_ranges: CRITICAL.map(([offset, length]) => ({ offset, length })) })).json;
    const good = partOf(file, 2);
    const flipped = Buffer.from(good);
    flipped[1_234_567] = (flipped[1_234_567] as number) ^ 1;
    assertProblem(await put(reference_id, 2, flipped, sha256(good)), 422);
    assertProblem(await put(reference_id, 2, good, sha256(flipped)), 422);
    assertProblem(await put(reference_id, 2, good, undefined), 422);
    assertProblem(await put(reference_id, 2, good.subarray(1), sha256(good.subarray(1))), 422);
    assertProblem(await put(reference_id, 4, good, sha256(good)), 422);
    assertProblem(await put(reference_id, 5, good, sha256(good)), 404);
    for (const part of ['-1', 'x', '99999999999999999999']) assertProblem(await put(reference_id, part, good, sha256(good)), 404);
    assertProblem(await put(wrongMac(), 2, good, sha256(good)), 404);
    // Refused before the bytes are sent, or the caller would be cut off while sending.
    const path = `/attest/references/${reference_id}/parts/2?sha256=${sha256(good)}`;
    assert.match(await announce(path, PART + 1, CI), /^HTTP\/1\.1 413 [^]*"error":"Request body too large"/);
    for (const headers of [{}, { Authorization: 'Bearer x' }] as Record<string, string>[]) assert.match(await announce(path, PART, headers), /^HTTP\/1\.1 401 [^]*"error":"Unauthorized"/);
    assert.match(await announce(path, PART, OPERATOR), /^HTTP\/1\.1 40[13] /);
    assert.deepEqual((await begin(build, file, { critical_ranges: CRITICAL.map(([offset, length]) => ({ offset, length })) })).json.missing_parts, [2, 3, 4], 'nothing of all this was kept');
  });

  test('CI\'s uploader goes on where it was cut', async () => {
    const run = await ci('upload-reference.mjs', args(url()));
    assert.equal(run.code, 0, run.err);
    assert.deepEqual(run.err.trim().split('\n'), ['part 3 of 5', 'part 4 of 5', 'part 5 of 5']);
    const { success, reference, answerable } = JSON.parse(run.out);
    assert.deepEqual([success, answerable, reference.build_hash, reference.size], [true, true, build.build_hash, file.length]);
    const [entry, ...more] = await desk.log();
    assert.deepEqual(more, []);
    assert.deepEqual([entry.kind, entry.about.build_hash, entry.about.whole], ['reference', build.build_hash, true]);
  });

  test('once complete it never changes', async () => {
    const again = await ci('upload-reference.mjs', args(url()));
    assert.equal(again.code, 0, `the same again is fine: ${again.err}`);
    assert.equal(again.err, '', 'and costs no part');
    const other = Buffer.from(file);
    other[7] = (other[7] as number) ^ 1;
    assertProblem(await begin(build, other), 409, 'Another reference is kept for this build');
    assertProblem(await begin(build, file.subarray(1)), 409);
    const { reference_id } = (await begin(build, file, { critical_ranges: CRITICAL.map(([offset, length]) => ({ offset, length })) })).json;
    assertProblem(await put(reference_id, 0, partOf(other, 0), sha256(partOf(other, 0))), 409);
    assertProblem(await desk.declare(build, other, [[0, 64]]), 409);
    desk.files.pop();
    const otherPath = join(folder, 'other.bin');
    writeFileSync(otherPath, other);
    const stolen = await ci('upload-reference.mjs', ['--url', url(), '--version', build.version, '--platform', build.platform, '--file', otherPath, '--build-hash', build.build_hash]);
    assert.notEqual(stolen.code, 0);
    assert.match(stolen.err, /409/);
    assert.equal((await desk.log()).length, 1);
  });

  for (const key of ['bytes', 'letters'] as const) {
    test(`a device that holds the file attests, the nonce's ${key} as the key`, async () => {
      const challenge = await desk.newChallenge(build, id);
      const answer = await desk.verify(id, challenge.nonce, answers(challenge, file, key).reverse());
      assert.equal(answer.status, 200, answer.text);
      const session = await desk.session(answer.json.session_token);
      assert.deepEqual([session.device_id, session.build_hash, session.build_version, session.tier], [id, build.build_hash, build.version, 1]);
      assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, file, key)));
    });
  }

  test('the example for relays takes the session, and no other', async () => {
    const asked = await desk.challenge(build, id, { audience: 'relay.example' });
    const { session_token } = (await desk.verify(id, asked.json.nonce, answers(asked.json, file))).json;
    const check = (token: string, ...more: string[]): Promise<Run> => new Promise((done) => {
      execFile(process.execPath, [join(ROOT, 'examples/verify-session-ts/verify-session.ts'), url(), token, ...more], (error, out, err) => done({ code: error === null ? 0 : 1, out, err }));
    });
    const good = await check(session_token, 'relay.example', '1');
    assert.equal(good.code, 0, good.err);
    assert.match(good.out, new RegExp(`^genuine: ${id} runs 2\\.1\\.0 on linux, tier 1`));
    const forged = `${session_token.slice(0, -3)}${session_token.endsWith('AAA') ? 'BBB' : 'AAA'}`;
    for (const run of await Promise.all([check(session_token), check(session_token, 'relay.example', '2'), check(forged, 'relay.example')])) assert.equal(run.code, 1, run.out);
  });

  test('a device with a key attests at tier 2', async () => {
    const device = new KeyedDevice('p256');
    const registered = await desk.post('/attest/register', device.registration(build));
    assert.equal(registered.status, 200, registered.text);
    const challenge = (await desk.post('/attest/challenge', device.wish(build))).json;
    const answer = await desk.post('/attest/verify', device.answer(challenge, file));
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await desk.session(answer.json.session_token)).tier, 2);
  });

  test('sixteen distinct regions, critical ones favoured, all within the file', async () => {
    const seen = new Set<number>();
    let critical = 0;
    for (let round = 0; round < 4; round += 1) {
      const device = await newDevice();
      for (let i = 0; i < 5; i += 1) {
        const { regions } = await desk.newChallenge(build, device);
        assert.equal(regions.length, 16);
        assert.equal(new Set(regions.map((region) => region.index)).size, 16);
        assert.equal(new Set(regions.map((region) => region.offset)).size, 16);
        const ordered = [...regions].sort((a, b) => a.offset - b.offset);
        ordered.forEach(({ offset, length }, at) => {
          assert.ok(Number.isInteger(offset) && offset >= 0 && length >= 1 && length <= 4096 && offset + length <= file.length);
          assert.ok(offset >= (ordered[at - 1]?.offset ?? -4096) + (ordered[at - 1]?.length ?? 4096), 'apart from each other');
          seen.add(offset);
        });
        const inside = regions.filter(({ offset, length }) => CRITICAL.some(([from, size]) => offset < from + size && from < offset + length)).length;
        assert.ok(inside >= 1, 'each challenge asks for something critical');
        critical += inside;
      }
    }
    assert.ok(critical >= 20 * 4, `critical pieces are ${critical} of 320, by chance it were 2`);
    assert.ok(seen.size > 120, `only ${seen.size} different pieces in 320`);
  });

  test('a device with a patched file fails', async () => {
    // All of what a patch has to touch, one byte in each block of 4 KiB.
    const patched = Buffer.from(file);
    for (const [offset, length] of CRITICAL) for (let at = offset; at < offset + length; at += 512) patched[at] = (patched[at] as number) ^ 0xff;
    for (let i = 0; i < 3; i += 1) {
      const challenge = await desk.newChallenge(build, id);
      assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, patched)));
      assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, file)));
    }
    // One bit of one asked piece, at each of the sixteen places.
    for (let place = 0; place < 16; place += 1) {
      const challenge = await desk.newChallenge(build, id);
      const { offset, length } = challenge.regions[place] as { offset: number; length: number };
      const piece = Buffer.from(file.subarray(offset, offset + length));
      piece[length - 1] = (piece[length - 1] as number) ^ 1;
      const body = answers(challenge, file);
      (body[place] as { hmac: string }).hmac = mac(challenge.nonce, piece);
      assertRefused(await desk.verify(id, challenge.nonce, body));
    }
    const short = await desk.newChallenge(build, id);
    assertRefused(await desk.verify(id, short.nonce, answers(short, file).slice(0, 15)));
    const same = await desk.newChallenge(build, id);
    assertRefused(await desk.verify(id, same.nonce, Array(16).fill(answers(same, file)[0])));
    const good = await desk.newChallenge(build, id);
    assert.equal((await desk.verify(id, good.nonce, answers(good, file))).status, 200, 'the device itself is not punished');
  });

  test('of 1,000 answers at once exactly one succeeds', async () => {
    const device = await newDevice();
    const challenge: Challenge = await desk.newChallenge(build, device);
    const body = answers(challenge, file);
    desk.service.agent.destroy();
    desk.service.agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
    const all = await Promise.all(Array.from({ length: 1000 }, () => desk.verify(device, challenge.nonce, body)));
    assert.equal(all.filter((answer) => answer.status === 200).length, 1);
    assert.equal(new Set(all.filter((answer) => answer.status !== 200).map(assertRefused)).size, 1);
  });

  test('a block reaches an answer about a whole file too', async () => {
    const challenge = await desk.newChallenge(build, id);
    assert.equal((await desk.setPolicy({ blocked_builds: [build.build_hash] })).status, 200);
    assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, file)));
    assertProblem(await desk.challenge(build, id), 403);
    assert.equal((await desk.setPolicy({})).status, 200);
  });

  test('the tree hash is recomputed before the file counts', async () => {
    const small = randomBytes(300_000);
    const flipped = Buffer.from(small);
    flipped[299_999] = (flipped[299_999] as number) ^ 1;
    const mine: Build = { version: '2.2.0', platform: 'linux', build_hash: sha256(small) };
    desk.files.push({ file: small, spans: [[0, 4000], [250_000, 4000]] });
    const { reference_id, missing_parts } = (await begin(mine, small)).json;
    assert.deepEqual(missing_parts, [0]);
    assert.equal((await put(reference_id, 0, flipped, sha256(flipped))).status, 200, 'a part that is what it says');
    assertProblem(await complete(reference_id), 422, 'The parts are not the file of the manifest');
    const device = await desk.newDevice(mine);
    assertProblem(await desk.challenge(mine, device), 404);
    for (const headers of [{}, { Authorization: 'Bearer x' }] as Record<string, string>[]) assertProblem(await complete(reference_id, headers), 401);
    assert.equal((await put(reference_id, 0, small, sha256(small))).status, 200, 'the right part in its place');
    assert.equal((await complete(reference_id)).status, 200);
    const challenge = await desk.newChallenge(mine, device);
    assert.equal((await desk.verify(device, challenge.nonce, answers(challenge, small))).status, 200);
    assertProblem(await complete(wrongMac()), 404);
  });

  test('a manifest that CI did not sign, or that describes no file, is refused', async () => {
    const small = randomBytes(70_000);
    const mine: Build = { version: '2.3.0', platform: 'linux', build_hash: sha256(small) };
    const genuine = manifestOf(mine, small);
    assertProblem(await desk.post('/attest/references', genuine, {}), 401, 'Unauthorized');
    assertProblem(await desk.post('/attest/references', { ...genuine, manifest: genuine.manifest.replace('70000', '70001') }, CI), 403, 'Invalid manifest signature');
    assertProblem(await desk.post('/attest/references', { ...genuine, signature: signed(genuine.manifest) }, CI), 403, 'Invalid manifest signature');
    const stranger = await ci('upload-reference.mjs', ['--url', url(), '--version', '2.3.0', '--platform', 'linux', '--file', path], { BUILD_SIGNING_KEY: 'ab'.repeat(32) });
    assert.notEqual(stranger.code, 0);
    assert.match(stranger.err, /403/);
    const intruder = await ci('upload-reference.mjs', ['--url', url(), '--version', '2.3.0', '--platform', 'linux', '--file', path], { CI_UPLOAD_SECRET: 'guessed' });
    assert.match(intruder.err, /401/);
    for (const more of [
      { size: 0 }, { size: -1 }, { size: 1.5 }, { size: 2 ** 53 }, { size: '70000' }, { tree_hash: 'x' }, { tree_hash: undefined }, { typ: 'build' }, { critical_ranges: [{ offset: 69_999, length: 2 }] },
      { critical_ranges: [{ offset: -1, length: 2 }] }, { critical_ranges: [{ offset: 0, length: 0 }] }, { critical_ranges: 'x' }, { version: 'x y' }, { platform: 'a/b' }, { version: undefined },
    ]) {
      const answer = await begin(mine, small, more);
      assert.equal(answer.status, 400, `${JSON.stringify(more)}: ${answer.text}`);
    }
  });

  test('declared regions from CI\'s program attest too', async () => {
    const mine: Build = { version: '2.4.0', platform: 'linux', build_hash: build.build_hash };
    const run = await ci('upload-reference.mjs', ['--url', url(), '--version', mine.version, '--platform', 'linux', '--file', path, '--regions', '48']);
    assert.equal(run.code, 0, run.err);
    assert.ok(!run.out.includes('data_hex'));
    const device = await desk.newDevice(mine);
    const challenge = await desk.newChallenge(mine, device);
    assert.equal((await desk.verify(device, challenge.nonce, answers(challenge, file, 'letters'))).status, 200);
  });

  test('kill -9 loses nothing of it', async () => {
    const [used, live] = [await desk.newChallenge(build, id), await desk.newChallenge(build, id)];
    assert.equal((await desk.verify(id, used.nonce, answers(used, file))).status, 200);
    const log = await desk.log();
    await desk.service.crashAndRestart();
    assertRefused(await desk.verify(id, used.nonce, answers(used, file)));
    assert.equal((await desk.verify(id, live.nonce, answers(live, file))).status, 200);
    assertRefused(await desk.verify(id, live.nonce, answers(live, file)));
    assert.deepEqual(await desk.log(), log);
    const challenge = await desk.newChallenge(build, id);
    assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, file))).status, 200);
  });

  test('at the end nothing of a file was ever told', () => desk.assertNothingTold());
});
