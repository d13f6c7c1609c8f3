// An organization moves to another server, by proof of its owner's secret. push-bouncer.md 2.2, 3.7 and 9.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertSuccess, Bouncer, fcmToken, FOREIGN_REALM, keep } from './support/push/bouncer.ts';
import { newKey, Phone } from './support/push/client.ts';
import type { Realm, RemoteServer } from './support/push/client.ts';
import { firstOperator, Operator, reportPeople, SECRET } from './support/push/operator.ts';
import { assertProblem, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

const at = (server: { uuid: string }): string => `servers/${server.uuid}`;
const on = (realm: { uuid: string }): string => `realms/${realm.uuid}`;

let bouncer: Bouncer;
let first: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: SECRET });
  keep(SECRET);
  first = firstOperator(bouncer);
});
after(() => bouncer.finish());

describe('an organization that moves', () => {
  async function home(): Promise<{ old: RemoteServer; fresh: RemoteServer; realm: Realm }> {
    const { server: old, realm } = await bouncer.readyRealm();
    return { old, realm, fresh: await bouncer.ready() };
  }
  const homes = async (realm: Realm, ...servers: RemoteServer[]): Promise<boolean[]> =>
    Promise.all(servers.map(async (server) => (await first.all(`${at(server)}/realms`, 'realms')).some((row) => row.uuid === realm.uuid && row.moved_to === undefined)));

  test('is served by the new server from then on, and refused by the old', async () => {
    const { old, fresh, realm } = await home();
    const phone = new Phone('fcm');
    assertRefused(await fresh.notifySealed(realm, []), 403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM);
    const moved = await first.move(realm, fresh);
    assert.equal(moved.status, 200, moved.text);
    assert.ok(!moved.text.includes(realm.uuid_owner_secret));

    await until('the old server knows', async () => (await old.notifySealed(realm, [])).status === 403);
    assertRefused(await old.notifySealed(realm, []), 403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM);
    for (const answer of [
      await old.addDevice('fcm', fcmToken(), { user_uuid: randomUUID() }, { realm_uuid: realm.uuid }),
      await old.notify({ user_id: 1, realm_uuid: realm.uuid }),
      await old.addSealedDevice(realm, phone, bouncer.keys.publicKey),
    ]) assertRefused(answer, 403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM);
    assertRefused(await old.reportRealms([realm]), 400, 'BAD_REQUEST', 'Duplicate registration detected.');

    await reportPeople(fresh, realm, 3);
    const user = { user_uuid: randomUUID() };
    assertSuccess(await fresh.addDevice('fcm', fcmToken(), user, { realm_uuid: realm.uuid }), { ignored_parameters_unsupported: ['server_uuid'] });
    assertSuccess(await fresh.addSealedDevice(realm, phone, bouncer.keys.publicKey));
    const sent = await fresh.notifySealed(realm, [phone.request()]);
    assert.deepEqual([sent.status, sent.json.android_successfully_sent_count], [200, 1], sent.text);
    const legacy = await fresh.notify({ ...user, realm_uuid: realm.uuid });
    assert.deepEqual([legacy.json.total_android_devices, legacy.json.realm], [1, { can_push: true, expected_end_timestamp: null }]);
    assert.equal((await first.read(on(realm))).uuid, realm.uuid);
    assert.equal((await homes(realm, fresh))[0], true);
  });

  test('does so by its secret only', async () => {
    const { old, fresh, realm } = await home();
    for (const secret of [newKey(), realm.uuid_owner_secret.slice(1), `${realm.uuid_owner_secret}0`, 'x'.repeat(1024), realm.uuid_owner_secret.toUpperCase(), fresh.key, SECRET]) {
      assertProblem(await first.move(realm, fresh, { uuid_owner_secret: secret }), 403);
    }
    for (const more of [
      { uuid_owner_secret: undefined }, { uuid_owner_secret: null }, { uuid_owner_secret: 5 },
      { server: undefined }, { server: 'nonsense' }, { server: 7 }, { server: '' }, { extra: 1 },
    ]) assertProblem(await first.move(realm, fresh, more), 400);
    assert.deepEqual(await homes(realm, old, fresh), [true, false]);
    assert.equal((await old.notifySealed(realm, [])).status, 200);
  });

  test('goes to a server that is there, and another', async () => {
    const { old, fresh, realm } = await home();
    assertProblem(await first.move(realm, { uuid: randomUUID() }), 404);
    assertProblem(await first.move(realm, old), 409);
    assertProblem(await first.move({ ...realm, uuid: randomUUID() }, fresh), 404);
    await first.act('POST', `${at(fresh)}/deactivate`, {});
    assert.ok([404, 409].includes((await first.move(realm, fresh)).status));
    await first.act('DELETE', at(fresh));
    assert.ok([404, 409].includes((await first.move(realm, fresh)).status));
    assert.deepEqual(await homes(realm, old), [true]);
    assert.equal((await old.notifySealed(realm, [])).status, 200);
  });

  test('must not have a live plan', async () => {
    const { fresh, realm } = await home();
    await first.changePlan(on(realm), { plan: { tier: 103 } });
    const refused = await first.move(realm, fresh);
    assertProblem(refused, 409);
    assert.match(refused.json.detail, /plan/);
    await first.changePlan(on(realm), { plan: { status: 11 } });
    assert.equal((await first.move(realm, fresh)).status, 200);
  });

  test('moves once, even when it is said often', async () => {
    const { old, fresh, realm } = await home();
    const answers = await Promise.all(Array.from({ length: 5 }, () => first.move(realm, fresh)));
    for (const answer of answers) assert.ok(answer.status === 200 || answer.status === 409, answer.text);
    assert.ok(answers.some((answer) => answer.status === 200));
    assert.equal((await first.move(realm, fresh)).status, 409);
    assert.deepEqual(await homes(realm, fresh), [true]);
    await until('the old server knows', async () => (await old.notifySealed(realm, [])).status === 403);
    const arrivals = (await first.audit(on(realm))).filter((row) => row.extra_data.new_value === fresh.uuid);
    assert.deepEqual(arrivals.map((row) => [row.extra_data.attr_name, row.extra_data.old_value]), [['server', old.uuid]], 'written down once');
  });

  test('to two servers at once arrives at one', async () => {
    for (let round = 0; round < 12; round += 1) {
      const { old, fresh, realm } = await home();
      const other = await bouncer.ready();
      const answers = await Promise.all([first.move(realm, fresh), first.move(realm, other)]);
      assert.ok(answers.some((answer) => answer.status === 200), answers.map((answer) => answer.text).join());
      await until('one of them serves it', async () => {
        const said = await Promise.all([fresh, other, old].map(async (server) => (await server.notifySealed(realm, [])).status));
        return said.filter((status) => status === 200).length === 1 && said[2] === 403;
      });
    }
  });

  test('can go back at once', async () => {
    // The old server is told of the first move while the second is under way: many rounds at once, so that they meet.
    const rounds = await Promise.all(Array.from({ length: 20 }, home));
    for (const { old, fresh, realm } of rounds) {
      assert.equal((await first.move(realm, fresh)).status, 200);
      assert.equal((await first.move(realm, old)).status, 200);
    }
    const lost: string[] = [];
    for (const { old, fresh, realm } of rounds) {
      await until('the other knows', async () => (await fresh.notifySealed(realm, [])).status === 403);
      const answer = await old.notifySealed(realm, []);
      if (answer.status !== 200) lost.push(answer.json.code);
    }
    assert.deepEqual(lost, []);
  });

  test('leaves its story where it happened, and both servers know of the move', async () => {
    const { old, fresh, realm } = await home();
    await reportPeople(old, realm, 5);
    await first.changePlan(on(realm), { plan_type: 102 });
    const before = await first.audit(on(realm));
    assert.equal((await first.move(realm, fresh)).status, 200);
    // What happened at the old server is that server's; `?realm=` reads it after the organization has gone.
    const there = await until('the old server has let go', async () => {
      const rows = (await first.read(`${at(old)}/audit?realm=${realm.uuid}&limit=200`)).rows;
      return rows.length > before.length && rows;
    });
    assert.deepEqual(there.slice(0, before.length), before);
    assert.deepEqual(there.slice(before.length).map((row: any) => row.event_type), [20_005]);
    const here = await first.audit(on(realm));
    assert.deepEqual(here.map((row: any) => row.event_type), [20_005]);
    assert.ok(JSON.stringify(here).includes(old.uuid) && JSON.stringify(there.at(-1)).includes(fresh.uuid), 'from where, and where to');
  });

  test('is not torn by the uploads of both servers', async () => {
    for (let round = 0; round < 4; round += 1) {
      const { old, fresh, realm } = await home();
      let moved: Answer | undefined;
      const uploading = async (server: RemoteServer): Promise<Answer[]> => {
        const answers: Answer[] = [];
        do answers.push(await server.reportRealms([realm]));
        while (moved === undefined);
        return answers;
      };
      const uploads = Promise.all([uploading(old), uploading(fresh)]);
      // A server that is busy may be asked again.
      moved = await until('the move is done', async () => {
        const answer = await first.move(realm, fresh);
        assert.ok([200, 409, 503].includes(answer.status), answer.text);
        return (answer.status === 200 || /already/.test(answer.text)) && answer;
      });
      for (const answer of (await uploads).flat()) {
        assert.ok(answer.status === 200 || answer.json?.msg === 'Duplicate registration detected.' || answer.status === 403, answer.text);
      }
      await until('the old server knows', async () => (await old.reportRealms([realm])).status === 400);
      assert.equal((await fresh.reportRealms([realm])).status, 200);
      assert.equal((await fresh.notifySealed(realm, [])).status, 200);
      assert.equal((await old.notifySealed(realm, [])).status, 403);
    }
  });

  test('can go back', async () => {
    const { old, fresh, realm } = await home();
    assert.equal((await first.move(realm, fresh)).status, 200);
    // The old server is told a moment later.
    await until('the old server has no trace of it', async () => !(await homes(realm, old))[0] && (await old.reportRealms([realm])).status === 400);
    assert.equal((await first.move(realm, old)).status, 200);
    await until('it is back', async () => (await old.notifySealed(realm, [])).status === 200);
    assert.equal((await old.reportRealms([realm])).status, 200);
    await until('the other knows', async () => (await fresh.notifySealed(realm, [])).status === 403);
  });
});
