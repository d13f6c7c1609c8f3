// Attestation as a device, CI and an operator see it: issue 4, edge-wire.md 3 and 8, security-and-conventions.md 1.3.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  ADMIN_SECRET, answers, assertRefused, CI, CI_SECRET, Desk, KeyedDevice, mac, newBuild, OPERATOR, payloadOf, regionsOf, SECRETS, SESSION_SEED, signed, tokenOf, wrongMac,
} from './support/attest.ts';
import type { Build, Challenge } from './support/attest.ts';
import { assertCalm, assertNoLeak, assertProblem, Service, until } from './support/service.ts';
import type { Settings } from './support/service.ts';
import { fromSeed, kid, rawPublic } from './support/signing.ts';

const FILE = randomBytes(4096);
const SPANS: [number, number][] = Array.from({ length: 12 }, (_, i) => [i * 300 + 7, 32 + i]);
const DEFAULTS = { minimum_version: '1.0.0', recommended_version: '1.0.0', blocked_versions: [], sunset_dates: {} };

function closing(desk: () => Desk): () => Promise<void> {
  return async () => {
    const { service, canaries, macs } = desk();
    try {
      assertCalm(service);
      assertNoLeak(service, [...canaries, ...macs]);
    } finally {
      await service.stop();
    }
  };
}

async function withDesk(settings: Settings, run: (desk: Desk) => Promise<void>): Promise<void> {
  const desk = await Desk.open(settings);
  try {
    await run(desk);
    assertCalm(desk.service);
    assertNoLeak(desk.service, [...desk.canaries, ...desk.macs]);
  } finally {
    await desk.service.stop();
  }
}

/** A build with declared regions. */
async function released(desk: Desk, build = newBuild()): Promise<Build> {
  const answer = await desk.declare(build, FILE, SPANS);
  assert.equal(answer.status, 200, answer.text);
  return build;
}

