// Registrations of self-hosted servers, as their own scripts make them: push-bouncer.md 1.2, 1.6 to 1.8, 4 and 8.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertRefusedSomehow, assertStranger, assertSuccess, BASE, Bouncer, withBouncer } from './support/push/bouncer.ts';
import { form, newKey, RemoteServer } from './support/push/client.ts';
import type { Fields } from './support/push/client.ts';
import type { Reply } from './support/push/fake.ts';
import type { RemoteHost } from './support/push/internet.ts';
import { pause } from './support/service.ts';
import type { Answer, Ask } from './support/service.ts';

const DEACTIVATED = 'The mobile push notification service registration for your server has been deactivated';
const wrongKey = (uuid: string): string => `Zulip server auth failure: key does not match role ${uuid}`;
const taken = (hostname: string): [number, string, string, object] =>
  [400, 'HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR', `A server with hostname ${hostname} already exists`, { hostname }];
const freshHost = (): string => `${randomBytes(4).toString('hex')}.zulip.test`;

let bouncer: Bouncer;
before(async () => {
  bouncer = await Bouncer.start();
});
after(() => bouncer.finish());

const stranger = (): RemoteServer => new RemoteServer(bouncer.service);
/** Whether the bouncer takes the credentials of the server. */
const known = async (server: RemoteServer): Promise<Answer> => server.form('push/unregister/all', { user_id: 1 });

describe('a registration', () => {
  test('is made once, and then updated', async () => {
    const server = stranger();
    assertSuccess(await server.register(), { created: true });
    assertSuccess(await known(server));
    assertSuccess(await server.register(), { created: false });
    assertSuccess(await server.register({ contact_email: 'other@zulip.test' }), { created: false });
  });

  test('moves to another hostname, and frees the one before', async () => {
    const server = await bouncer.server();
    const first = server.hostname;
    server.hostname = freshHost();
    assertSuccess(await server.register(), { created: false });
    assertRefused(await new RemoteServer(bouncer.service, server.hostname).register(), ...taken(server.hostname));
    assertSuccess(await new RemoteServer(bouncer.service, first).register(), { created: true });
  });

  test('rotates its key, and the old one goes on for the upload that follows', async () => {
    const server = await bouncer.server();
    const old = Object.assign(stranger(), { uuid: server.uuid, key: server.key, hostname: server.hostname });
    assertSuccess(await server.rotateKey(), { created: false });
    assert.notEqual(server.key, old.key);
    assertSuccess(await known(server));
    assertSuccess(await known(old));
    assert.equal((await old.upload()).status, 200);
    // Only where the script uses it: the registration itself wants the new one.
    assertRefused(await old.register(), 400, 'INVALID_ZULIP_SERVER', wrongKey(server.uuid), { role: server.uuid });
    assertSuccess(await server.register(), { created: false });
    await bouncer.service.crashAndRestart();
    assertSuccess(await known(server));
    assertSuccess(await known(old));
  });

  test('is not changed by who does not know its key', async () => {
    const server = await bouncer.server();
    const thief = Object.assign(stranger(), { uuid: server.uuid, hostname: freshHost() });
    const refusal = [400, 'INVALID_ZULIP_SERVER', wrongKey(server.uuid), { role: server.uuid }] as const;
    assertRefused(await thief.register(), ...refusal);
    assertRefused(await thief.register({ new_org_key: newKey() }), ...refusal);
    assertSuccess(await known(server));
    assertSuccess(await new RemoteServer(bouncer.service, thief.hostname).register(), { created: true });
    assertRefused(await new RemoteServer(bouncer.service, server.hostname).register(), ...taken(server.hostname));
  });

  test('survives kill -9', async () => {
    const server = await bouncer.server();
    await bouncer.service.crashAndRestart();
    assertSuccess(await known(server));
    assertSuccess(await server.register(), { created: false });
    assertRefused(await new RemoteServer(bouncer.service, server.hostname).register(), ...taken(server.hostname));
  });

  test('says which parameters it did not know, in order', async () => {
    const server = stranger();
    assertSuccess(await server.register({ zebra: '1', server_uuid: server.uuid, apple: '2' }), {
      created: true, ignored_parameters_unsupported: ['apple', 'server_uuid', 'zebra'],
    });
    assertRefused(await server.register({ zebra: '1', hostname: 'invalid-host' }), 400, 'BAD_REQUEST', 'invalid-host is not a valid hostname');
  });

  test('is read from the form first, and then from the query', async () => {
    const server = stranger();
    const all = { zulip_org_id: server.uuid, zulip_org_key: server.key, hostname: server.hostname, contact_email: server.email };
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const mixed = await bouncer.service.ask('POST', `${BASE}/server/register?${form({ zulip_org_id: server.uuid, hostname: 'invalid-host' })}`, {
      headers, body: form({ ...all, zulip_org_id: undefined }),
    });
    assertSuccess(mixed, { created: true });
    assertSuccess(await bouncer.service.ask('POST', `${BASE}/server/register?${form(all)}`, { headers, body: '' }), { created: false });
  });
});

