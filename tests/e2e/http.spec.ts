// The front: routes, fixed bodies, methods, headers, limits, settings. Sources: edge-wire.md 1.1 to 1.5 and 8,
// security-and-conventions.md 3.1, configuration.md.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertCalm, assertNoLeak, assertProblem, ROOT, Service, until } from './support/service.ts';
import type { Answer } from './support/service.ts';
import { refusedUpgrade } from './support/socket.ts';

const ADMIN = 'admin-secret-0123456789abcdef0123';
const CI = 'ci-upload-secret-0123456789abcdef';
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';

const ENDPOINTS = {
  health: 'GET /health',
  listServers: 'GET /servers',
  registerServer: 'POST /servers',
  unregisterServer: 'DELETE /servers/:serverId',
  heartbeat: 'POST /servers/heartbeat',
  attestRegister: 'POST /attest/register',
  attestUploadReference: 'POST /attest/upload-reference',
  attestChallenge: 'POST /attest/challenge',
  attestVerify: 'POST /attest/verify',
  attestVersions: 'GET /attest/versions',
  attestSetVersions: 'POST /attest/versions',
};

function assertSecurityHeaders(answer: Answer): void {
  const { headers } = answer;
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['x-frame-options'], 'DENY');
  assert.equal(headers['strict-transport-security'], 'max-age=31536000; includeSubDomains');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  assert.match(String(headers['content-security-policy']), /default-src 'none'/);
  assert.ok(headers['cross-origin-resource-policy'], 'Cross-Origin-Resource-Policy');
  assert.ok(headers['cache-control'], 'Cache-Control is explicit');
  assert.match(String(headers['x-request-id']), /^[A-Za-z0-9._-]{1,64}$/);
  assert.equal(headers['access-control-allow-credentials'], undefined);
}