describe('a build proof', () => {
  let desk: Desk;
  let build: Build;
  before(async () => {
    desk = await Desk.open();
    build = await released(desk);
  });
  after(closing(() => desk));

  test('a registration says what is known about the device', async () => {
    const id = `dev.A_-${randomUUID()}`;
    const from = Date.now();
    const answer = await desk.register(build, id);
    assert.equal(answer.status, 200, answer.text);
    const { status, version_status, device } = answer.json;
    assert.deepEqual({ status, version_status }, { status: 'registered', version_status: 'current' });
    const { registered_at, last_seen, ...rest } = device;
    for (const at of [registered_at, last_seen]) assert.ok(Number.isInteger(at) && at >= from - 50 && at <= Date.now() + 50, String(at));
    assert.deepEqual(rest, { device_id: id, build_version: build.version, platform: build.platform, build_hash: build.build_hash, attestation_history: [], anomaly_flags: 0, web_registration_timestamps: [] });
    assert.equal(answer.json.session_token, undefined, 'a build token is no proof');
    const again = await desk.register(build, id);
    assert.equal(again.json.device.registered_at, registered_at, 're-registration keeps it');
    assert.ok(again.json.device.last_seen >= last_seen);
  });

  for (const key of ['bytes', 'letters'] as const) {
    test(`declared regions are answered, the nonce's ${key} as the key`, async () => {
      const id = await desk.newDevice(build);
      const from = Date.now();
      const challenge = await desk.newChallenge(build, id);
      assert.match(challenge.nonce, /^[0-9a-f]{64}$/);
      assert.ok(challenge.regions.length >= 3 && challenge.regions.length <= 5, `3 to 5: ${challenge.regions.length}`);
      assert.equal(new Set(challenge.regions.map((region) => region.index)).size, challenge.regions.length, 'distinct');
      for (const { index, offset, length } of challenge.regions) assert.deepEqual([offset, length], SPANS[index], 'index is the position in the reference');
      assert.ok(Math.abs(challenge.expires_at - from - 300_000) < 5000);
      const answer = await desk.verify(id, challenge.nonce, answers(challenge, FILE, key).reverse());
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.valid, true);
      const session = await desk.session(answer.json.session_token);
      const { issued_at, expires_at, jti, ...rest } = session;
      assert.equal(expires_at - issued_at, 3_600_000);
      assert.ok(Math.abs(issued_at - Date.now()) < 10_000);
      assert.equal(typeof jti, 'string');
      assert.deepEqual(rest, {
        device_id: id, build_version: build.version, platform: build.platform, build_hash: build.build_hash, typ: 'session',
        kid: kid(rawPublic(fromSeed(Buffer.from(SESSION_SEED, 'hex')))), aud: 'waystation', tier: 1, policy_epoch: 0,
      });
    });
  }

  test('both keys in one answer, and a key of neither kind', async () => {
    const id = await desk.newDevice(build);
    const challenge = await desk.newChallenge(build, id);
    const upper = answers(challenge, FILE).map(({ region_index, hmac }) => ({ region_index, hmac: hmac.toUpperCase() }));
    assertRefused(await desk.verify(id, challenge.nonce, upper));
    const other = await desk.newChallenge(build, id);
    assertRefused(await desk.verify(id, other.nonce, answers({ ...other, nonce: challenge.nonce }, FILE)));
  });

  test('the audience of the challenge stands in the session', async () => {
    const id = await desk.newDevice(build);
    const answer = await desk.challenge(build, id, { audience: 'relay.example:9000' });
    assert.equal(answer.status, 200, answer.text);
    const good = await desk.verify(id, answer.json.nonce, answers(answer.json, FILE));
    assert.equal((await desk.session(good.json.session_token)).aud, 'relay.example:9000');
    for (const audience of [' ', 'a b', 'a'.repeat(129), 5, ['x'], { a: 1 }]) assertProblem(await desk.challenge(build, id, { audience }), 400);
  });

  test('nonces and choices of regions never repeat as a pattern', async () => {
    const seen = new Set<string>();
    const choices = new Set<string>();
    const asked = new Set<number>();
    for (let round = 0; round < 12; round += 1) {
      const id = await desk.newDevice(build);
      for (let i = 0; i < 5; i += 1) {
        const { nonce, regions } = await desk.newChallenge(build, id);
        seen.add(nonce);
        choices.add(regions.map((region) => region.index).sort((a, b) => a - b).join());
        for (const region of regions) asked.add(region.index);
      }
    }
    assert.equal(seen.size, 60);
    assert.equal(asked.size, SPANS.length, 'every region is asked for at some time');
    assert.ok(choices.size > 40, `only ${choices.size} different choices in 60`);
  });

  describe('whatever is wrong, the answer is one', () => {
    const refusals = new Set<string>();
    type Case = [string, (challenge: Challenge, id: string) => Promise<[unknown, unknown, unknown]> | [unknown, unknown, unknown]];
    const cases: Case[] = [
      ['a wrong MAC', (c, id) => [id, c.nonce, answers(c, FILE).map((a, i) => i === 0 ? { ...a, hmac: wrongMac() } : a)]],
      ['all wrong', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, hmac: wrongMac() }))]],
      ['another file', (c, id) => [id, c.nonce, answers(c, randomBytes(FILE.length))]],
      ['one region again and again', (c, id) => [id, c.nonce, answers(c, FILE).map((_, __, all) => all[0])]],
      ['one too few', (c, id) => [id, c.nonce, answers(c, FILE).slice(1)]],
      ['one too many', (c, id) => [id, c.nonce, [...answers(c, FILE), answers(c, FILE)[0]]]],
      ['another region instead', (c, id) => {
        const spare = SPANS.findIndex((_, at) => c.regions.every(({ index }) => index !== at));
        const [offset, length] = SPANS[spare] as [number, number];
        return [id, c.nonce, [...answers(c, FILE).slice(1), { region_index: spare, hmac: mac(c.nonce, FILE.subarray(offset, offset + length)) }]];
      }],
      ['none', (c, id) => [id, c.nonce, []]],
      ['indexes exchanged', (c, id) => [id, c.nonce, answers(c, FILE).map((a, i, all) => ({ ...a, region_index: all[(i + 1) % all.length]?.region_index }))]],
      ['an absent index', (c, id) => [id, c.nonce, answers(c, FILE).map(({ hmac }) => ({ hmac }))]],
      ['an index of text', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, region_index: String(a.region_index) }))]],
      ['a broken index', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, region_index: a.region_index + 0.5 }))]],
      ['a negative index', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, region_index: -1 - a.region_index }))]],
      ['an index far out', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, region_index: 2 ** 53 }))]],
      ['no MAC', (c, id) => [id, c.nonce, answers(c, FILE).map(({ region_index }) => ({ region_index }))]],
      ['a MAC of null', (c, id) => [id, c.nonce, answers(c, FILE).map(({ region_index }) => ({ region_index, hmac: null }))]],
      ['a short MAC', (c, id) => [id, c.nonce, answers(c, FILE).map((a) => ({ ...a, hmac: a.hmac.slice(0, 62) }))]],
      ['no objects', (c, id) => [id, c.nonce, answers(c, FILE).map(() => null)]],
      ['an unknown nonce', (_, id) => [id, wrongMac(), answers({ nonce: wrongMac(), regions: [{ index: 0, offset: 7, length: 32 }], expires_at: 0 }, FILE)]],
      ['a nonce that is none', (c, id) => [id, 'x', answers(c, FILE)]],
      ['a nonce in upper case', (c, id) => [id, c.nonce.toUpperCase() === c.nonce ? 'X' : c.nonce.toUpperCase(), answers(c, FILE)]],
      ['an unknown device', (c) => [`nobody-${randomUUID()}`, c.nonce, answers(c, FILE)]],
      ['another device', async (c) => [await desk.newDevice(build), c.nonce, answers(c, FILE)]],
      ['another device of another build', async (c) => [await desk.newDevice(newBuild()), c.nonce, answers(c, FILE)]],
      ['a device id that is none', (c) => ['a b', c.nonce, answers(c, FILE)]],
    ];
    for (const [what, make] of cases) {
      test(what, async () => {
        const id = await desk.newDevice(build);
        const challenge = await desk.newChallenge(build, id);
        const [device, nonce, responses] = await make(challenge, id);
        refusals.add(assertRefused(await desk.verify(device, nonce, responses)));
        assert.equal(refusals.size, 1, `told apart: ${[...refusals].join(' | ')}`);
        // Whatever named the true nonce has used it up, before it was judged.
        if (nonce === challenge.nonce) refusals.add(assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, FILE))));
        assert.equal(refusals.size, 1);
      });
    }
    test('a second use', async () => {
      const id = await desk.newDevice(build);
      const challenge = await desk.newChallenge(build, id);
      assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200);
      refusals.add(assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, FILE))));
      assert.equal(refusals.size, 1);
    });
  });

  test('of 200 answers at once exactly one succeeds', async () => {
    const id = await desk.newDevice(build);
    const challenge = await desk.newChallenge(build, id);
    const body = answers(challenge, FILE);
    desk.service.agent.destroy();
    desk.service.agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
    const all = await Promise.all(Array.from({ length: 200 }, () => desk.verify(id, challenge.nonce, body)));
    const good = all.filter((answer) => answer.status === 200);
    assert.equal(good.length, 1, `${good.length} succeeded`);
    assert.equal(new Set(all.filter((answer) => answer.status !== 200).map(assertRefused)).size, 1);
  });

  test('five challenges wait for a device, and each answer makes room', async () => {
    const id = await desk.newDevice(build);
    const waiting: Challenge[] = [];
    for (let i = 0; i < 5; i += 1) waiting.push(await desk.newChallenge(build, id));
    const sentence = 'Too many pending challenges. Please complete or wait for existing challenges to expire.';
    for (let i = 0; i < 2; i += 1) assertProblem(await desk.challenge(build, id), 429, sentence);
    const [first, second] = waiting as [Challenge, Challenge];
    assert.equal((await desk.verify(id, first.nonce, answers(first, FILE))).status, 200);
    waiting.push(await desk.newChallenge(build, id));
    assertProblem(await desk.challenge(build, id), 429, sentence);
    assertRefused(await desk.verify(id, second.nonce, []));
    waiting.push(await desk.newChallenge(build, id));
    for (const challenge of waiting.slice(2)) assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200);
  });

  describe('the device is bound to its build', () => {
    test('another version is not challenged for', async () => {
      const old = await released(desk, newBuild('1.1.0'));
      const id = await desk.newDevice(build);
      assertProblem(await desk.post('/attest/challenge', { device_id: id, build_version: old.version }), 403);
      const answer = await desk.post('/attest/challenge', { device_id: id, build_token: tokenOf(build) });
      assert.equal(answer.status, 200, `the registered version is taken where only a token is given: ${answer.text}`);
    });

    test('the file of another build of the same version will not do', async () => {
      const twin = newBuild(build.version, build.platform);
      const file = randomBytes(4096);
      assert.equal((await desk.declare(twin, file, SPANS)).status, 200);
      const id = await desk.newDevice(twin);
      const [mine, theirs] = [await desk.newChallenge(twin, id), await desk.newChallenge(twin, id)];
      assertRefused(await desk.verify(id, theirs.nonce, answers(theirs, FILE)));
      assert.equal((await desk.verify(id, mine.nonce, answers(mine, file))).status, 200);
    });

    test('the platform of a free-form id stays that of its first registration', async () => {
      const id = await desk.newDevice(build);
      assertProblem(await desk.register(newBuild('9.9.9', 'android'), id), 403);
      const challenge = await desk.newChallenge(build, id);
      assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200);
    });

    test('an update leaves nothing of the old build', async () => {
      const next = await released(desk, newBuild('1.3.0'));
      const id = await desk.newDevice(build);
      const before = await desk.newChallenge(build, id);
      assert.equal((await desk.register(next, id)).status, 200);
      assertProblem(await desk.challenge(build, id), 403);
      const late = await desk.verify(id, before.nonce, answers(before, FILE));
      if (late.status === 200) assert.equal((await desk.session(late.json.session_token)).build_version, build.version);
      else assertRefused(late);
    });

    test('an unknown device, and a build that CI did not upload', async () => {
      assertProblem(await desk.challenge(build, `nobody-${randomUUID()}`), 404, 'Device not registered');
      const bare = newBuild();
      assertProblem(await desk.challenge(bare, await desk.newDevice(bare)), 404, 'No reference binary found for this version and platform');
    });

    for (const kind of ['ed25519', 'p256'] as const) {
      test(`an id of a ${kind} key belongs to that key`, async () => {
        const device = new KeyedDevice(kind);
        const thief = new KeyedDevice(kind);
        assertProblem(await desk.register(build, device.id), 403);
        assertProblem(await desk.post('/attest/register', thief.registration(build, thief.now(), device.id)), 403);
        const genuine = device.registration(build);
        assertProblem(await desk.post('/attest/register', { ...genuine, device_signature: thief.registration(build).device_signature }), 403);
        assertProblem(await desk.post('/attest/register', { ...genuine, build_token: tokenOf(newBuild()) }), 403);
        assertProblem(await desk.post('/attest/register', device.registration(build, Date.now() - 600_000)), 403);
        assertProblem(await desk.post('/attest/register', device.registration(build, Date.now() + 600_000)), 403);
        const answer = await desk.post('/attest/register', genuine);
        assert.equal(answer.status, 200, answer.text);
        assertProblem(await desk.post('/attest/register', genuine), 409);

        assert.equal((await desk.challenge(build, device.id)).status, 403, 'unsigned');
        const wish = device.wish(build);
        const challenge = await desk.post('/attest/challenge', wish);
        assert.equal(challenge.status, 200, challenge.text);
        assert.equal((await desk.post('/attest/challenge', wish)).status, 409, 'sent again');
        assert.equal((await desk.post('/attest/challenge', { ...device.wish(build), device_signature: wish.device_signature })).status, 403);
        const unsigned = await desk.verify(device.id, challenge.json.nonce, answers(challenge.json, FILE));
        assertRefused(unsigned);
        const second = await desk.post('/attest/challenge', device.wish(build));
        assertRefused(await desk.post('/attest/verify', thief.answer(second.json, FILE, device.id)));
        const third = await desk.post('/attest/challenge', device.wish(build));
        const good = await desk.post('/attest/verify', device.answer(third.json, FILE));
        assert.equal(good.status, 200, good.text);
        const session = await desk.session(good.json.session_token);
        assert.equal(session.tier, 2);
        assert.equal(session.device_id, device.id);
      });
    }

    test('a free-form id with a key is not given to another key, nor to none', async () => {
      const [device, thief] = [new KeyedDevice(), new KeyedDevice()];
      const id = `chosen-${randomUUID()}`;
      assert.equal((await desk.post('/attest/register', device.registration(build, device.now(), id))).status, 200);
      assertProblem(await desk.post('/attest/register', thief.registration(build, thief.now(), id)), 403);
      assertProblem(await desk.register(build, id), 403);
      assert.equal((await desk.post('/attest/register', device.registration(build, device.now(), id))).status, 200);
    });
  });

  describe('build tokens', () => {
    const send = (build_token: unknown): ReturnType<Desk['post']> => desk.post('/attest/register', { build_token, device_id: `t-${randomUUID()}` });
    const withPayload = (payload: string): unknown => ({ payload, signature: signed(payload) });

    test('in every form of the field', async () => {
      const text = payloadOf(build);
      const packed = Buffer.from(text).toString('base64');
      const flat = { ...JSON.parse(text), signature: signed(text) };
      const forms: [string, unknown][] = [
        ['as the server of old wants it', tokenOf(build)],
        ['signature in base64url', { payload: text, signature: Buffer.from(signed(text), 'base64').toString('base64url') }],
        ['payload in base64', withPayload(packed)],
        ['payload in base64, signed before packing', { payload: packed, signature: signed(text) }],
        ['time in ISO 8601', tokenOf(build, { timestamp: new Date().toISOString() })],
        ['all in base64', Buffer.from(JSON.stringify(tokenOf(build))).toString('base64')],
        ['flat', flat],
      ];
      for (const [what, form] of forms) {
        const answer = await send(form);
        assert.equal(answer.status, 200, `${what}: ${answer.text}`);
        assert.equal(answer.json.device.build_hash, build.build_hash, what);
      }
    });

    test('flat callers get an object', async () => {
      const text = payloadOf(build);
      const id = `flat-${randomUUID()}`;
      await desk.post('/attest/register', { build_token: { ...JSON.parse(text), signature: signed(text) }, device_id: id });
      const challenge = await desk.newChallenge(build, id);
      const answer = await desk.verify(id, challenge.nonce, answers(challenge, FILE, 'letters'));
      assert.equal(answer.status, 200, answer.text);
      const { token, expires_at, device_id } = answer.json.session_token;
      assert.equal(device_id, id);
      assert.equal((await desk.session(token)).expires_at, expires_at);
    });

    test('the sentence of each fault', async () => {
      const missing = 'Missing required fields: build_token, device_id';
      for (const body of [{}, { device_id: 'x' }, { build_token: tokenOf(build) }, [], { build_token: null, device_id: 'x' }]) assertProblem(await desk.post('/attest/register', body), 400, missing);
      for (const id of ['a b', 'a'.repeat(129), 'é', 'a/b', 5, ['a']]) assertProblem(await desk.post('/attest/register', { build_token: tokenOf(build), device_id: id }), 400, 'Invalid device_id format');
      for (const token of [{}, { payload: 'x' }, { signature: 'x' }, []]) assertProblem(await send(token), 400, 'Invalid build_token format: must include payload and signature');
      assertProblem(await send({ payload: payloadOf(build), signature: signed('other') }), 403, 'Invalid build token signature');
      assertProblem(await send({ payload: payloadOf(build), signature: '***' }), 403, 'Invalid build token signature');
      assertProblem(await send({ payload: payloadOf(build).replace(build.version, '1.2.1'), signature: tokenOf(build).signature }), 403, 'Invalid build token signature');
      for (const payload of ['{', 'null', '[]']) assertProblem(await send(withPayload(payload)), 400);
      const members = 'Build token missing required fields: version, platform, build_hash, timestamp';
      for (const name of ['version', 'platform', 'build_hash', 'timestamp']) assertProblem(await send(tokenOf(build, { [name]: undefined })), 400, members);
      assertProblem(await send(tokenOf(build, { timestamp: Date.now() + 120_000 })), 403, 'Build token has a future timestamp');
      const month = 30 * 86_400_000;
      assertProblem(await send(tokenOf(build, { timestamp: Date.now() - month - 60_000 })), 403, 'Build token expired');
      assertProblem(await send(tokenOf(build, { timestamp: new Date(Date.now() - month - 60_000).toISOString() })), 403, 'Build token expired');
      assert.equal((await send(tokenOf(build, { timestamp: Date.now() - month + 60_000 }))).status, 200);
      for (const timestamp of ['yesterday', '2026', -1, 1.5e300, true, {}, []]) {
        const answer = await send(tokenOf(build, { timestamp }));
        assert.ok(answer.status === 400 || answer.status === 403, `${JSON.stringify(timestamp)}: ${answer.text}`);
      }
      for (const version of ['1.2', '1e9.0.0', '1.2.3.4', 'x', '01.2.3', '-1.0.0', '1.2.9-']) assertProblem(await send(tokenOf({ ...build, version })), 403, `Invalid version format: ${version}`);
    });

    test('no signed thing is taken for another', async () => {
      const sessionKey = fromSeed(Buffer.from(SESSION_SEED, 'hex'));
      const payload = payloadOf(build);
      assertProblem(await send({ payload, signature: signed(payload, sessionKey) }), 403, 'Invalid build token signature');
      const id = await desk.newDevice(build);
      const challenge = await desk.newChallenge(build, id);
      const [text, signature] = (await desk.verify(id, challenge.nonce, answers(challenge, FILE))).json.session_token.split('.');
      for (const payload of [text, Buffer.from(text, 'base64url').toString()]) assertProblem(await send({ payload, signature }), 403);
      const manifest = JSON.stringify({ typ: 'manifest', ...build, size: 4096, tree_hash: wrongMac(), critical_ranges: [], timestamp: Date.now() });
      assert.ok((await send(withPayload(manifest))).status >= 400, 'a manifest is no build token');
      for (const [form, signature] of [[manifest, signed(manifest)], [payload, signed(payload)]] as const) {
        assertProblem(await desk.post('/attest/references', { manifest: form, signature }, CI), 403, 'Invalid manifest signature');
      }
    });

    test('web gets a session of the lowest tier and no challenge', async () => {
      const web = newBuild('1.2.0', 'web');
      const id = `web-${randomUUID()}`;
      const answer = await desk.register(web, id);
      assert.equal(answer.json.attestation_mode, 'web_fallback');
      const session = await desk.session(answer.json.session_token);
      assert.deepEqual([session.tier, session.trust_level, session.platform], [0, 'web_fallback', 'web']);
      assert.equal(session.expires_at - session.issued_at, 900_000);
      assertProblem(await desk.challenge(web, id), 400, 'Binary attestation not available for web platform. Use registration token.');
      for (let i = 0; i < 9; i += 1) assert.equal((await desk.register(web, id)).status, 200);
      const late = await desk.register(web, id);
      assertProblem(late, 429, 'Too many registration attempts. Please try again later.');
      assert.match(String(late.headers['retry-after']), /^\d+$/);
    });
  });

  describe('declared references', () => {
    const upload = (body: unknown, headers: Record<string, string> = CI): ReturnType<Desk['post']> => desk.post('/attest/upload-reference', body, headers);
    const whole = (build: Build, more: Record<string, unknown> = {}): Record<string, unknown> => ({ ...build, size: FILE.length, critical_regions: regionsOf(FILE, SPANS), ...more });

    test('only CI uploads, and the answer holds no byte', async () => {
      for (const headers of [{}, { Authorization: '' }, { Authorization: 'Bearer x' }, { Authorization: `Bearer ${CI_SECRET}x` }, { Authorization: CI_SECRET }]) {
        assertProblem(await upload(whole(newBuild()), headers as Record<string, string>), 401, 'Unauthorized');
      }
      const operator = await upload(whole(newBuild()), OPERATOR);
      assert.ok([401, 403].includes(operator.status), operator.text);
      const fresh = newBuild();
      const answer = await upload(whole(fresh));
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.success, true);
      assert.ok(!/data_hex|hmac/.test(answer.text));
      const { version, platform, build_hash } = answer.json.reference;
      assert.deepEqual({ version, platform, build_hash }, fresh);
    });

    test('the same again is fine and another one is refused for ever', async () => {
      const fresh = newBuild();
      const first = await upload(whole(fresh));
      assert.equal(first.status, 200);
      const entries = (await desk.log()).length;
      const again = await upload(whole(fresh));
      assert.equal(again.status, 200);
      assert.deepEqual(again.json, first.json);
      assertProblem(await upload(whole(fresh, { critical_regions: regionsOf(randomBytes(4096), SPANS) })), 409, 'Another reference is kept for this build');
      assertProblem(await upload(whole(fresh, { critical_regions: regionsOf(FILE, SPANS.slice(1)) })), 409);
      assert.equal((await desk.log()).length, entries, 'nothing was changed, so nothing is logged');
      const id = await desk.newDevice(fresh);
      const challenge = await desk.newChallenge(fresh, id);
      assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200, 'the first one counts');
    });

    test('of several files for one build at once one is kept, whole', async () => {
      const fresh = newBuild();
      const files = Array.from({ length: 8 }, () => randomBytes(4096));
      const all = await Promise.all(files.map((file) => desk.declare(fresh, file, SPANS)));
      assert.deepEqual(all.map((answer) => answer.status).sort(), [200, ...Array(7).fill(409)]);
      const id = await desk.newDevice(fresh);
      for (const [i, file] of files.entries()) {
        const challenge = await desk.newChallenge(fresh, id);
        const answer = await desk.verify(id, challenge.nonce, answers(challenge, file));
        if (all[i]?.status === 200) assert.equal(answer.status, 200, answer.text);
        else assertRefused(answer);
      }
    });

    test('a region without bytes is kept and cannot be asked for', async () => {
      const fresh = newBuild();
      const answer = await upload({ ...fresh, size: FILE.length, critical_regions: SPANS.map(([offset, length]) => ({ offset, length })) });
      assert.equal(answer.status, 200, answer.text);
      assertProblem(await desk.challenge(fresh, await desk.newDevice(fresh)), 404, 'No reference binary found for this version and platform');
      const few = newBuild();
      const regions = regionsOf(FILE, SPANS).map((region, i) => i < 4 ? region : { offset: region.offset, length: region.length });
      assert.equal((await upload({ ...few, size: FILE.length, critical_regions: regions })).status, 200);
      const id = await desk.newDevice(few);
      for (let i = 0; i < 5; i += 1) {
        const challenge = await desk.newChallenge(few, id);
        for (const { index } of challenge.regions) assert.ok(index < 4, `region ${index} has no bytes`);
        assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200);
      }
    });

    test('ranges that cannot be are refused', async () => {
      const region = (offset: unknown, length: unknown, data_hex: unknown = 'ab'): unknown[] => [{ offset, length, data_hex }];
      const bad: unknown[] = [
        region(-1, 1), region(0.5, 1), region(0, 1.5), region(0, 0, ''), region(0, -1), region(4096, 1), region(4095, 2, 'abcd'), region(0, 2), region(0, 1, 'abcd'), region(0, 1, 'zz'), region(0, 1, 'a'),
        region(2 ** 53, 1), region(1e300, 1), region('0', 1), region(0, '1'), region(null, 1), region(0, null), region(undefined, 1),
        [...regionsOf(FILE, [[0, 8]]), ...regionsOf(FILE, [[7, 8]])], [...regionsOf(FILE, [[0, 8], [0, 8]])], [], {}, 'x', 5, [null], [[]], undefined,
      ];
      for (const critical_regions of bad) {
        const answer = await upload(whole(newBuild(), { critical_regions }));
        assert.equal(answer.status, 400, `${JSON.stringify(critical_regions)}: ${answer.text}`);
      }
      for (const name of ['version', 'platform', 'build_hash']) assertProblem(await upload(whole(newBuild(), { [name]: undefined })), 400, 'Missing required fields: version, platform, build_hash');
      for (const more of [{ version: 'x y' }, { platform: 'a/b' }, { platform: {} }]) assertProblem(await upload(whole(newBuild(), more)), 400, 'Invalid version or platform format');
    });
  });

  test('the sentence of each missing member', async () => {
    for (const body of [{}, [], { device_id: 'x' }, { build_version: '1.2.0' }, { device_id: '', build_version: '' }]) {
      assertProblem(await desk.post('/attest/challenge', body), 400, 'Missing required fields: device_id, build_version');
    }
    for (const id of ['a b', 'a'.repeat(129), 'é', 5, ['a']]) assertProblem(await desk.post('/attest/challenge', { device_id: id, build_version: '1.2.0' }), 400);
    const whole = { device_id: 'x', nonce: wrongMac(), responses: [{ region_index: 0, hmac: wrongMac() }] };
    for (const name of ['device_id', 'nonce', 'responses']) {
      assertProblem(await desk.post('/attest/verify', { ...whole, [name]: undefined }), 400, 'Missing required fields: device_id, nonce, responses (array)');
    }
    for (const path of ['/attest/register', '/attest/challenge', '/attest/verify']) assertProblem(await desk.post(path, '{'), 400);
  });

  test('limits of bodies', async () => {
    const limits: [string, number, Record<string, string>][] = [
      ['/attest/register', 8192, {}], ['/attest/challenge', 2048, {}], ['/attest/verify', 16_384, {}], ['/attest/upload-reference', 65_536, CI], ['/attest/versions', 4096, OPERATOR],
    ];
    for (const [path, limit, headers] of limits) {
      const body = (size: number): string => `{"pad":"${'x'.repeat(size - 10)}"}`;
      const fits = await desk.post(path, body(limit), headers);
      assert.ok([400, 403].includes(fits.status), `${path} at its limit: ${fits.text}`);
      for (const chunked of [false, true]) {
        assertProblem(await desk.ask('POST', path, { body: body(limit + 1), headers, chunked }), 413, 'Request body too large');
      }
    }
  });

  test('malformed bodies are refused, never a fault of the service', async () => {
    const deep = '['.repeat(900) + ']'.repeat(900);
    const odd: unknown[] = ['', '{', 'null', '[]', '"x"', '1', 'true', '{}', 'NaN', '{"a":}', deep, `{"responses":${deep}}`, '{"device_id":"\\ud800"}', Buffer.from([0xff, 0xfe, 0x7b]), Buffer.from('{"device_id":"\xff"}', 'latin1'), '{"__proto__":{"device_id":"x"}}', '\u0000'];
    const values: unknown[] = [null, true, 0, -1, 1e308, '', 'x', '\u0000', [], [[]], [null], {}, { payload: {}, signature: {} }, { payload: 'x', signature: 5 }];
    const paths: [string, string[], Record<string, string>][] = [
      ['/attest/register', ['build_token', 'device_id', 'device_key', 'device_signature', 'device_timestamp'], {}],
      ['/attest/challenge', ['device_id', 'build_version', 'build_token', 'audience', 'device_timestamp'], {}],
      ['/attest/verify', ['device_id', 'nonce', 'responses', 'device_signature'], {}],
      ['/attest/upload-reference', ['version', 'platform', 'build_hash', 'size', 'critical_regions'], CI],
      ['/attest/references', ['manifest', 'signature'], CI],
      ['/attest/versions', ['minimum_version', 'blocked_versions', 'sunset_dates', 'platforms', 'blocked_builds', 'recommended_version'], { ...OPERATOR, 'If-Match': '"none"' }],
    ];
    for (const [path, names, headers] of paths) {
      for (const body of odd) {
        const answer = await desk.ask('POST', path, { body, headers });
        assert.ok(answer.status >= 400 && answer.status < 500, `${path} ${String(body).slice(0, 30)}: ${answer.text}`);
        assert.equal(answer.headers['content-type'], 'application/problem+json');
      }
      for (const name of names) {
        for (const value of values) {
          const plausible: Record<string, unknown> = { device_id: 'x', build_version: '1.2.0', nonce: wrongMac(), responses: [], build_token: tokenOf(build), ...newBuild(), manifest: '{}', signature: 'x', minimum_version: '1.0.0' };
          const kept = Object.fromEntries(Object.entries(plausible).filter(([key]) => names.includes(key)));
          const answer = await desk.post(path, { ...kept, [name]: value }, headers);
          assert.ok(answer.status < 500, `${path} ${name}=${JSON.stringify(value)}: ${answer.text}`);
        }
      }
    }
    assert.ok((await desk.log()).every((entry) => entry.kind === 'reference'), 'no policy was written');
  });

  test('other paths and methods', async () => {
    for (const path of ['/attest', '/attest/', '/attest/x', '/attestation', '/attest/judge', '/attest/grant', '/attest/references/x']) {
      assert.equal((await desk.get(path)).status, 404, path);
    }
    assert.equal((await desk.ask('OPTIONS', '/attest/register')).status, 200);
    for (const path of ['/attest/register', '/attest/challenge', '/attest/verify', '/attest/upload-reference']) {
      const answer = await desk.get(path);
      assert.ok([404, 405].includes(answer.status), `${path}: ${answer.text}`);
    }
  });

  test('at the end nothing of a reference was ever told', () => desk.assertNothingTold());
});

