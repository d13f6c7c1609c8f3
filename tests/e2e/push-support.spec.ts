// The stand-ins that the push tests rely on are strict: what a careless service would send does not pass them.

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import http from 'node:http';
import { describe, test } from 'node:test';
import { Apns, apnsError } from './support/push/apple.ts';
import { Fake } from './support/push/fake.ts';
import { Fcm, fcmError } from './support/push/google.ts';
import { Dns, RemoteHost } from './support/push/internet.ts';
import { Phone } from './support/push/client.ts';
import { registrationKeys, seal, secretbox, tokenId } from './support/push/sodium.ts';
import { decrypt } from './support/push/webpush.ts';

type Got = { status: number; headers: Headers; json: any };

async function post(url: string, headers: Record<string, string>, body: string): Promise<Got> {
  const answer = await fetch(url, { method: 'POST', headers, body });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text.startsWith('{') ? JSON.parse(text) : undefined };
}

function jwt(header: object, claims: object, key: KeyObject): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const now = (): number => Math.floor(Date.now() / 1000);

describe('sealing', () => {
  const publicKey = Buffer.from('B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=', 'base64');

  test('a registration is sealed as libsodium seals it', () => {
    const text = '{"token":"c0ffee","token_kind":"apns","ios_app_id":"example.app","timestamp":1700000000}';
    assert.equal(
      seal(publicKey, Buffer.from(text), Buffer.alloc(32, 0x42)).toString('base64'),
      'EyxEK+AQ+9V+cmAzKKp25x/MwVA6riGTJ9FNnJmT9HK0R6ljjx+sYZUJKgLaPYWEd1Jz6xZpxQ5ck9KrB8OkpMWleWksVwlnskaPLLnIL8xrtuogqu23ns8L5o/XqQRP87Mdu/GAiK+HqNixOF8YA6Erz2+6CGU1LYtEIEIz4SR55PC3xYJwxg==',
    );
    // Many blocks of the cipher and of the MAC; the native tests have the same hash.
    const long = seal(publicKey, Buffer.alloc(1000, 'x'), Buffer.alloc(32, 0x42));
    assert.equal(createHash('sha256').update(long).digest('hex'), '6e95d82dcf6481b00ce42fab7eeadbf749af66e3710db7e61519e11134b51032');
    assert.notDeepEqual(seal(publicKey, Buffer.from(text)), seal(publicKey, Buffer.from(text)));
  });

  test('a message is encrypted as libsodium encrypts it', () => {
    const key = Buffer.from('MXPC4WK2YfyfCBdK6ElnzSpKJtcpFSZrYiJto4YCETzx', 'base64').subarray(1);
    const nonce = Buffer.from(Array.from({ length: 24 }, (_, i) => i));
    const sealed = secretbox(key, nonce, Buffer.from('{"type":"test","user_id":10}'));
    assert.equal(
      Buffer.concat([nonce, sealed]).toString('base64'),
      'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXCr1639e2R7TPaJCONR/UuiQFJisfA1G9UJG+9K28HbEhre7zUkZtuDGY+Kk=',
    );
  });

  test('tokens have the names of the specification', () => {
    assert.equal(tokenId('c0ffee'), '+wKIhyAx/Eg=');
    assert.equal(tokenId('android-tokenaz'), 'iGFeKNj3ngQ=');
  });

  test('a phone seals for the key it is given', () => {
    const keys = registrationKeys();
    assert.equal(Buffer.from(keys.publicKey, 'base64').length, 32);
    assert.equal(Buffer.from(keys.privateKey, 'base64').length, 32);
    assert.ok(Buffer.from(new Phone('apns').sealed(keys.publicKey), 'base64').length > 150);
  });
});

test('a client decrypts the vector of RFC 8291', () => {
  const body = Buffer.from(
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
    'base64url',
  );
  const key = Buffer.from('q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94', 'base64url');
  const auth = Buffer.from('BTBZMqHH6r4Tts7J_aSIgg', 'base64url');
  assert.equal(decrypt(body, key, auth).toString(), 'When I grow up, I want to be a watermelon');
  assert.throws(() => decrypt(body, key, Buffer.alloc(16)));
});

