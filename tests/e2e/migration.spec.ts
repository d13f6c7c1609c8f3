// An object that was left at an older schema brings itself to the newest on workerd, and keeps what was stored.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Service } from './support/service.ts';
import { Client } from './support/socket.ts';

/** The database of the only object of a class. */
function database(service: Service, folder: string): DatabaseSync {
  const path = join(service.state, folder);
  const files = readdirSync(path).filter((name) => name.endsWith('.sqlite') && name !== 'metadata.sqlite');
  assert.equal(files.length, 1, `one object in ${folder}`);
  return new DatabaseSync(join(path, files[0] as string));
}

const versions = (db: DatabaseSync) => db.prepare('SELECT version FROM schema_version ORDER BY version').all().map((row) => row.version);

test('a room of the first schema grows the relay tables and keeps its ledger', async () => {
  const service = await Service.start({ DEV_MODE: 'true' });
  try {
    const first = await Client.enter(service, '/ws');
    first.send({ type: 'pair_request', targetCode: 'ZZZZZZ' });
    await first.next('pair_error');
    await service.crash();

    const older = database(service, 'waystation-signaling-room');
    assert.deepEqual(versions(older), [1, 2]);
    const tables = older.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'rendezvous_%' OR name LIKE 'relay_%' OR name LIKE 'chunk_%' OR name LIKE 'channel_%')").all();
    assert.ok(tables.length > 5, 'the relay tables are there');
    for (const table of tables) older.exec(`DROP TABLE ${String(table.name)}`);
    older.exec('DELETE FROM schema_version WHERE version > 1');
    const tries = older.prepare('SELECT network, free_at_us FROM network_guesses').all();
    assert.equal(tries.length, 1, 'the try was counted');
    older.close();

    await service.boot();
    const second = await Client.enter(service, '/ws');
    second.send({ type: 'register_rendezvous', peerId: second.code, dailyPoints: ['p'], deadDrop: 'd' });
    await second.next('rendezvous_result');
    await service.crash();
    const newest = database(service, 'waystation-signaling-room');
    assert.deepEqual(versions(newest), [1, 2]);
    assert.deepEqual(newest.prepare('SELECT network, free_at_us FROM network_guesses').all(), tries);
    newest.close();
  } finally {
    await service.stop();
  }
});

test('an object whose database is newer than the code refuses to touch it', async () => {
  const service = await Service.start({ DEV_MODE: 'true', BOOTSTRAP_SIGNING_KEY: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60' });
  try {
    assert.equal((await service.get('/servers')).status, 200);
    await service.crash();
    const db = database(service, 'waystation-server-registry');
    db.exec("INSERT INTO schema_version (version, name, applied_at) VALUES (99, 'future', 1)");
    db.close();
    await service.boot();
    const refused = await service.get('/servers');
    assert.equal(refused.status, 500);
    assert.equal(refused.json.code, 'internal');
    assert.ok(!refused.text.includes('99'), 'the reason is for the log');
    assert.match(service.output, /schema version 99 is newer/);
    assert.equal((await service.get('/health')).status, 200);
  } finally {
    await service.stop();
  }
});