describe('the version policy', () => {
  test('before anybody has written one', () => withDesk({}, async (desk) => {
    const answer = await desk.policy();
    for (const [name, value] of Object.entries(DEFAULTS)) assert.deepEqual(answer.json[name], value, name);
    assert.ok('sunset_date' in answer.json, 'as the app reads it');
    await desk.assertDocument(answer, 'versions');
    assert.deepEqual(await desk.log(), []);
  }));

  test('is written by operators only', () => withDesk({}, async (desk) => {
    const body = { minimum_version: '2.0.0' };
    for (const headers of [{}, { Authorization: '' }, { Authorization: 'Bearer x' }, { Authorization: `Bearer ${ADMIN_SECRET}x` }, { Authorization: ADMIN_SECRET }, { Authorization: 'Bearer ' }] as Record<string, string>[]) {
      assertProblem(await desk.post('/attest/versions', body, headers), 401, 'Unauthorized');
    }
    for (const path of ['/attest/versions', '/attest/versions?dry_run=true']) {
      const answer = await desk.post(path, body, CI);
      assert.ok([401, 403].includes(answer.status), `CI's credential: ${answer.text}`);
    }
    assert.equal((await desk.policy()).json.minimum_version, '1.0.0');
    assert.deepEqual(await desk.log(), []);
    assert.equal((await desk.setPolicy(body)).json.policy.minimum_version, '2.0.0');
    assert.equal((await desk.log()).length, 1);
    await desk.service.crashAndRestart();
    assert.equal((await desk.policy()).json.minimum_version, '2.0.0');
  }));

  test('missing members go back to their defaults, and what cannot be is refused whole', () => withDesk({}, async (desk) => {
    assert.equal((await desk.setPolicy({ minimum_version: '1.5.0', blocked_versions: ['1.6.0'], sunset_dates: { '1.5.1': '2099-01-01' } })).status, 200);
    const second = await desk.setPolicy({ recommended_version: '1.9.0' });
    assert.equal(second.json.success, true);
    for (const [name, value] of Object.entries({ ...DEFAULTS, recommended_version: '1.9.0' })) assert.deepEqual(second.json.policy[name], value, name);
    const { text } = await desk.policy();
    for (const [bad, sentence] of [
      [{ minimum_version: '1.0' }, 'Invalid minimum_version format (expected X.Y.Z)'], [{ minimum_version: 5 }, 'Invalid minimum_version format (expected X.Y.Z)'],
      [{ recommended_version: 'x' }, 'Invalid recommended_version format (expected X.Y.Z)'], [{ blocked_versions: 'x' }, undefined], [{ blocked_versions: [5] }, undefined], [{ blocked_versions: ['=>1'] }, undefined],
      [{ sunset_dates: { '1.0.0': 'soon' } }, undefined], [{ sunset_dates: 7 }, undefined], [{ platforms: [] }, undefined], [{ platforms: { linux: { minimum_version: 'x' } } }, undefined],
    ] as [unknown, string | undefined][]) {
      const answer = await desk.setPolicy(bad);
      assertProblem(answer, 400, sentence);
      assert.equal((await desk.policy()).text, text);
    }
  }));

  test('a block is felt at register, challenge and answer, at once', () => withDesk({}, async (desk) => {
    const build = await released(desk, newBuild('1.2.5'));
    const kept = await released(desk, newBuild('1.3.0'));
    const id = await desk.newDevice(build);
    const other = await desk.newDevice(kept);
    const [waiting, refused] = [await desk.newChallenge(build, id), await desk.newChallenge(build, id)];
    const theirs = await desk.newChallenge(kept, other);
    const changed = await desk.setPolicy({ blocked_versions: ['>=1.2.0 <1.3.0'] });
    assert.equal(changed.status, 200, changed.text);
    const plain = assertRefused(await desk.verify(id, refused.nonce, []));
    assert.equal(assertRefused(await desk.verify(id, waiting.nonce, answers(waiting, FILE))), plain, 'as any other failure');
    assertProblem(await desk.challenge(build, id), 403, 'Version 1.2.5 has been blocked');
    assertProblem(await desk.register(build, id), 403, 'Version 1.2.5 has been blocked');
    const good = await desk.verify(other, theirs.nonce, answers(theirs, FILE));
    assert.equal(good.status, 200, good.text);
    assert.equal((await desk.session(good.json.session_token)).policy_epoch, changed.json.policy.policy_epoch);
    assert.ok(changed.json.policy.policy_epoch > 0);
    assert.equal((await desk.setPolicy({})).status, 200);
    assertRefused(await desk.verify(id, waiting.nonce, answers(waiting, FILE)));
    const again = await desk.newChallenge(build, id);
    assert.equal((await desk.verify(id, again.nonce, answers(again, FILE))).status, 200);
  }));

  test('versions are ordered as SemVer says, per platform too', () => withDesk({}, async (desk) => {
    const ask = async (version: string, platform = 'linux', more: Partial<Build> = {}): Promise<string> => {
      const answer = await desk.register({ ...newBuild(version, platform), ...more }, `s-${randomUUID()}`);
      return answer.status === 200 ? answer.json.version_status : answer.json.error;
    };
    const hash = wrongMac();
    assert.equal((await desk.setPolicy({
      minimum_version: '1.2.0', recommended_version: '1.10.0', blocked_versions: ['1.4.0', '>=2.0.0 <2.1.0'], blocked_builds: [hash],
      sunset_dates: { '1.5.0': '2020-01-01', '1.6.0': '2099-01-01' },
      platforms: { android: { minimum_version: '1.8.0', blocked_versions: ['1.11.0'] } },
    })).status, 200);
    const expected: [string, string, string][] = [
      ['1.1.9', 'linux', 'Version 1.1.9 is below minimum required version 1.2.0'], ['1.2.0-rc.1', 'linux', 'Version 1.2.0-rc.1 is below minimum required version 1.2.0'],
      ['1.2.0', 'linux', 'update_recommended'], ['1.9.0', 'linux', 'update_recommended'], ['1.10.0', 'linux', 'current'], ['1.11.0', 'linux', 'current'],
      ['1.4.0', 'linux', 'Version 1.4.0 has been blocked'], ['1.4.0+other', 'linux', 'Version 1.4.0+other has been blocked'], ['1.4.1', 'linux', 'update_recommended'],
      ['2.0.0', 'linux', 'Version 2.0.0 has been blocked'], ['2.0.99', 'linux', 'Version 2.0.99 has been blocked'], ['2.0.5-rc.1', 'linux', 'Version 2.0.5-rc.1 has been blocked'], ['2.1.0', 'linux', 'current'],
      ['1.7.0', 'android', 'Version 1.7.0 is below minimum required version 1.8.0'], ['1.11.0', 'android', 'Version 1.11.0 has been blocked'], ['1.8.0', 'android', 'update_recommended'],
      ['2.0.0', 'android', 'Version 2.0.0 has been blocked'],
    ];
    for (const [version, platform, answer] of expected) assert.equal(await ask(version, platform), answer, `${version} on ${platform}`);
    assert.match(await ask('3.0.0', 'linux', { build_hash: hash }), /blocked/);
    assert.match(await ask('1.5.0'), /^Version 1\.5\.0 has reached its end/);
    const late = await desk.register(newBuild('1.6.0'), `s-${randomUUID()}`);
    assert.equal(late.status, 200);
    assert.equal(late.json.sunset_at, Date.UTC(2099, 0, 1));
  }));

  test('a version ends at its hour without anybody doing anything', () => withDesk({}, async (desk) => {
    const build = await released(desk, newBuild('1.5.0'));
    const id = await desk.newDevice(build);
    const waiting = await desk.newChallenge(build, id);
    const end = Date.now() + 700;
    assert.equal((await desk.setPolicy({ sunset_dates: { '1.5.0': new Date(end).toISOString() } })).status, 200);
    const early = await desk.challenge(build, id);
    if (Date.now() < end) assert.equal(early.status, 200, 'not before its hour');
    await until('the end', async () => (await desk.register(build, id)).status === 403);
    assert.ok(Date.now() >= end);
    assertProblem(await desk.challenge(build, id), 403);
    assertRefused(await desk.verify(id, waiting.nonce, answers(waiting, FILE)));
  }));

  test('the log tells every upload and every change, in a chain', () => withDesk({}, async (desk) => {
    const builds: Build[] = [];
    for (let i = 0; i < 4; i += 1) {
      builds.push(await released(desk));
      assert.equal((await desk.setPolicy({ minimum_version: `1.0.${i}` })).status, 200);
    }
    const before = await desk.log(3);
    assert.deepEqual(before.map((entry) => entry.kind), Array.from({ length: 8 }, (_, i) => i % 2 === 0 ? 'reference' : 'policy'));
    before.forEach((entry, i) => {
      assert.ok(Math.abs(entry.at - Date.now()) < 30_000);
      if (i % 2 === 0) assert.equal(entry.about.build_hash, builds[i / 2]?.build_hash);
      else assert.equal(entry.about.policy.minimum_version, `1.0.${(i - 1) / 2}`);
    });
    await desk.setPolicy({});
    const after = await desk.log();
    assert.equal(after.length, 9);
    assert.deepEqual(after.slice(0, 8), before, 'append-only');
    for (const query of ['after=x', 'limit=-1', 'after=1.5', 'limit=x']) assertProblem(await desk.get(`/attest/log?${query}`), 400);
    for (const method of ['POST', 'PUT', 'DELETE']) assert.ok([404, 405].includes((await desk.ask(method, '/attest/log', { headers: OPERATOR })).status));
    desk.macs.add(wrongMac());
    desk.assertNothingTold();
  }));
});