describe('a fake', () => {
  test('answers by script, then as usual, and keeps what arrived', async () => {
    const fake = await new Fake().listen();
    fake.queue({ status: 429, headers: { 'retry-after': '3' }, body: { a: 1 } }, 'hang_up', (seen) => ({ status: 200, body: seen.path }));
    const first = await post(`${fake.url}/a?b=c`, {}, 'x');
    assert.deepEqual([first.status, first.headers.get('retry-after'), first.json], [429, '3', { a: 1 }]);
    await assert.rejects(post(`${fake.url}/b`, {}, ''));
    assert.equal((await post(`${fake.url}/c`, {}, '')).status, 200);
    assert.equal((await post(`${fake.url}/d`, {}, '')).status, 404);
    assert.deepEqual(fake.seen.map((seen) => seen.path), ['/a', '/b', '/c', '/d']);
    assert.equal(fake.seen[0]?.query.get('b'), 'c');
    assert.equal(fake.seen[0]?.body.toString(), 'x');
    await fake.close();
  });

  test('fails for exactly the share that is asked for', async () => {
    const fake = await new Fake().listen();
    fake.failing(30);
    const statuses: number[] = [];
    for (let i = 0; i < 40; i += 1) statuses.push((await post(fake.url, {}, '')).status);
    assert.equal(statuses.filter((status) => status === 503).length, 12);
    fake.calm();
    assert.equal((await post(fake.url, {}, '')).status, 404);
    await fake.close();
  });

  test('keeps callers waiting until it is calm again', async () => {
    const fake = await new Fake().listen();
    fake.always('silence');
    const waiting = post(fake.url, {}, '').then(() => 'answered', () => 'hung up');
    await fake.until(1);
    fake.calm();
    assert.equal(await waiting, 'hung up');
    await fake.close();
  });
});

describe('Google', () => {
  const message = { message: { token: 't', data: { a: 'b' }, android: { priority: 'HIGH' } } };

  function assertion(fcm: Fcm, more: object = {}, key = fcm.tokens.keys.privateKey): string {
    const claims = {
      iss: fcm.tokens.email, scope: 'https://www.googleapis.com/auth/firebase.messaging', aud: `${fcm.tokens.url}/token`, iat: now(), exp: now() + 3600, ...more,
    };
    return jwt({ alg: 'RS256', typ: 'JWT', kid: 'kid-1' }, claims, key);
  }

  async function token(fcm: Fcm, text: string): Promise<Got> {
    const form = new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: text });
    return post(`${fcm.tokens.url}/token`, { 'content-type': 'application/x-www-form-urlencoded' }, form.toString());
  }

  const send = (fcm: Fcm, bearer: string, body: unknown): Promise<Got> =>
    post(`${fcm.url}/v1/projects/my-project/messages:send`, { authorization: `Bearer ${bearer}` }, JSON.stringify(body));

  test('takes a good assertion and a good message', async () => {
    const fcm = await Fcm.start();
    const access = await token(fcm, assertion(fcm));
    assert.equal(access.json.expires_in, 3600);
    assert.equal((await send(fcm, access.json.access_token, message)).status, 200);
    assert.deepEqual(fcm.to('t').map((sent) => sent.data), [{ a: 'b' }]);
    fcm.dead.add('t');
    const gone = await send(fcm, access.json.access_token, message);
    assert.deepEqual([gone.status, gone.json.error.details[0].errorCode], [404, 'UNREGISTERED']);
    fcm.queue(fcmError(429, 'QUOTA_EXCEEDED', { 'retry-after': '9' }));
    assert.equal((await send(fcm, access.json.access_token, message)).headers.get('retry-after'), '9');
    fcm.tokens.revokeAll();
    assert.equal((await send(fcm, access.json.access_token, message)).status, 401);
    fcm.assertContent();
    await fcm.close();
  });

  test('refuses forged and stale assertions, and what is no message', async () => {
    const fcm = await Fcm.start();
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    for (const text of [assertion(fcm, {}, stranger), assertion(fcm, { aud: 'x' }), assertion(fcm, { exp: now() + 7200 }), assertion(fcm, { iat: now() - 600 })]) {
      assert.equal((await token(fcm, text)).json.error, 'invalid_grant');
    }
    assert.equal((await send(fcm, 'made-up', message)).status, 401);
    const { access_token: bearer } = (await token(fcm, assertion(fcm))).json;
    for (const wrong of [{ ...message, dry: true }, { message: { ...message.message, notification: {} } }, { message: { ...message.message, data: { a: 1 } } }]) {
      assert.equal((await send(fcm, bearer, wrong)).status, 400);
    }
    assert.throws(() => fcm.assertContent());
    assert.equal(fcm.delivered.length, 0);
    await fcm.close();
  });
});