function allowed(answer: Answer): string[] {
  return String(answer.headers.allow ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .sort();
}

describe('the front', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({
      DEV_MODE: 'true',
      ALLOWED_ORIGINS: 'https://app.example,http://localhost:*',
      BOOTSTRAP_SIGNING_KEY: SEED,
      ADMIN_SECRET: ADMIN,
      CI_UPLOAD_SECRET: CI,
    });
  });
  after(async () => {
    assertCalm(service);
    assertNoLeak(service, [ADMIN, CI, SEED, 'wrong-secret-wrong-secret']);
    await service.stop();
  });

  test('health has the fixed body', async () => {
    const answer = await service.get('/health');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.deepEqual(Object.keys(answer.json), ['status', 'service', 'timestamp']);
    assert.equal(answer.json.status, 'ok');
    assert.equal(answer.json.service, 'zajel-bootstrap');
    assert.match(answer.json.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(Math.abs(Date.now() - Date.parse(answer.json.timestamp)) < 5000);
  });

  test('the information document stands at / and /api/info', async () => {
    const root = await service.get('/');
    const info = await service.get('/api/info');
    for (const answer of [root, info]) {
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.json.name, 'Zajel Bootstrap Server');
      assert.equal(answer.json.version, '4.0.0');
      assert.equal(answer.json.description, 'VPS server discovery and attestation service');
      assert.deepEqual(answer.json.endpoints, { ...answer.json.endpoints, ...ENDPOINTS });
    }
    assert.equal(root.text, info.text);
  });

  test('a query does not change the route', async () => {
    assert.equal((await service.get('/health?x=/servers')).json.status, 'ok');
    assert.equal((await service.get('/servers?serverId=x')).status, 200);
  });

  for (const path of [
    '/nope', '/health/', '/servers/', '/serversfoo', '/servers2', '/api', '/api/info/', '/signal', '/signal/', '/signal/a/b',
    '/attest', '/attestation', '/attest/nope', '/HEALTH', '//health', '/%68ealth2', '/ws/', '/relay/a/b/c',
  ]) {
    test(`GET ${path} is nowhere`, async () => {
      const answer = await service.get(path);
      assertProblem(answer, 404, 'Not Found');
      assert.equal(answer.json.hint, 'Use GET /servers to list VPS servers');
      assertSecurityHeaders(answer);
    });
  }

  for (const [method, path, least] of [
    ['PUT', '/health', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/health', ['GET', 'HEAD', 'OPTIONS']],
    ['DELETE', '/', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/api/info', ['GET', 'HEAD', 'OPTIONS']],
    ['PATCH', '/servers', ['GET', 'HEAD', 'POST', 'OPTIONS']],
    ['DELETE', '/servers', ['GET', 'HEAD', 'POST', 'OPTIONS']],
    ['PUT', '/servers/heartbeat', ['POST', 'OPTIONS']],
    ['GET', '/servers/heartbeat', ['POST', 'OPTIONS']],
    ['GET', '/servers/some-id', ['DELETE', 'OPTIONS']],
    ['HEAD', '/servers/some-id', ['DELETE', 'OPTIONS']],
    ['POST', '/servers/keys', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/openapi.json', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/docs', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/ready', ['GET', 'HEAD', 'OPTIONS']],
    ['POST', '/ws', ['GET', 'OPTIONS']],
    ['DELETE', '/signal/room', ['GET', 'OPTIONS']],
    ['GET', '/attest/register', ['POST', 'OPTIONS']],
    ['DELETE', '/attest/versions', ['GET', 'HEAD', 'POST', 'OPTIONS']],
  ] as [string, string, string[]][]) {
    test(`${method} ${path} is the wrong method`, async () => {
      const answer = await service.ask(method, path);
      assert.equal(answer.status, 405);
      const names = allowed(answer);
      for (const name of least) assert.ok(names.includes(name), `${name} in Allow: ${names.join()}`);
      assert.ok(!names.includes(method), `${method} not in Allow: ${names.join()}`);
      if (method === 'HEAD') assert.equal(answer.text, '');
      else assertProblem(answer, 405);
      assertSecurityHeaders(answer);
    });
  }

  for (const path of ['/', '/api/info', '/health', '/openapi.json', '/docs', '/servers', '/servers/keys', '/attest/versions', '/stats']) {
    test(`HEAD ${path} is GET without a body`, async () => {
      const get = await service.get(path);
      const head = await service.ask('HEAD', path);
      assert.equal(head.status, get.status);
      assert.equal(head.bytes.length, 0);
      assert.ok(get.bytes.length > 0);
      for (const name of ['content-type', 'cache-control', 'x-frame-options']) assert.equal(head.headers[name], get.headers[name]);
    });
  }

  test('HEAD of an unknown path is 404 without a body', async () => {
    const head = await service.ask('HEAD', '/nope');
    assert.equal(head.status, 404);
    assert.equal(head.bytes.length, 0);
  });

  for (const path of ['/', '/servers', '/servers/some-id', '/servers/heartbeat', '/ws', '/signal/x', '/attest/verify', '/nowhere/at/all', '/ready']) {
    test(`OPTIONS ${path} is 200 and empty, with CORS`, async () => {
      const answer = await service.ask('OPTIONS', path, {
        headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' },
      });
      assert.equal(answer.status, 200);
      assert.equal(answer.text, '');
      assert.equal(answer.headers['access-control-allow-origin'], 'https://app.example');
      const methods = String(answer.headers['access-control-allow-methods']).split(/, */);
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) assert.ok(methods.includes(method));
      const fields = String(answer.headers['access-control-allow-headers']).toLowerCase().split(/, */);
      for (const field of ['content-type', 'authorization']) assert.ok(fields.includes(field));
      const exposed = String(answer.headers['access-control-expose-headers']).toLowerCase().split(/, */);
      for (const field of ['x-bootstrap-signature', 'x-bootstrap-signatures', 'x-attestation-token']) assert.ok(exposed.includes(field));
      assertSecurityHeaders(answer);
    });
  }

  for (const origin of ['https://app.example', 'http://localhost', 'http://localhost:3000', 'http://localhost:65535']) {
    test(`CORS admits ${origin}`, async () => {
      for (const path of ['/health', '/servers', '/nope']) {
        const answer = await service.get(path, { headers: { Origin: origin } });
        assert.equal(answer.headers['access-control-allow-origin'], origin, path);
        assert.match(String(answer.headers.vary), /\bOrigin\b/i);
        assert.equal(answer.headers['access-control-allow-credentials'], undefined);
      }
    });
  }

  for (const origin of [
    'https://app.example.evil.test', 'https://app.example:444', 'http://app.example', 'https://evil.app.example', 'https://localhost:3000',
    'http://localhost.evil.test', 'http://localhost:3000.evil.test', 'http://localhost:', 'http://localhost:abc', 'http://localhost:99999', 'http://localhost:3000/',
    'null', '*', 'https://APP.example/', 'http://localhost@evil.test', 'https://app.example,http://localhost:1',
  ]) {
    test(`CORS does not admit ${origin}`, async () => {
      for (const path of ['/health', '/servers', '/nope']) {
        const answer = await service.get(path, { headers: { Origin: origin } });
        assert.equal(answer.headers['access-control-allow-origin'], undefined, path);
        assert.match(String(answer.headers.vary), /\bOrigin\b/i, 'caches must not mix origins');
      }
    });
  }

  for (const path of ['/', '/health', '/servers', '/servers/keys', '/docs', '/openapi.json', '/attest/versions']) {
    test(`GET ${path} carries the security headers`, async () => assertSecurityHeaders(await service.get(path)));
  }

  test('what must not be kept is not kept', async () => {
    for (const [method, path] of [['GET', '/health'], ['GET', '/'], ['GET', '/nope'], ['POST', '/servers'], ['POST', '/servers/heartbeat']]) {
      assert.equal((await service.ask(String(method), String(path))).headers['cache-control'], 'no-store', `${method} ${path}`);
    }
  });

  test('a fitting request id is echoed, any other replaced', async () => {
    for (const id of ['a', 'Req-1.2_3', 'x'.repeat(64)]) {
      const answer = await service.get('/nope', { headers: { 'X-Request-Id': id } });
      assert.equal(answer.headers['x-request-id'], id);
      assert.equal(answer.json.request_id, id);
      await until('it stands in the log', () => service.logs.some((line) => line.request_id === id));
    }
    for (const id of ['x'.repeat(65), 'a b', 'a/b', 'ä', '{"a":1}']) {
      const answer = await service.get('/nope', { headers: { 'X-Request-Id': Buffer.from(id).toString('latin1') } });
      assert.notEqual(answer.headers['x-request-id'], id);
      assert.match(String(answer.headers['x-request-id']), /^[A-Za-z0-9._-]{1,64}$/);
      assert.equal(answer.json.request_id, answer.headers['x-request-id']);
    }
    const ids = new Set<unknown>();
    for (let i = 0; i < 20; i += 1) ids.add((await service.get('/health')).headers['x-request-id']);
    assert.equal(ids.size, 20);
  });

  for (const path of ['/ws', '/client', '/signaling', '/signal/room', '/signal/Any.Room-1']) {
    test(`plain GET ${path} needs an upgrade`, async () => {
      const answer = await service.get(path);
      assertProblem(answer, 426, 'Expected WebSocket');
      assertSecurityHeaders(answer);
    });
  }

  test('an upgrade elsewhere is answered as HTTP', async () => {
    for (const path of ['/nope', '/ws/', '/signal/', '/signal/a/b']) assert.equal(await refusedUpgrade(service, path), 404, path);
  });

  describe('bodies', () => {
    const filled = (path: string, size: number): string => {
      const start = path === '/servers'
        ? '{"serverId":"size","endpoint":"ws://127.0.0.1:1","publicKey":"pk","pad":"'
        : '{"serverId":"nobody-here","pad":"';
      return `${start}${'p'.repeat(size - start.length - 2)}"}`;
    };
    for (const [path, max, within] of [['/servers', 4096, 200], ['/servers/heartbeat', 2048, 404]] as [string, number, number][]) {
      for (const chunked of [false, true]) {
        test(`${path} takes ${max} bytes and not one more, ${chunked ? 'without' : 'with'} Content-Length`, async () => {
          const fits = await service.post(path, filled(path, max), { chunked });
          assert.equal(fits.status, within, fits.text);
          assertProblem(await service.post(path, filled(path, max + 1), { chunked }), 413, 'Request body too large');
          assertProblem(await service.post(path, filled(path, 60_000), { chunked }), 413, 'Request body too large');
        });
      }
      test(`${path} counts bytes, not characters`, async () => {
        const body = Buffer.from(filled(path, max).replace('pp', 'ä'));
        assert.equal(body.length, max);
        assert.equal((await service.post(path, body)).status, within);
        assertProblem(await service.post(path, filled(path, max).replace('p', 'ä')), 413);
      });
      for (const bad of ['', '{', 'null x', '{"serverId":"a",}', "{'serverId':1}", '{"serverId":"\u0001"}', '\ufeff{}x']) {
        test(`${path} refuses the body ${JSON.stringify(bad)}`, async () => {
          assertProblem(await service.post(path, bad), 400);
        });
      }
      for (const bad of ['null', '[]', '5', '"text"', 'true', '{}', '[{"serverId":"a"}]']) {
        test(`${path} finds nothing in ${bad}`, async () => assertProblem(await service.post(path, bad), 400));
      }
      test(`${path} survives deep nesting and broken UTF-8`, async () => {
        const depth = Math.floor(max / 2) - 20;
        assertProblem(await service.post(path, `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`), 400);
        assertProblem(await service.post(path, Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])), 400);
        assert.equal((await service.get('/health')).status, 200);
      });
    }
    test('the content type is never asked for', async () => {
      const answer = await service.post('/servers/heartbeat', '{"serverId":"nobody-here"}', { headers: { 'Content-Type': 'text/plain' } });
      assertProblem(answer, 404, 'Server not registered');
    });
  });

  describe('readiness', () => {
    test('is for operators only', async () => {
      const none = await service.get('/ready');
      assertProblem(none, 401, 'Unauthorized');
      for (const value of ['Bearer wrong-secret-wrong-secret', `Bearer ${ADMIN}x`, `Bearer ${ADMIN.slice(0, -1)}`, `Basic ${ADMIN}`, ADMIN, 'Bearer ', `Bearer ${CI}`]) {
        const answer = await service.get('/ready', { headers: { Authorization: value } });
        assertProblem(answer, 401, 'Unauthorized');
        assert.deepEqual({ ...answer.json, request_id: '' }, { ...none.json, request_id: '' }, 'all failures look alike');
      }
    });
    test('names missing secrets, and only their names', async () => {
      const answer = await service.get('/ready', { headers: { Authorization: `Bearer ${ADMIN}` } });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.ok(answer.text.includes('SERVER_REGISTRY_SECRET'), answer.text);
      assert.ok(!/"(BOOTSTRAP_SIGNING_KEY|CI_UPLOAD_SECRET|ADMIN_SECRET)"/.test(answer.text), answer.text);
      for (const name of ['SignalingRoom', 'RelayRegistry', 'ServerRegistry', 'AttestationRegistry']) assert.ok(answer.text.includes(name), name);
      for (const secret of [ADMIN, CI, SEED]) assert.ok(!answer.text.includes(secret));
    });
    test('the scheme of the credential may be in any case', async () => {
      assert.equal((await service.get('/ready', { headers: { Authorization: `bearer ${ADMIN}` } })).status, 200);
    });
  });

  describe('the description', () => {
    test('is OpenAPI 3.1, is the committed file, and can be revalidated', async () => {
      const answer = await service.get('/openapi.json');
      assert.equal(answer.status, 200);
      assert.match(String(answer.headers['content-type']), /^application\/(json|openapi\+json|vnd\.oai\.openapi\+json)/);
      assert.match(answer.json.openapi, /^3\.1\.\d+$/);
      assert.deepEqual(answer.json, JSON.parse(readFileSync(join(ROOT, 'openapi.json'), 'utf8')));
      const tag = String(answer.headers.etag);
      assert.match(tag, /^"[^"]+"$/, 'a strong tag');
      for (const value of [tag, `"other", ${tag}`, '*', `W/${tag}`]) {
        const again = await service.get('/openapi.json', { headers: { 'If-None-Match': value } });
        assert.equal(again.status, 304, value);
        assert.equal(again.bytes.length, 0);
        assert.equal(again.headers.etag, tag);
      }
      assert.equal((await service.get('/openapi.json', { headers: { 'If-None-Match': '"other"' } })).status, 200);
    });

    test('every reference in it resolves and every operation says what it answers', async () => {
      const document = (await service.get('/openapi.json')).json;
      const walk = (value: any): void => {
        if (value === null || typeof value !== 'object') return;
        if (typeof value.$ref === 'string') {
          assert.match(value.$ref, /^#\//);
          let at = document;
          for (const step of value.$ref.slice(2).split('/')) at = at?.[step.replaceAll('~1', '/').replaceAll('~0', '~')];
          assert.notEqual(at, undefined, value.$ref);
        }
        for (const inner of Object.values(value)) walk(inner);
      };
      walk(document);
      const ids = new Set<string>();
      for (const [path, item] of Object.entries<any>(document.paths)) {
        for (const [method, operation] of Object.entries<any>(item)) {
          if (!['get', 'post', 'delete', 'put', 'patch'].includes(method)) continue;
          assert.ok(Object.keys(operation.responses).length > 1, `${method} ${path} has answers and errors`);
          assert.equal(typeof operation.operationId, 'string', `${method} ${path}`);
          assert.ok(!ids.has(operation.operationId), `operationId ${operation.operationId} once`);
          ids.add(operation.operationId);
          for (const name of path.match(/(?<=\{)[^}]+/g) ?? []) {
            const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
            assert.ok(parameters.some((parameter: any) => parameter.name === name && parameter.in === 'path' && parameter.required), `${path} ${name}`);
          }
        }
      }
    });

    test('every operation in it exists, and every route we know is in it', async () => {
      const document = (await service.get('/openapi.json')).json;
      const found = new Set<string>();
      for (const [path, item] of Object.entries<any>(document.paths)) {
        for (const method of Object.keys(item).filter((name) => ['get', 'post', 'delete', 'put', 'patch'].includes(name))) {
          found.add(`${method.toUpperCase()} ${path.replace(/\{[^}]+\}/g, '{}')}`);
          const target = path.replaceAll('{uuid}', '3f0c2a64-0000-4000-8000-000000000000').replace(/\{[^}]+\}/g, 'probe');
          const answer = await service.ask(method.toUpperCase(), target);
          assert.ok(answer.status !== 405 && answer.status < 600, `${method} ${path}: ${answer.status}`);
          // A thing may be unknown; the path is not.
          assert.ok(answer.status !== 404 || !/"(error|detail|msg)":"Not Found"/.test(answer.text), `${method} ${path}: ${answer.text}`);
          assert.ok(Object.hasOwn(item[method].responses, String(answer.status)) || Object.hasOwn(item[method].responses, 'default'),
            `${method} ${path} answered ${answer.status}, which the document does not name`);
        }
      }
      for (const route of [
        'GET /', 'GET /health', 'GET /api/info', 'GET /ready', 'GET /openapi.json', 'GET /docs', 'GET /servers', 'POST /servers', 'GET /servers/keys',
        'POST /servers/heartbeat', 'DELETE /servers/{}', 'GET /ws', 'GET /client', 'GET /signaling', 'GET /signal/{}', 'POST /attest/register',
        'POST /attest/upload-reference', 'POST /attest/challenge', 'POST /attest/verify', 'GET /attest/versions', 'POST /attest/versions',
      ]) assert.ok(found.has(route), `${route} is described`);
    });

    test('reads as a page without scripts and without strangers', async () => {
      const answer = await service.get('/docs');
      assert.equal(answer.status, 200);
      assert.match(String(answer.headers['content-type']), /^text\/html/);
      assert.ok(!/<script|javascript:|\son\w+\s*=/i.test(answer.text), 'no script');
      assert.ok(!/<(link|img|iframe|object|embed)\b[^>]*(https?:)?\/\//i.test(answer.text), 'nothing from elsewhere');
      assert.ok(!/@import|url\(\s*['"]?(https?:)?\/\//i.test(answer.text), 'no style from elsewhere');
      const policy = String(answer.headers['content-security-policy']);
      assert.match(policy, /default-src 'none'/);
      assert.ok(!/unsafe-inline|unsafe-eval|https?:/.test(policy), policy);
      for (const text of ['/servers', '/signal/', '/health', 'DELETE']) assert.ok(answer.text.includes(text), text);
      const tag = String(answer.headers.etag);
      assert.equal((await service.get('/docs', { headers: { 'If-None-Match': tag } })).status, 304);
    });

    test('explains every kind of error where the error says', async () => {
      const page = (await service.get('/docs')).text;
      const seen: Answer[] = [
        await service.get('/nope'),
        await service.ask('PUT', '/health'),
        await service.get('/ready'),
        await service.get('/ws'),
        await service.post('/servers', '{'),
        await service.post('/servers', {}),
        await service.post('/servers', 'x'.repeat(5000)),
        await service.post('/servers/heartbeat', { serverId: 'nobody-here' }),
      ];
      for (const answer of seen) {
        const [path, anchor] = String(answer.json.type).replace(/^https?:\/\/[^/]+/, '').split('#');
        assert.equal(path, '/docs', answer.json.type);
        assert.ok(page.includes(`id="${anchor}"`), `${answer.json.type} stands on the page`);
      }
    });
  });

  test('logs one JSON line per request, with the template of the route', async () => {
    const id = 'log-line-test-1';
    await service.ask('DELETE', '/servers/some-private-id', { headers: { 'X-Request-Id': id } });
    const lines = await until('the line', () => {
      const found = service.logs.filter((line) => line.request_id === id);
      return found.length > 0 ? found : undefined;
    });
    assert.equal(lines.length, 1);
    const line = lines[0];
    assert.equal(line.method, 'DELETE');
    assert.equal(line.route, '/servers/{serverId}');
    assert.equal(line.status, 200);
    assert.equal(typeof line.ms, 'number');
    assert.ok(!Number.isNaN(Date.parse(line.ts)));
    assert.equal(typeof line.level, 'string');
    assert.ok(!service.output.includes('some-private-id'));
    for (const text of service.lines) assert.doesNotThrow(() => JSON.parse(text), `not a JSON line: ${text}`);
  });

  test('heads that are too odd do not end the service', async () => {
    const raw = (text: string): Promise<string> =>
      new Promise((done, fail) => {
        const request = http.request({ host: '127.0.0.1', port: service.port, path: text, method: 'GET', timeout: 3000 }, (response) => {
          response.resume();
          response.on('end', () => done(String(response.statusCode)));
        });
        request.on('error', fail);
        request.end();
      });
    for (const path of ['/servers/%', '/servers/%zz', '/servers/%00', '/%', `/${'a'.repeat(4000)}`, '/servers?%', '/..%2f..', '/./health', '/servers/../health']) {
      const status = Number(await raw(path));
      assert.ok(status >= 200 && status < 500, `${path}: ${status}`);
    }
    assert.equal((await service.get('/health')).status, 200);
  });
});

describe('any origin', () => {
  test('* admits everybody, without credentials', async () => {
    const service = await Service.start({ ALLOWED_ORIGINS: '*' });
    try {
      const answer = await service.get('/health', { headers: { Origin: 'https://anybody.example' } });
      assert.ok(['*', 'https://anybody.example'].includes(String(answer.headers['access-control-allow-origin'])));
      assert.equal(answer.headers['access-control-allow-credentials'], undefined);
    } finally {
      await service.stop();
    }
  });
  test('none admits nobody', async () => {
    const service = await Service.start();
    try {
      const answer = await service.get('/health', { headers: { Origin: 'http://localhost:3000' } });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
    } finally {
      await service.stop();
    }
  });
});

describe('the rate limit', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ RATE_LIMIT_PER_MINUTE: '5', ALLOWED_ORIGINS: 'https://app.example' });
  });
  after(async () => {
    assertCalm(service);
    await service.stop();
  });
  const burst = async (address: string | undefined, n: number, path = '/health'): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let i = 0; i < n; i += 1) answers.push(await service.get(path, { address, headers: { Origin: 'https://app.example' } }));
    return answers;
  };

  test('lets through exactly what it says, then 429 with when to come back', async () => {
    const answers = await burst('203.0.113.1', 7);
    assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 200, 200, 200, 429, 429]);
    for (const answer of answers) {
      assert.match(String(answer.headers['ratelimit-policy']), /^"[^"]+";q=5;w=60$/);
      assert.match(String(answer.headers.ratelimit), /^"[^"]+";r=\d+(;t=\d+)?$/);
    }
    assert.deepEqual(answers.map((answer) => /;r=(\d+)/.exec(String(answer.headers.ratelimit))?.[1]), ['4', '3', '2', '1', '0', '0', '0']);
    const refused = answers[6] as Answer;
    assertProblem(refused, 429, 'Too Many Requests');
    const wait = Number(refused.headers['retry-after']);
    assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 60, `Retry-After: ${refused.headers['retry-after']}`);
    assert.equal(refused.headers['access-control-allow-origin'], 'https://app.example', 'a page can read why');
    assertSecurityHeaders(refused);
  });
  test('counts each address alone, and an IPv6 network as one', async () => {
    assert.equal((await burst('203.0.113.2', 1))[0]?.status, 200);
    await burst('2001:db8:1:2::1', 5);
    assert.equal((await burst('2001:db8:1:2:ffff::9', 1))[0]?.status, 429, 'same /64');
    assert.equal((await burst('2001:db8:1:3::1', 1))[0]?.status, 200, 'next /64');
  });
  test('counts unknown paths and upgrades too', async () => {
    await burst('203.0.113.3', 5, '/nope');
    assertProblem((await burst('203.0.113.3', 1))[0] as Answer, 429);
    assert.equal(await refusedUpgrade(service, '/ws', { address: '203.0.113.3' }), 429);
  });
  test('takes the address from nowhere else', async () => {
    await burst('203.0.113.4', 5);
    for (const header of ['X-Forwarded-For', 'X-Real-IP', 'Forwarded', 'True-Client-IP']) {
      const answer = await service.get('/health', { address: '203.0.113.4', headers: { [header]: '203.0.113.99' } });
      assert.equal(answer.status, 429, header);
    }
  });
  test('callers without an address share one place and are not refused for it', async () => {
    const statuses = (await burst(undefined, 8)).map((answer) => answer.status);
    assert.ok(statuses.includes(429), 'one shared client');
    assert.ok(!statuses.includes(400));
  });
});