describe('keys and settings', () => {
  test('the key set shows the current and the previous key, and the current one signs', () =>
    withDesk({ ATTESTATION_SIGNING_KEY: `${Buffer.from('11'.repeat(32), 'hex').toString('base64')},${SESSION_SEED}` }, async (desk) => {
      const [current, previous] = [Buffer.from('11'.repeat(32), 'hex'), Buffer.from(SESSION_SEED, 'hex')].map((seed) => rawPublic(fromSeed(seed))) as [Buffer, Buffer];
      assert.deepEqual([...(await desk.keys())], [[kid(current), current], [kid(previous), previous]]);
      const answer = await desk.register(newBuild('1.2.0', 'web'), 'w-1');
      assert.equal((await desk.session(answer.json.session_token)).kid, kid(current));
      await desk.assertDocument(await desk.policy(), 'versions');
    }));

  test('of several build keys each one counts, and only these', async () => {
    const [second, stranger] = [fromSeed(randomBytes(32)), fromSeed(randomBytes(32))];
    await withDesk({ BUILD_TOKEN_VERIFY_KEY: `${SECRETS.BUILD_TOKEN_VERIFY_KEY},${rawPublic(second).toString('base64')}` }, async (desk) => {
      const payload = payloadOf(newBuild());
      for (const [key, status] of [[second, 200], [stranger, 403]] as const) {
        assert.equal((await desk.post('/attest/register', { build_token: { payload, signature: signed(payload, key) }, device_id: 'd' })).status, status);
      }
      assert.equal((await desk.register(newBuild(), 'e')).status, 200);
    });
  });

  test('a crowd from one network pushes out nobody but itself', () => withDesk({}, async (desk) => {
    const build = await released(desk);
    const from = (address: string, path: string, body: unknown): ReturnType<Desk['ask']> => desk.ask('POST', path, { body, address });
    const enter = async (id: string, address: string): Promise<void> => {
      const answer = await from(address, '/attest/register', { build_token: tokenOf(build), device_id: id });
      assert.equal(answer.status, 200, answer.text);
    };
    await enter('elsewhere', '198.51.100.7');
    await enter('neighbour', '203.0.113.5');
    const early = await desk.newChallenge(build, 'neighbour');
    assert.equal((await desk.verify('neighbour', early.nonce, answers(early, FILE))).status, 200);
    for (let i = 0; i < 150; i += 1) await enter(`crowd-${i}`, '203.0.113.5');
    for (const id of ['elsewhere', 'neighbour', 'crowd-149']) {
      const challenge = await desk.newChallenge(build, id);
      assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200, id);
    }
    assertProblem(await desk.challenge(build, 'crowd-0'), 404, 'Device not registered');
    await enter('crowd-0', '203.0.113.5');
    const challenge = await desk.newChallenge(build, 'crowd-0');
    assert.equal((await desk.verify('crowd-0', challenge.nonce, answers(challenge, FILE))).status, 200);
  }));

  test('lives are as configured', () => withDesk({ ATTEST_NONCE_TTL_MS: '1500', ATTEST_SESSION_TTL_MS: '120000', ATTEST_BUILD_TOKEN_MAX_AGE_MS: '60000' }, async (desk) => {
    const build = await released(desk);
    assertProblem(await desk.register(build, 'old', { build_token: tokenOf(build, { timestamp: Date.now() - 61_000 }) }), 403, 'Build token expired');
    const id = await desk.newDevice(build);
    const quick = await desk.newChallenge(build, id);
    const good = await desk.verify(id, quick.nonce, answers(quick, FILE));
    assert.equal(good.status, 200, good.text);
    const session = await desk.session(good.json.session_token);
    assert.equal(session.expires_at - session.issued_at, 120_000);
    const challenges: Challenge[] = [];
    for (let i = 0; i < 5; i += 1) challenges.push(await desk.newChallenge(build, id));
    // Room again only when they are over, and then none of the five counts.
    const fresh = await until('room for a challenge', async () => {
      const answer = await desk.challenge(build, id);
      return answer.status === 200 && Date.now() > (challenges[4] as Challenge).expires_at ? answer.json as Challenge : undefined;
    });
    for (const challenge of challenges) assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, FILE)));
    assert.ok(fresh.expires_at > (challenges[4] as Challenge).expires_at);
  }));

  test('a missing secret closes its doors and no other', async () => {
    const without = (name: string): Settings => Object.fromEntries(Object.entries(SECRETS).filter(([key]) => key !== name));
    const names = Object.keys(SECRETS);
    const services = await Promise.all(names.map((name) => Service.start(without(name))));
    const desks = Object.fromEntries(names.map((name, i) => [name, new Desk(services[i] as Service)])) as Record<string, Desk>;
    try {
      const build = newBuild();
      const empty = { Authorization: 'Bearer ' };

      const noCi = desks.CI_UPLOAD_SECRET as Desk;
      for (const headers of [CI, OPERATOR, {}, empty] as Record<string, string>[]) {
        assertProblem(await noCi.post('/attest/upload-reference', { ...build, size: 4096, critical_regions: regionsOf(FILE, SPANS) }, headers), 503, 'CI upload not configured');
        for (const [method, path] of [['POST', '/attest/references'], ['PUT', `/attest/references/${wrongMac()}/parts/0`], ['POST', `/attest/references/${wrongMac()}/complete`]] as const) {
          assertProblem(await noCi.ask(method, path, { headers, body: '{}' }), 503, 'CI upload not configured');
        }
      }
      assert.equal((await noCi.register(build, 'd')).status, 200);

      const noAdmin = desks.ADMIN_SECRET as Desk;
      for (const headers of [OPERATOR, CI, {}, empty] as Record<string, string>[]) assertProblem(await noAdmin.post('/attest/versions', {}, headers), 503, 'Admin access not configured');
      assert.equal((await noAdmin.policy()).json.minimum_version, '1.0.0');

      const noBuildKey = desks.BUILD_TOKEN_VERIFY_KEY as Desk;
      const payload = payloadOf(build);
      for (const token of [tokenOf(build), { payload, signature: signed(payload, fromSeed(Buffer.from(SESSION_SEED, 'hex'))) }]) {
        assertProblem(await noBuildKey.post('/attest/register', { build_token: token, device_id: 'd' }), 503, 'Build token verification not configured');
      }
      const manifest = JSON.stringify({ typ: 'manifest', ...build, size: 4096, tree_hash: wrongMac(), critical_ranges: [] });
      assertProblem(await noBuildKey.post('/attest/references', { manifest, signature: signed(`waystation/attest/manifest/v1\n${manifest}`) }, CI), 503, 'Build token verification not configured');
      await released(noBuildKey);

      const noSessionKey = desks.ATTESTATION_SIGNING_KEY as Desk;
      for (const path of ['/attest/versions', '/attest/log', '/.well-known/jwks.json']) assertProblem(await noSessionKey.get(path), 503);
      const web = await noSessionKey.register(newBuild('1.2.0', 'web'), 'w');
      assert.equal(web.status, 503, web.text);
      await released(noSessionKey, build);
      const registered = await noSessionKey.register(build, 'd');
      if (registered.status !== 200) assertProblem(registered, 503);
      else {
        const challenge = await noSessionKey.challenge(build, 'd');
        if (challenge.status !== 200) assertProblem(challenge, 503);
        else assertProblem(await noSessionKey.verify('d', challenge.json.nonce, answers(challenge.json, FILE)), 503);
      }
      for (const desk of Object.values(desks)) assertCalm(desk.service);
    } finally {
      await Promise.all(services.map((service) => service.stop()));
    }
  });
});