test('Apple takes a good notification and refuses all others', async () => {
  const apns = await Apns.start();
  const key = apns.keys.privateKey;
  const good = jwt({ alg: 'ES256', kid: 'KEYID12345' }, { iss: 'TEAMID6789', iat: now() }, key);
  const send = (bearer: string, path = '/3/device/c0ffee', headers: Record<string, string> = { 'apns-topic': 'a.b' }, body = '{"aps":{}}'): Promise<Got> =>
    post(`${apns.url}${path}`, { authorization: `bearer ${bearer}`, ...headers }, body);
  assert.equal((await send(good)).status, 200);
  assert.deepEqual(apns.to('C0FFEE').map((sent) => [sent.topic, sent.payload]), [['a.b', { aps: {} }]]);
  apns.dead.set('c0ffee', Apns.unregistered(5));
  assert.deepEqual((await send(good)).json, { reason: 'Unregistered', timestamp: 5 });
  apns.queue(apnsError(500, 'InternalServerError'));
  assert.equal((await send(good)).status, 500);
  apns.assertContent();

  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const reasons = [
    await send(jwt({ alg: 'ES256', kid: 'KEYID12345' }, { iss: 'TEAMID6789', iat: now() }, stranger)),
    await send(jwt({ alg: 'ES256', kid: 'KEYID12345' }, { iss: 'TEAMID6789', iat: now() - 3700 }, key)),
    await send(good, '/3/device/xyz'),
    await send(good, '/3/device/aa', {}),
    await send(good, '/3/device/aa', { 'apns-topic': 'a', 'apns-priority': '7' }),
    await send(good, '/3/device/aa', { 'apns-topic': 'a', 'apns-push-type': 'loud' }),
    await send(good, '/3/device/aa', { 'apns-topic': 'a' }, 'x'.repeat(4097)),
  ].map((got) => got.json.reason);
  assert.deepEqual(reasons, ['InvalidProviderToken', 'ExpiredProviderToken', 'BadDeviceToken', 'MissingTopic', 'BadPriority', 'InvalidPushType', 'PayloadTooLarge']);
  apns.relaySecret = 'opens-it';
  assert.equal((await send(good)).status, 401);
  assert.equal(apns.delivered.length, 1);
  await apns.close();
});

test('the resolver and the remote host say what is set and nothing else', async () => {
  const dns = await Dns.start();
  dns.set('MX', 'zulip.test', '10 mail.zulip.test.');
  dns.set('A', 'web.test', '192.0.2.1');
  const ask = async (name: string, type: string): Promise<any> =>
    (await fetch(`${dns.queryUrl}?name=${name}&type=${type}`, { headers: { accept: 'application/dns-json' } })).json();
  assert.deepEqual((await ask('zulip.test', 'MX')).Answer, [{ name: 'zulip.test', type: 15, TTL: 300, data: '10 mail.zulip.test.' }]);
  const none = await ask('web.test', 'MX');
  assert.deepEqual([none.Status, none.Answer], [0, undefined]);
  assert.equal((await ask('missing.test', 'MX')).Status, 3);
  dns.assertContent();
  await dns.close();

  const host = await RemoteHost.start();
  host.prepared.set('abc', 'SECRET');
  const get = (path: string): Promise<any> =>
    new Promise((done, fail) => {
      http.get(`${host.url}${path}`, (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => done(JSON.parse(text)));
      }).on('error', fail);
    });
  assert.equal((await get('/api/v1/zulip-services/verify/abc/')).verification_secret, 'SECRET');
  assert.equal((await get('/api/v1/zulip-services/verify/abd/')).code, 'REMOTE_SERVER_VERIFICATION_SECRET_NOT_PREPARED');
  await host.close();
});