describe('a parameter of the registration', () => {
  const short: [string, Fields, string][] = [
    ['an id that is too short', { zulip_org_id: randomUUID().slice(1) }, 'zulip_org_id is not length 36'],
    ['an id that is too long', { zulip_org_id: `${randomUUID()}0` }, 'zulip_org_id is not length 36'],
    ['a key that is too short', { zulip_org_key: newKey().slice(1) }, 'zulip_org_key is not length 64'],
    ['a key that is too long', { zulip_org_key: `${newKey()}0` }, 'zulip_org_key is not length 64'],
    ['no key at all', { zulip_org_key: '' }, 'zulip_org_key is not length 64'],
    ['a long hostname', { hostname: `${'a.'.repeat(60)}zulip.test` }, 'hostname is too long (limit: 128 characters)'],
    ['a new key of another length', { new_org_key: newKey().slice(1) }, 'new_org_key is not length 64'],
    ['an empty new key', { new_org_key: '' }, 'new_org_key is not length 64'],
  ];
  for (const [what, fields, msg] of short) {
    test(`${what} is refused`, async () => assertRefused(await stranger().register(fields), 400, 'BAD_REQUEST', msg));
  }

  test('that is absent is named', async () => {
    const names = ['zulip_org_id', 'zulip_org_key', 'hostname', 'contact_email'];
    for (const name of names) {
      assertRefused(await stranger().register({ [name]: undefined }), 400, 'REQUEST_VARIABLE_MISSING', `Missing '${name}' argument`, { var_name: name });
    }
    const none = await stranger().anonymous('server/register', {});
    assertRefused(none, 400, 'REQUEST_VARIABLE_MISSING', "Missing 'zulip_org_id' argument", { var_name: 'zulip_org_id' });
  });

  test('that is wrong is reported in their order, the first only', async () => {
    const first = (fields: Fields, msg: string): Promise<void> =>
      stranger().register(fields).then((answer) => assert.deepEqual([answer.status, answer.json.msg], [400, msg], answer.text));
    await first({ zulip_org_id: 'x', zulip_org_key: undefined, hostname: undefined }, 'zulip_org_id is not length 36');
    await first({ zulip_org_key: 'x', hostname: undefined, contact_email: undefined }, 'zulip_org_key is not length 64');
    await first({ hostname: 'a'.repeat(129), contact_email: undefined }, 'hostname is too long (limit: 128 characters)');
    await first({ contact_email: undefined, new_org_key: 'x' }, "Missing 'contact_email' argument");
    await first({ new_org_key: 'x', hostname: 'invalid-host' }, 'new_org_key is not length 64');
    await first({ hostname: 'invalid-host', contact_email: 'nobody', zulip_org_id: randomUUID().toUpperCase() }, 'invalid-host is not a valid hostname');
    await first(
      { contact_email: 'nobody', zulip_org_id: randomUUID().toUpperCase() }, 'Invalid server administrator email address: Enter a valid email address.',
    );
    const other = await bouncer.server();
    await first({ zulip_org_id: randomUUID().toUpperCase(), hostname: other.hostname }, 'Invalid UUID');
  });
});