describe('kill -9 and a restart', () => {
  test('keep devices, policy, log and references, and give no used challenge back', () => withDesk({}, async (desk) => {
    const build = await released(desk, newBuild('1.4.0'));
    const keyed = new KeyedDevice('p256');
    const registration = keyed.registration(build);
    assert.equal((await desk.post('/attest/register', registration)).status, 200);
    const id = await desk.newDevice(build);
    const { registered_at } = (await desk.register(build, id)).json.device;
    const policy = await desk.setPolicy({ minimum_version: '1.3.0', recommended_version: '1.5.0' });
    assert.equal(policy.status, 200);
    const [used, failed, live] = [await desk.newChallenge(build, id), await desk.newChallenge(build, id), await desk.newChallenge(build, id)];
    const log = await desk.log();
    assert.equal(log.length, 2);
    const wish = keyed.wish(build);
    const theirs = (await desk.post('/attest/challenge', wish)).json;
    assertRefused(await desk.verify(id, failed.nonce, []));
    const good = await desk.verify(id, used.nonce, answers(used, FILE));
    assert.equal(good.status, 200);

    await desk.service.crashAndRestart();
    for (const challenge of [used, failed]) assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, FILE)));
    assert.equal((await desk.verify(id, live.nonce, answers(live, FILE))).status, 200, 'an unused one still counts');
    assertRefused(await desk.verify(id, live.nonce, answers(live, FILE)));
    const after = await desk.policy();
    assert.deepEqual([after.json, after.headers.etag], [policy.json.policy, policy.headers.etag]);
    await desk.assertDocument(after, 'versions');
    assert.deepEqual(await desk.log(), log);
    await desk.session(good.json.session_token);
    assert.equal((await desk.post('/attest/register', registration)).status, 409, 'a signed time counts once, for ever');
    assert.equal((await desk.post('/attest/challenge', wish)).status, 409);
    assert.equal((await desk.post('/attest/verify', keyed.answer(theirs, FILE))).status, 200);
    const again = await desk.register(build, id);
    assert.equal(again.json.device.registered_at, registered_at);
    assert.equal(again.json.version_status, 'update_recommended');
    assertProblem(await desk.register({ ...newBuild(), platform: 'android' }, id), 403);
    assertProblem(await desk.register(newBuild('1.2.9'), 'x'), 403, 'Version 1.2.9 is below minimum required version 1.3.0');
    const challenge = await desk.newChallenge(build, id);
    assert.equal((await desk.verify(id, challenge.nonce, answers(challenge, FILE))).status, 200);
    assertProblem(await desk.declare(build, randomBytes(4096), SPANS), 409);
    desk.files.pop();
    desk.assertNothingTold();
  }));

  test('in the middle of many answers nothing is won twice', () => withDesk({}, async (desk) => {
    const build = await released(desk);
    const devices: [string, Challenge][] = [];
    for (let i = 0; i < 20; i += 1) {
      const id = await desk.newDevice(build);
      devices.push([id, await desk.newChallenge(build, id)]);
    }
    const won = new Map<string, number>();
    const round = (): Promise<unknown> => Promise.all(devices.map(async ([id, challenge]) => {
      const answer = await desk.verify(id, challenge.nonce, answers(challenge, FILE)).catch(() => undefined);
      if (answer?.status === 200) won.set(id, (won.get(id) ?? 0) + 1);
    }));
    const cut = round();
    await until('the first successes', () => won.size >= 3, 5000, 1);
    await desk.service.crash();
    await cut;
    await desk.service.boot();
    await round();
    await round();
    for (const [id, times] of won) assert.equal(times, 1, id);
    for (const [id, challenge] of devices) assertRefused(await desk.verify(id, challenge.nonce, answers(challenge, FILE)));
  }));
});