test('the client address comes from the header that is configured', async () => {
  const service = await Service.start({ RATE_LIMIT_PER_MINUTE: '2', CLIENT_ADDRESS_HEADER: 'X-Client' });
  try {
    const from = async (client: string, edge: string): Promise<number> =>
      (await service.get('/health', { headers: { 'X-Client': client }, address: edge })).status;
    assert.equal(await from('203.0.113.1', '203.0.113.50'), 200);
    assert.equal(await from('203.0.113.1', '203.0.113.51'), 200);
    assert.equal(await from('203.0.113.1', '203.0.113.52'), 429);
    assert.equal(await from('203.0.113.2', '203.0.113.52'), 200);
  } finally {
    await service.stop();
  }
});

test('without a limit there are no limit headers', async () => {
  const service = await Service.start({ RATE_LIMIT_PER_MINUTE: '0' });
  try {
    for (let i = 0; i < 30; i += 1) {
      const answer = await service.get('/health', { address: '203.0.113.1' });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.ratelimit, undefined);
      assert.equal(answer.headers['ratelimit-policy'], undefined);
    }
  } finally {
    await service.stop();
  }
});

test('readiness stays closed without ADMIN_SECRET', async () => {
  const service = await Service.start();
  try {
    for (const headers of [{}, { Authorization: 'Bearer ' }, { Authorization: 'Bearer undefined' }] as Record<string, string>[]) {
      const answer = await service.get('/ready', { headers });
      assertProblem(answer, 503);
      assert.ok(!answer.text.includes('SignalingRoom'));
    }
  } finally {
    await service.stop();
  }
});