describe('a hostname', () => {
  for (const hostname of ['chat.zulip.test/path', 'chat.zulip.test?query=1', 'chat.zulip.test#part', 'chat.zulip.test/']) {
    test(`${hostname} has more than the authority of an address`, async () => {
      const msg = `${hostname} contains invalid components (e.g., path, query, fragment).`;
      assertRefused(await stranger().register({ hostname }), 400, 'BAD_REQUEST', msg);
    });
  }
  for (const hostname of ['invalid-host', 'chat..zulip.test', '-chat.zulip.test', 'chat .zulip.test', 'chat.zulip.test:port', 'who@chat.zulip.test', '[::1']) {
    test(`${hostname} is none`, async () => assertRefused(await stranger().register({ hostname }), 400, 'BAD_REQUEST', `${hostname} is not a valid hostname`));
  }
  const octet = (): number => randomBytes(1).readUInt8();
  for (const hostname of ['localhost', `192.0.2.${octet()}`, '[2001:db8::17]', `${freshHost()}:8443`, 'xn--bcher-kva.zulip.test']) {
    test(`${hostname} is one`, async () => {
      const server = await bouncer.server(hostname);
      assertSuccess(await server.deactivate());
    });
  }

  test('of an active server is not given out twice', async () => {
    const server = await bouncer.server();
    assertRefused(await new RemoteServer(bouncer.service, server.hostname).register(), ...taken(server.hostname));
    const loud = await new RemoteServer(bouncer.service, server.hostname.toUpperCase()).register();
    assert.deepEqual([loud.status, loud.json.code], [400, 'HOSTNAME_ALREADY_IN_USE_BOUNCER_ERROR'], loud.text);
  });

  test('of an active server is not taken by an update either', async () => {
    const [server, thief] = [await bouncer.server(), await bouncer.server()];
    const own = thief.hostname;
    assertRefused(await thief.register({ hostname: server.hostname }), ...taken(server.hostname));
    assertRefused(await new RemoteServer(bouncer.service, own).register(), ...taken(own));
    assertSuccess(await known(server));
    assertSuccess(await known(thief));
  });

  test('goes to one of many who ask at once', async () => {
    const hostname = freshHost();
    const answers = await Promise.all(Array.from({ length: 12 }, () => new RemoteServer(bouncer.service, hostname).register()));
    const won = answers.filter((answer) => answer.status === 200);
    assert.deepEqual(won.map((answer) => answer.json.created), [true]);
    for (const answer of answers.filter((one) => one.status !== 200)) assertRefused(answer, ...taken(hostname));
  });

  test('is free when its server is deactivated', async () => {
    const server = await bouncer.server();
    assertSuccess(await server.deactivate());
    assertSuccess(await new RemoteServer(bouncer.service, server.hostname).register(), { created: true });
  });
});

