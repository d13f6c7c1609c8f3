// The ETag of the version policy: issue 4 section 4, edge-wire.md 8 (10), docs/threat-model.md "What our key signs".

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Desk, newBuild } from './support/attest.ts';
import { assertCalm, assertNoLeak, assertProblem, until } from './support/service.ts';
import type { Settings } from './support/service.ts';

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

describe('answers with the same ETag are not the same answer', () => {
  test('what is read is the policy that was written, signed', () => withDesk({}, async (desk) => {
    const written = await desk.setPolicy({ minimum_version: '2.0.0' });
    const read = await desk.policy();
    assert.deepEqual(read.json, written.json.policy);
    await desk.assertDocument(read, 'versions');
  }));

  test('a rehearsal and a refusal are not published', async () => {
    for (const query of ['?dry_run=true', '']) {
      await withDesk({}, async (desk) => {
        await desk.setPolicy({ minimum_version: '9.0.0' }, { query, headers: query === '' ? { 'If-Match': '"none"' } : {} });
        const read = await desk.policy();
        assert.equal(read.json.minimum_version, '1.0.0', read.text);
        assert.equal(read.json.policy_epoch, 0);
        await desk.assertDocument(read, 'versions');
      });
    }
  });

  test('a stale write is told so', () => withDesk({}, async (desk) => {
    await desk.policy();
    assertProblem(await desk.setPolicy({ minimum_version: '9.0.0' }, { headers: { 'If-Match': '"none"' } }), 412);
  }));

  test('each answer says anew when it was signed, or an old one cannot be told from a held back one', () => withDesk({}, async (desk) => {
    const at = async (): Promise<number> => Number(/t=(\d+)/.exec(String((await desk.policy()).headers['x-attestation-signature']))?.[1]);
    const first = await at();
    await until('a newer signature', async () => await at() > first, 3000, 100);
  }));

  test('ETag, If-Match and If-None-Match', () => withDesk({}, async (desk) => {
    const first = String((await desk.policy()).headers.etag);
    assert.match(first, /^(W\/)?"[^"]+"$/);
    const changed = await desk.setPolicy({ minimum_version: '1.1.0' }, { headers: { 'If-Match': first } });
    assert.equal(changed.status, 200, changed.text);
    const current = String((await desk.policy()).headers.etag);
    assert.notEqual(current, first);
    for (const stale of [first, '"none"', `${first}, "none"`]) {
      for (const query of ['', '?dry_run=true']) assertProblem(await desk.setPolicy({ minimum_version: '9.0.0' }, { headers: { 'If-Match': stale }, query }), 412);
    }
    assert.equal((await desk.policy()).json.minimum_version, '1.1.0');
    assert.equal((await desk.get('/attest/versions', { headers: { 'If-None-Match': current } })).status, 304);
    assert.equal((await desk.get('/attest/versions', { headers: { 'If-None-Match': first } })).status, 200);
    for (const good of [`"none", ${current}`, '*']) {
      const tag = good === '*' ? good : `"none", ${String((await desk.policy()).headers.etag)}`;
      assert.equal((await desk.setPolicy({ minimum_version: '1.2.0' }, { headers: { 'If-Match': tag } })).status, 200, tag);
    }
    // Of writers that all saw the same policy one gets through.
    const seen = String((await desk.policy()).headers.etag);
    const all = await Promise.all(Array.from({ length: 10 }, (_, i) => desk.setPolicy({ minimum_version: `3.${i}.0` }, { headers: { 'If-Match': seen } })));
    assert.deepEqual(all.map((answer) => answer.status).sort(), [200, ...Array(9).fill(412)]);
    const winner = all.findIndex((answer) => answer.status === 200);
    assert.equal((await desk.policy()).json.minimum_version, `3.${winner}.0`);
  }));

  test('a dry run counts who would be locked out and changes nothing', () => withDesk({}, async (desk) => {
    const [old, next] = [newBuild('1.1.0'), newBuild('1.2.0')];
    for (let i = 0; i < 3; i += 1) await desk.newDevice(old);
    for (let i = 0; i < 2; i += 1) await desk.newDevice(next);
    await desk.newDevice(newBuild('1.1.0', 'android'));
    const before = await desk.policy();
    const rehearsal = await desk.setPolicy({ platforms: { linux: { blocked_versions: ['1.1.0'] } } }, { query: '?dry_run=true' });
    assert.equal(rehearsal.status, 200, rehearsal.text);
    assert.equal(rehearsal.json.dry_run, true);
    assert.deepEqual(rehearsal.json.effect, { devices: 6, locked_out: 3, let_in: 0 });
    assert.equal((await desk.setPolicy({ minimum_version: '1.2.0' }, { query: '?dry_run=true' })).json.effect.locked_out, 4);
    const after = await desk.policy();
    assert.deepEqual([after.text, after.headers.etag], [before.text, before.headers.etag]);
    assert.deepEqual(await desk.log(), []);
    const change = await desk.setPolicy({ minimum_version: '1.2.0' });
    assert.deepEqual([change.json.dry_run, change.json.effect.locked_out], [false, 4]);
    assert.equal((await desk.setPolicy({}, { query: '?dry_run=true' })).json.effect.let_in, 4);
    assert.equal((await desk.log()).length, 1);
  }));
});
