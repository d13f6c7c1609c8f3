// What happens when something is thrown through the service's WASM: nothing hangs, and the next event finds everything.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Service, until } from './support/service.ts';
import { Client, pair } from './support/socket.ts';

test('after a trap the room is rebuilt from attachments, and nobody was cut off', async () => {
  const service = await Service.startChaos({ DEV_MODE: 'true' });
  try {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    await pair(a, b);
    // Attachments are saved together, half a second after the event; the room hibernates long after that.
    await new Promise((done) => setTimeout(done, 1000));
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await service.get('/chaos/on')).text, 'true');
      // Needs a random session, so it throws in the middle of the event.
      a.send({ type: 'register_rendezvous', peerId: a.code, dailyPoints: ['p'] });
      await until('the trap is logged', () => service.output.split('"event":"trap"').length > round + 1);
      assert.equal((await service.get('/chaos/off')).text, 'false');
      a.send({ type: 'offer', target: b.code, payload: round });
      assert.deepEqual((await b.next('offer')).payload, round);
      b.send({ type: 'answer', target: a.code, payload: round });
      assert.deepEqual((await a.next('answer')).payload, round);
    }
    a.send({ type: 'register_rendezvous', peerId: a.code, dailyPoints: ['p'] });
    assert.equal((await a.next('rendezvous_result')).type, 'rendezvous_result');
    assert.ok(!service.output.includes(a.code), 'no code in the log');
  } finally {
    await service.stop();
  }
});

test('requests that meet a trap are answered 500, other objects and later requests as ever', async () => {
  const service = await Service.startChaos({ DEV_MODE: 'true' });
  try {
    assert.equal((await service.get('/chaos/on')).text, 'true');
    const failed = await Promise.all(Array.from({ length: 20 }, (_, index) => service.get(index % 2 ? '/health' : '/stats')));
    for (const answer of failed) {
      assert.equal(answer.status, 500);
      assert.equal(answer.json.code, 'internal');
    }
    assert.equal((await service.get('/chaos/off')).text, 'false');
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => service.get(index % 2 ? '/health' : '/stats')));
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  } finally {
    await service.stop();
  }
});