describe('an e-mail address', () => {
  const refused = async (contact_email: string, reason: string): Promise<void> =>
    assertRefused(await stranger().register({ contact_email }), 400, 'BAD_REQUEST', `Invalid server administrator email address: ${reason}`, {
      email_reason: reason,
    });

  for (const email of ['nobody', 'no body@zulip.test', 'a@b@zulip.test', '@zulip.test', 'nobody@', '']) {
    test(`${JSON.stringify(email)} is none`, () => refused(email, 'Enter a valid email address.'));
  }
  test('of a throw-away service is refused', () => refused('someone@mailinator.com', 'Please use your real email address.'));
  test('of the example domain is refused', () => refused('admin@example.com', 'example.com is not a valid email domain.'));

  test('needs a domain that receives mail', async () => {
    const { dns } = bouncer;
    dns.set('A', 'web.test', '192.0.2.1');
    dns.set('AAAA', 'six.test', '2001:db8::1');
    dns.set('NS', 'named.test', 'ns1.named.test.');
    dns.set('MX', 'post.test', '10 mx.post.test.', '20 mx2.post.test.');
    for (const domain of ['web.test', 'six.test', 'named.test']) {
      await refused(`admin@${domain}`, `${domain} is invalid because it does not have any MX records`);
    }
    await refused('admin@missing.test', 'missing.test does not exist');
    assertSuccess(await stranger().register({ contact_email: 'admin@post.test' }), { created: true });
  });

  const outages: [string, Reply][] = [
    ['is silent', 'silence'], ['hangs up', 'hang_up'], ['fails', { status: 500 }], ['talks nonsense', { status: 200, body: 'no JSON' }],
    ['could not find out', { status: 200, body: { Status: 2 } }],
  ];
  for (const [what, reply] of outages) {
    test(`is taken while the resolver ${what}`, async () => {
      bouncer.dns.always(reply);
      const start = Date.now();
      try {
        const server = stranger();
        assertSuccess(await server.register({ contact_email: 'admin@missing.test' }), { created: true });
        assertSuccess(await known(server));
        assert.ok(Date.now() - start < 8000, `it took ${Date.now() - start} ms`);
      } finally {
        bouncer.dns.calm();
      }
    });
  }

  test('is not asked about where the operator has no resolver', () =>
    withBouncer({}, async (other) => {
      // An absent setting means the public resolver, an empty one none.
      other.service.settings.DNS_QUERY_URL = '';
      await other.service.crashAndRestart();
      assertSuccess(await new RemoteServer(other.service).register({ contact_email: 'admin@missing.test' }), { created: true });
      assert.equal(other.dns.seen.length, 0);
    }));
});

describe('the id of a server', () => {
  const ids: [string, string][] = [
    ['in capitals', 'A1B2C3D4-0000-4000-8000-00000000ABCD'], ['of version 1', '6ba7b810-9dad-11d1-80b4-00c04fd430c8'],
    ['of another variant', '6ba7b810-9dad-41d1-00b4-00c04fd430c8'], ['of zeros', '00000000-0000-0000-0000-000000000000'],
    ['of letters', 'zzzzzzzz-zzzz-4zzz-8zzz-zzzzzzzzzzzz'], ['with hyphens elsewhere', '6ba7b8109-dad-41d1-80b4-00c04fd430c8'],
  ];
  for (const [what, id] of ids) {
    test(`${what} is none`, async () => assertRefused(await stranger().register({ zulip_org_id: id }), 400, 'BAD_REQUEST', 'Invalid UUID'));
  }
});

describe('a deactivation', () => {
  test('ends the registration for good', async () => {
    const server = await bouncer.server();
    assertSuccess(await server.deactivate());
    assertStranger(await known(server), DEACTIVATED);
    assertStranger(await server.deactivate(), DEACTIVATED);
    const again = await server.register();
    assertRefused(again, 401, 'REALM_DEACTIVATED', DEACTIVATED);
    assert.equal(again.headers['www-authenticate'], undefined);
    assertRefused(await server.rotateKey(), 401, 'REALM_DEACTIVATED', DEACTIVATED);
    assertRefused(
      await server.register({ zulip_org_key: newKey() }), 400, 'INVALID_ZULIP_SERVER', wrongKey(server.uuid), { role: server.uuid },
    );
    await bouncer.service.crashAndRestart();
    assertStranger(await known(server), DEACTIVATED);
  });

  test('does not look at its body', async () => {
    for (const [type, body] of [['application/x-www-form-urlencoded', ''], ['application/json', 'no JSON at all'], ['application/json', '[]']] as const) {
      const server = await bouncer.server();
      const answer = await bouncer.service.ask('POST', `${BASE}/server/deactivate`, { headers: { ...server.headers, 'Content-Type': type }, body });
      assertSuccess(answer);
      assertStranger(await known(server), DEACTIVATED);
    }
  });
});

