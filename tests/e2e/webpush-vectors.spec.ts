// Web Push between ours and the field's: what the npm package `web-push` sends, our stand-in reads; what our rules
// made (tests/golden/push/web-push.json, kept equal to them by a native test), the field's libraries read.

import assert from 'node:assert/strict';
import { createECDH, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { jwtParts } from './support/push/fake.ts';
import { WebPush } from './support/push/webpush.ts';
import { ROOT } from './support/service.ts';

const installed = createRequire(join(ROOT, 'package.json'));
const webpush: any = installed('web-push');
const ece: any = createRequire(installed.resolve('web-push'))('http_ece');
const golden: any = JSON.parse(readFileSync(join(ROOT, 'tests/golden/push/web-push.json'), 'utf8'));

test('our stand-in reads what the field sends', async () => {
  const fake = await WebPush.start();
  const keys = webpush.generateVAPIDKeys();
  fake.applicationServerKey = keys.publicKey;
  const send = async (path: string, text: string, vapid = keys): Promise<number> => {
    const details = webpush.generateRequestDetails(fake.subscription(path), text, {
      vapidDetails: { subject: 'mailto:ops@example.org', ...vapid }, TTL: 60, urgency: 'high', topic: 'upd',
    });
    const { 'Content-Length': _, ...headers } = details.headers;
    return (await fetch(details.endpoint, { method: 'POST', headers: { ...headers, TTL: '60' }, body: details.body })).status;
  };
  assert.equal(await send('a', 'héllo'), 201);
  assert.deepEqual(fake.delivered, [{ path: '/push/a', text: 'héllo', ttl: 60, urgency: 'high', topic: 'upd' }]);
  fake.gone.add('/push/a');
  assert.equal(await send('a', 'again'), 410);
  fake.assertContent();
  assert.equal(await send('b', 'x', webpush.generateVAPIDKeys()), 403, 'another key than the subscription is for');
  await fake.close();
});

test('the field reads what our rules encrypt', () => {
  const client = createECDH('prime256v1');
  client.setPrivateKey(Buffer.from(golden.private_key, 'base64url'));
  assert.equal(golden.bodies.length, 7);
  for (const { plaintext, body } of golden.bodies) {
    const bytes = Buffer.from(body, 'base64url');
    assert.ok(bytes.length <= 4096);
    const read = ece.decrypt(bytes, { version: 'aes128gcm', privateKey: client, authSecret: golden.auth });
    assert.equal(read.toString('utf8'), plaintext);
  }
});

test('the field accepts our authority', () => {
  const match = /^vapid t=([^,]+), k=([\w-]+)$/.exec(golden.authorization);
  assert.ok(match);
  const [, jwt = '', key = ''] = match;
  webpush.setVapidDetails('mailto:ops@example.org', key, Buffer.alloc(32, 5).toString('base64url'));
  const { header, claims, input, signature } = jwtParts(jwt);
  const point = Buffer.from(key, 'base64url');
  const jwk = { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') };
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
  assert.equal(verify('sha256', input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature), true);
  assert.deepEqual(header, { alg: 'ES256', typ: 'JWT' });
  assert.equal(claims.aud, golden.origin);
  assert.ok(claims.exp * 1000 - golden.now <= 86_400_000 && claims.exp * 1000 > golden.now);
  assert.equal(claims.sub, 'mailto:ops@example.org');
});