describe('settings that make no sense', () => {
  const cases: [string, Settings, string][] = [
    ['ENVIRONMENT', { ENVIRONMENT: 'prod' }, ''],
    ['DEV_MODE', { DEV_MODE: 'yes' }, ''],
    ['DEV_MODE', { DEV_MODE: 'true', ENVIRONMENT: 'production' }, ''],
    ['ALLOWED_ORIGINS', { ALLOWED_ORIGINS: 'app.example' }, ''],
    ['RATE_LIMIT_PER_MINUTE', { RATE_LIMIT_PER_MINUTE: '-1' }, ''],
    ['SERVER_TTL_MS', { SERVER_TTL_MS: '5m' }, ''],
    ['PAIR_TIMEOUT_MS', { PAIR_TIMEOUT_MS: '1.5' }, ''],
    ['CLIENT_ADDRESS_HEADER', { CLIENT_ADDRESS_HEADER: 'X-Forwarded-For' }, ''],
    ['BOOTSTRAP_SIGNING_KEY', { BOOTSTRAP_SIGNING_KEY: `${SEED}ff` }, SEED],
  ];
  type Settings = Record<string, string>;
  for (const [name, settings, secret] of cases) {
    test(`${JSON.stringify(settings).slice(0, 60)} closes everything but /health and names ${name}`, async () => {
      const service = await Service.start(settings);
      try {
        for (const path of ['/', '/servers', '/ready', '/openapi.json']) {
          const answer = await service.get(path);
          assertProblem(answer, 503);
          assert.equal(answer.json.code, 'misconfigured');
          assert.equal(answer.headers['x-bootstrap-signature'], undefined);
        }
        assertProblem(await service.post('/servers', { serverId: 'a', endpoint: 'ws://127.0.0.1:1', publicKey: 'k' }), 503);
        assert.equal(await refusedUpgrade(service, '/ws'), 503);
        assert.equal((await service.get('/health')).status, 200);
        await until(`a log line that names ${name}`, () => service.logs.some((line) => JSON.stringify(line).includes(name)));
        if (secret !== '') assertNoLeak(service, [secret]);
      } finally {
        await service.stop();
      }
    });
  }
});