describe('a registration whose key is lost', () => {
  const NOT_READY = 'The host reported it has no verification secret.';
  const patient: Ask = { timeoutMs: 60_000 };

  async function hosted(): Promise<{ host: RemoteHost; server: RemoteServer; lost: RemoteServer }> {
    const host = await bouncer.host();
    const server = await bouncer.server(host.host);
    return { host, server, lost: new RemoteServer(bouncer.service, host.host) };
  }

  const verify = (hostname: string, accessToken: string, ask: Ask = {}): Promise<Answer> =>
    bouncer.service.ask('POST', `${BASE}/server/register/verify_challenge`, {
      ...ask, headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: form({ hostname, access_token: accessToken }),
    });

  async function secretFor(hostname: string): Promise<string> {
    const answer = await stranger().anonymous('server/register/transfer', { hostname });
    const { verification_secret: secret } = answer.json;
    assertSuccess(answer, { verification_secret: secret });
    assert.match(secret, /^([0-9A-F]{2})+$/, 'base16');
    return secret;
  }

  test('is given to who answers under its hostname', async () => {
    const { host, server, lost } = await hosted();
    const answer = await lost.transfer(host);
    assertSuccess(answer, { zulip_org_id: server.uuid, zulip_org_key: lost.key });
    assert.equal(lost.key.length, 64);
    assert.notEqual(lost.key, server.key);
    assertStranger(await known(server), wrongKey(server.uuid));
    assertSuccess(await known(lost));
    assertSuccess(await lost.register(), { created: false });
    assert.equal(host.seen.length, 1);
    host.assertContent();
    await bouncer.service.crashAndRestart();
    assertSuccess(await known(lost));
    assertStranger(await known(server), wrongKey(server.uuid));
  });

  test('is lost for every key before', async () => {
    const { host, server, lost } = await hosted();
    const first = Object.assign(stranger(), { uuid: server.uuid, key: server.key });
    await server.rotateKey();
    assertSuccess(await known(first));
    assert.equal((await lost.transfer(host)).status, 200);
    assertStranger(await known(first), wrongKey(server.uuid));
    assertStranger(await known(server), wrongKey(server.uuid));
  });

  test('is proven by a request of any kind', async () => {
    const { host, server } = await hosted();
    host.prepared.set('query-token', await secretFor(host.host));
    const answer = await bouncer.service.get(`${BASE}/server/register/verify_challenge?${form({ hostname: host.host, access_token: 'query-token' })}`);
    assertSuccess(answer, { zulip_org_id: server.uuid, zulip_org_key: answer.json.zulip_org_key });
  });

  test('must exist', async () => {
    const hostname = freshHost();
    assertRefused(await stranger().anonymous('server/register/transfer', { hostname }), 400, 'BAD_REQUEST', `${hostname} not yet registered`);
    assertRefused(await verify(hostname, 'token'), 400, 'BAD_REQUEST', 'Registration not found for this hostname');
    const server = await bouncer.server(hostname);
    await secretFor(hostname.toUpperCase());
    assertSuccess(await server.deactivate());
    assertRefused(await stranger().anonymous('server/register/transfer', { hostname }), 400, 'BAD_REQUEST', `${hostname} not yet registered`);
    assertRefused(await verify(hostname, 'token'), 400, 'BAD_REQUEST', 'Registration not found for this hostname');
  });

  test('is asked for by a hostname', async () => {
    const begin = (fields: Fields): Promise<Answer> => stranger().anonymous('server/register/transfer', fields);
    assertRefused(await begin({}), 400, 'REQUEST_VARIABLE_MISSING', "Missing 'hostname' argument", { var_name: 'hostname' });
    assertRefused(await begin({ hostname: 'invalid-host' }), 400, 'BAD_REQUEST', 'invalid-host is not a valid hostname');
    assertRefused(
      await begin({ hostname: 'chat.zulip.test/x' }), 400, 'BAD_REQUEST', 'chat.zulip.test/x contains invalid components (e.g., path, query, fragment).',
    );
    const wrong = stranger();
    const path = 'server/register/verify_challenge';
    assertRefused(await wrong.anonymous(path, { access_token: 'a' }), 400, 'REQUEST_VARIABLE_MISSING', "Missing 'hostname' argument", { var_name: 'hostname' });
    assertRefused(
      await wrong.anonymous(path, { hostname: 'a.zulip.test' }), 400, 'REQUEST_VARIABLE_MISSING', "Missing 'access_token' argument",
      { var_name: 'access_token' },
    );
    for (const token of ['../x', 'a b', 'a/b', 'a.b', 'ä', '', 'a%2Fb']) {
      assertRefused(await verify('a.zulip.test', token), 400, 'BAD_REQUEST', 'access_token has invalid format');
    }
  });

  test('stays where it is when the host has prepared nothing', async () => {
    const { host, server } = await hosted();
    host.prepared.set('right', await secretFor(host.host));
    assertRefused(await verify(host.host, 'wrong'), 400, 'BAD_REQUEST', NOT_READY);
    assertSuccess(await known(server));
    assert.deepEqual(host.seen.map((seen) => [seen.method, seen.path]), [['GET', '/api/v1/zulip-services/verify/wrong/']]);
  });

  test('stays where it is when the host says something else', async () => {
    const { host, server } = await hosted();
    const elsewhere = await bouncer.host();
    elsewhere.prepared.set('t', await secretFor(host.host));
    const to = `${elsewhere.url}/api/v1/zulip-services/verify/t/`;
    const parsing = 'An error occurred while parsing the response from the host.';
    const replies: [Reply, string][] = [
      [{ status: 404, body: 'Not found' }, 'Unexpected status code received from the host: 404'],
      [{ status: 403, body: {} }, 'Unexpected status code received from the host: 403'],
      [{ status: 400, body: { result: 'error', code: 'BAD_REQUEST', msg: 'x' } }, 'Unexpected status code received from the host: 400'],
      [{ status: 400, body: 'no JSON' }, 'Unexpected status code received from the host: 400'],
      [{ status: 201, body: { verification_secret: 'AA' } }, 'Unexpected status code received from the host: 201'],
      [{ status: 302, headers: { location: to } }, 'Unexpected status code received from the host: 302'],
      [{ status: 301, headers: { location: to } }, 'Unexpected status code received from the host: 301'],
      [{ status: 200, body: 'no JSON' }, parsing],
      [{ status: 200, body: {} }, parsing],
      [{ status: 200, body: [1, 2] }, parsing],
      [{ status: 200, body: { verification_secret: 'not base16' } }, 'The verification secret is malformed'],
      [{ status: 200, body: { verification_secret: 'ABC' } }, 'The verification secret is malformed'],
      [{ status: 200, body: { verification_secret: 'AB'.repeat(40) } }, 'The verification secret is invalid'],
    ];
    for (const [reply, msg] of replies) {
      host.always(reply);
      assertRefused(await verify(host.host, 'token'), 400, 'BAD_REQUEST', msg);
    }
    assert.equal(elsewhere.seen.length, 0, 'redirects are not followed');
    host.always({ status: 503 });
    assertRefused(await verify(host.host, 'token', patient), 400, 'BAD_REQUEST', 'Unexpected status code received from the host: 503');
    assertSuccess(await known(server));
  });

  test('is not moved by a secret that was changed, or is of another host', async () => {
    const { host, server } = await hosted();
    const other = await hosted();
    const secret = await secretFor(host.host);
    const flip = (at: number): string => `${secret.slice(0, at)}${secret[at] === '0' ? '1' : '0'}${secret.slice(at + 1)}`;
    for (const forged of [flip(secret.length - 2), flip(1), flip(secret.length >> 1), `${secret}00`, secret.slice(0, -2)]) {
      host.always({ status: 200, body: { verification_secret: forged } });
      assertRefused(await verify(host.host, 't'), 400, 'BAD_REQUEST', 'The verification secret is invalid');
    }
    other.host.prepared.set('t', await secretFor(host.host));
    assertRefused(await verify(other.host.host, 't'), 400, 'BAD_REQUEST', 'The verification secret is for a different hostname');
    assertSuccess(await known(server));
    assertSuccess(await known(other.server));
  });

  test('is not moved after ten seconds', async () => {
    const { host, server, lost } = await hosted();
    host.prepared.set('late', await secretFor(host.host));
    await pause(11_100);
    assertRefused(await verify(host.host, 'late'), 400, 'BAD_REQUEST', 'The verification secret has expired');
    assertSuccess(await known(server));
    assert.equal((await lost.transfer(host)).status, 200);
  });

  test('stays where it is when the host cannot be reached', async () => {
    const { host, server } = await hosted();
    host.always('hang_up');
    assertRefused(await verify(host.host, 't', patient), 400, 'BAD_REQUEST', 'Connection error occurred while communicating with the host.');
    assertSuccess(await known(server));
    const port = await new Promise<number>((done) => {
      const probe = net.createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = probe.address() as AddressInfo;
        probe.close(() => done(free));
      });
    });
    await bouncer.server(`127.0.0.1:${port}`);
    assertRefused(await verify(`127.0.0.1:${port}`, 't', patient), 400, 'BAD_REQUEST', 'Connection error occurred while communicating with the host.');
  });

  test('stays where it is when the host does not answer', async () => {
    const { host, server } = await hosted();
    host.always('silence');
    assertRefused(await verify(host.host, 't', patient), 400, 'BAD_REQUEST', 'The request timed out while communicating with the host.');
    assertSuccess(await known(server));
    host.calm();
  });

  test('cannot be moved where the operator has no key for it', () =>
    withBouncer({ PUSH_TRANSFER_KEY: '' }, async (other) => {
      const server = await other.server();
      assertRefusedSomehow(await server.anonymous('server/register/transfer', { hostname: server.hostname }), 503);
      assertRefusedSomehow(await server.anonymous('server/register/verify_challenge', { hostname: server.hostname, access_token: 'a' }), 503);
      assertSuccess(await server.form('push/unregister/all', { user_id: 1 }));
    }));

  test('is proven so many times a day, all servers together', () =>
    withBouncer({ PUSH_TRANSFER_DAILY_MAX: '3' }, async (other) => {
      const host = await other.host();
      const server = await other.server(host.host);
      for (let i = 0; i < 2; i += 1) {
        const answer = await server.anonymous('server/register/verify_challenge', { hostname: 'unknown.zulip.test', access_token: 'a' });
        assertRefused(answer, 400, 'BAD_REQUEST', 'Registration not found for this hostname');
      }
      assert.equal((await server.transfer(host)).status, 200);
      const over = await server.transfer(host);
      assert.deepEqual([over.status, over.json.code, Object.keys(over.json).sort()], [429, 'RATE_LIMIT_HIT', ['code', 'msg', 'result']], over.text);
      const text = /^The global limits on recent usage of this endpoint have been reached\. Please try again later or reach out to .+ for assistance\.$/;
      assert.match(over.json.msg, text);
      assert.equal(host.seen.length, 1, 'nobody is asked any more');
      assertSuccess(await server.form('push/unregister/all', { user_id: 1 }));
    }));

  test('is asked for thirty times a minute from one address', () =>
    withBouncer({ RATE_LIMIT_PER_MINUTE: '600' }, async (other) => {
      const server = await other.server();
      const begin = (address: string): Promise<Answer> =>
        other.service.ask('POST', `${BASE}/server/register/transfer`, {
          address, headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: form({ hostname: server.hostname }),
        });
      for (const [one, same, another] of [['192.0.2.1', '192.0.2.1', '192.0.2.2'], ['2001:db8::1', '2001:db8::ffff:2', '2001:db8:0:1::1']] as const) {
        for (let i = 0; i < 30; i += 1) assert.equal((await begin(one)).status, 200, `request ${i + 1}`);
        const over = await begin(same);
        assert.deepEqual([over.status, over.json.code], [429, 'RATE_LIMIT_HIT'], over.text);
        assert.equal((await begin(another)).status, 200);
      }
    }));
});
