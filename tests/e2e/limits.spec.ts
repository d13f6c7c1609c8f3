// The bounds that keep a room usable: edge-wire.md 2.3, 8.3 and 8.4, issue 2 section 4, configuration.md.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import type { Settings } from './support/service.ts';
import { Client, newAddress, newCode, newKey, nobodyHeard, pair, secrets } from './support/socket.ts';

const SLOW_DOWN = { type: 'error', message: 'Rate limit exceeded. Please slow down.' };
const TOO_MANY_PAIRS = { type: 'error', message: 'Too many pair requests. Please slow down.' };
const UNIFORM = '{"type":"pair_error","error":"Pair request could not be processed"}';
const OFF = {
  SIGNAL_MESSAGES_PER_MINUTE: '0',
  SIGNAL_PAIR_REQUESTS_PER_MINUTE: '0',
  SIGNAL_UNKNOWN_CODES_PER_MINUTE: '0',
  SIGNAL_SOCKETS_PER_ADDRESS: '0',
  SIGNAL_SOCKETS_MAX: '0',
};

async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const service = await Service.start(settings);
  try {
    await run(service);
    assertCalm(service);
    assertNoLeak(service, secrets);
  } finally {
    await service.stop();
  }
}

describe('messages per socket', () => {
  for (const path of ['/ws', '/signal/messages']) {
    test(`on ${path}: what exceeds is dropped and told, the socket stays`, () =>
      withService({ ...OFF, SIGNAL_MESSAGES_PER_MINUTE: '20' }, async (service) => {
        const address = newAddress();
        const a = await Client.enter(service, path, {}, { address });
        const b = await Client.enter(service, path, {}, { address });
        for (let n = 1; n <= 25; n += 1) a.send({ type: 'offer', target: b.code, payload: { n } });
        // The registration was the first of the twenty.
        for (let n = 1; n <= 19; n += 1) assert.equal((await b.next('offer')).payload.n, n);
        for (let n = 20; n <= 25; n += 1) assert.deepEqual((await a.frame()).value, SLOW_DOWN);
        // Another socket of the same address has its own count, and nothing of what was refused arrives.
        await b.silent();
        b.send({ type: 'answer', target: a.code, payload: 1 });
        assert.equal((await a.next('answer')).from, b.code, 'the limited one still hears');
        a.sendRaw('{"type":"ping"}');
        await a.next('pong');
        assert.equal((await a.close(1000)).code, 1000);
      }));
  }
  test('the runtime answers plain pings, and they are not counted', () =>
    withService({ ...OFF, SIGNAL_MESSAGES_PER_MINUTE: '20' }, async (service) => {
      const a = await Client.enter(service, '/ws');
      for (let n = 0; n < 60; n += 1) a.sendRaw('{"type":"ping"}');
      for (let n = 0; n < 60; n += 1) await a.next('pong');
      a.send({ type: 'offer', target: a.code, payload: 1 });
      for (const frame of await a.settle()) assert.notDeepEqual(frame.value, SLOW_DOWN);
    }));
  test('garbage counts too', () =>
    withService({ ...OFF, SIGNAL_MESSAGES_PER_MINUTE: '5' }, async (service) => {
      const a = await Client.open(service, '/ws');
      const answers: any[] = [];
      for (let n = 0; n < 8; n += 1) a.sendRaw('{');
      for (let n = 0; n < 8; n += 1) answers.push((await a.next('error')).message);
      assert.deepEqual(answers.filter((message) => message === SLOW_DOWN.message).length, 3);
      assert.deepEqual(answers.slice(5), Array(3).fill(SLOW_DOWN.message));
    }));
  test('by default it is 100', () =>
    withService({}, async (service) => {
      const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
      for (let n = 1; n <= 100; n += 1) a.send({ type: 'offer', target: b.code, payload: { n } });
      for (let n = 1; n <= 99; n += 1) assert.equal((await b.next('offer')).payload.n, n);
      assert.deepEqual((await a.frame()).value, SLOW_DOWN);
    }));
});

describe('pair requests per client network', () => {
  const settings = { ...OFF, SIGNAL_PAIR_REQUESTS_PER_MINUTE: '3' };
  const askThrice = async (service: Service, address: string, target: Client): Promise<Client> => {
    const asker = await Client.enter(service, target.path, {}, { address });
    for (let i = 0; i < 3; i += 1) {
      asker.send({ type: 'pair_request', targetCode: target.code });
      assert.equal((await target.next('pair_incoming')).fromCode, asker.code);
    }
    await asker.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
    await asker.expect({ type: 'pair_request', targetCode: newCode() }, TOO_MANY_PAIRS);
    await nobodyHeard(asker, [target]);
    return asker;
  };
  test('a reconnect, another code, another path do not reset them', () => withService(settings, async (service) => {
    const target = await Client.enter(service, '/ws');
    const asker = await askThrice(service, '203.0.113.7', target);
    await asker.close(1000);
    for (const path of ['/ws', '/', '/client', '/signaling']) {
      const again = await Client.enter(service, path, {}, { address: '203.0.113.7' });
      await again.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
      await nobodyHeard(again, [target]);
    }
    const other = await Client.enter(service, '/ws', {}, { address: '203.0.113.8' });
    other.send({ type: 'pair_request', targetCode: target.code });
    assert.equal((await target.next('pair_incoming')).fromCode, other.code, 'another address is another client');
  }));
  test('offers, answers and links of a limited client still pass', () => withService(settings, async (service) => {
    const target = await Client.enter(service, '/ws');
    const asker = await askThrice(service, '203.0.113.9', target);
    asker.send({ type: 'offer', target: target.code, payload: 1 });
    assert.equal((await target.next('offer')).from, asker.code);
    target.send({ type: 'pair_response', targetCode: asker.code, accepted: true });
    await asker.next('pair_matched');
    await target.next('pair_matched');
  }));
  test('an IPv6 client is its /64', () => withService(settings, async (service) => {
    const target = await Client.enter(service, '/ws');
    await askThrice(service, '2001:db8:5:6::1', target);
    const neighbour = await Client.enter(service, '/ws', {}, { address: '2001:0DB8:5:6:aaaa:bbbb:cccc:dddd' });
    await neighbour.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
    const stranger = await Client.enter(service, '/ws', {}, { address: '2001:db8:5:7::1' });
    stranger.send({ type: 'pair_request', targetCode: target.code });
    assert.equal((await target.next('pair_incoming')).fromCode, stranger.code);
  }));
  test('an IPv4 address in IPv6 clothes is the same client', () => withService(settings, async (service) => {
    const target = await Client.enter(service, '/ws');
    await askThrice(service, '203.0.113.77', target);
    const clothed = await Client.enter(service, '/ws', {}, { address: '::ffff:203.0.113.77' });
    await clothed.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
    const other = await Client.enter(service, '/ws', {}, { address: '::ffff:203.0.113.78' });
    other.send({ type: 'pair_request', targetCode: target.code });
    assert.equal((await target.next('pair_incoming')).fromCode, other.code);
  }));
  test('the address comes from the configured header alone', () => withService(settings, async (service) => {
    const target = await Client.enter(service, '/ws');
    await askThrice(service, '203.0.113.88', target);
    const liar = await Client.enter(service, '/ws', {}, { address: '203.0.113.88', headers: { 'X-Forwarded-For': '198.51.100.1', 'X-Real-IP': '198.51.100.1' } });
    await liar.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
  }));
  test('guessing by offers and calls costs as much as by pair requests', () => withService(settings, async (service) => {
    const asker = await Client.enter(service, '/ws', {}, { address: '203.0.113.55' });
    const target = await Client.enter(service, '/ws');
    const seen: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      const code = newCode();
      asker.send({ type: 'offer', target: code, payload: 1 });
      seen.push((await asker.frame()).text.replace(code, 'CODE'));
    }
    asker.send({ type: 'pair_request', targetCode: target.code });
    assert.deepEqual((await asker.frame()).value, TOO_MANY_PAIRS, `after eight unknown targets: ${[...new Set(seen)].join()}`);
    await nobodyHeard(asker, [target]);
  }));
  test('a network has ten by default', () => withService({}, async (service) => {
    const address = '203.0.113.66';
    const target = await Client.enter(service, '/ws');
    const asker = await Client.enter(service, '/ws', {}, { address });
    for (let i = 0; i < 10; i += 1) {
      asker.send({ type: 'pair_request', targetCode: target.code });
      await target.next('pair_incoming');
    }
    await asker.expect({ type: 'pair_request', targetCode: target.code }, TOO_MANY_PAIRS);
  }));
});

describe('the breaker on unknown codes', () => {
  test('many guessers from many networks are stopped together; who is paired is not disturbed', () =>
    withService({ ...OFF, SIGNAL_UNKNOWN_CODES_PER_MINUTE: '20' }, async (service) => {
      const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
      await pair(a, b);
      const victim = await Client.enter(service, '/ws');
      const answers: string[] = [];
      const guessers: Client[] = [];
      for (let i = 0; i < 40; i += 1) {
        const guesser = await Client.enter(service, '/ws');
        guessers.push(guesser);
        guesser.send({ type: 'pair_request', targetCode: newCode() });
        answers.push((await guesser.frame()).text);
      }
      assert.deepEqual([...new Set(answers)], [UNIFORM], 'before and after it trips, an unknown code is answered alike');
      // Once tripped, who guessed wrongly before gets nothing from a hit that a miss would not give.
      const guesser = guessers[0] as Client;
      guesser.send({ type: 'pair_request', targetCode: victim.code });
      const hit = (await guesser.frame('an answer to a hit while the breaker is open')).text;
      guesser.send({ type: 'pair_request', targetCode: newCode() });
      assert.equal(hit, (await guesser.frame()).text);
      await nobodyHeard(guesser, [victim]);
      // Honest newcomers succeed during the attack.
      for (let i = 0; i < 10; i += 1) await pair(await Client.enter(service, '/ws'), await Client.enter(service, '/ws'));
      // A paired couple reconnects by offers and goes on.
      a.send({ type: 'offer', target: b.code, payload: 1 });
      assert.equal((await b.next('offer')).from, a.code);
    }));
});

describe('sockets', () => {
  for (const path of ['/ws', '/signal/crowd']) {
    test(`on ${path}: per address`, () => withService({ ...OFF, SIGNAL_SOCKETS_PER_ADDRESS: '2' }, async (service) => {
      const address = '203.0.113.20';
      const first = await Client.enter(service, path, {}, { address });
      const second = await Client.enter(service, path, {}, { address });
      const third = await Client.open(service, path, { address });
      assert.deepEqual(await third.cut(), { code: 1013, reason: 'Too many connections from this IP' });
      const other = await Client.enter(service, path, {}, { address: '203.0.113.21' });
      await pair(first, second);
      await first.close(1000);
      await second.next('peer_left');
      const fourth = await Client.enter(service, path, {}, { address });
      await pair(fourth, other);
    }));
    test(`on ${path}: per room`, () => withService({ ...OFF, SIGNAL_SOCKETS_MAX: '3' }, async (service) => {
      const inside = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
      const late = await Client.open(service, path);
      // On /ws the first message decides which room it is.
      if (path === '/ws') late.send({ type: 'register', pairingCode: newCode(), publicKey: newKey() });
      assert.deepEqual(await late.cut(), { code: 1013, reason: 'Server at capacity' });
      await Client.enter(service, '/signal/other-room');
      await (inside[0] as Client).close(1000);
      const next = await until('a free place', async () => {
        const candidate = await Client.open(service, path);
        candidate.send({ type: 'register', pairingCode: newCode(), publicKey: newKey() });
        const entered = await Promise.race([candidate.closed.then(() => false), candidate.next('registered').then(() => true, () => false)]);
        return entered ? candidate : undefined;
      });
      await next.settle();
      await pair(inside[1] as Client, inside[2] as Client);
    }));
  }
  test('a refused socket is told at once', () => withService({ ...OFF, SIGNAL_SOCKETS_PER_ADDRESS: '1' }, async (service) => {
    const address = '203.0.113.31';
    await Client.enter(service, '/ws', {}, { address });
    // Seen from the wire: the end of the connection after both close frames is the runtime's affair, and it takes its time.
    const late = await Sluggard.open(service, '/ws', address);
    const started = Date.now();
    await until('the close frame', () => late.closeCode() !== undefined, 3000, 5);
    assert.equal(late.closeCode(), 1013);
    assert.ok(late.got.includes('Too many connections from this IP'));
    assert.ok(Date.now() - started < 1000, `after ${Date.now() - started} ms`);
    late.socket.destroy();
  }));
  test('a refused socket is not heard and not counted', () => withService({ ...OFF, SIGNAL_SOCKETS_PER_ADDRESS: '1' }, async (service) => {
    const address = '203.0.113.30';
    const inside = await Client.enter(service, '/ws', {}, { address });
    for (let i = 0; i < 5; i += 1) {
      const late = await Client.open(service, '/ws', { address });
      late.send({ type: 'offer', target: inside.code, payload: 1 });
      assert.equal((await late.cut()).code, 1013);
    }
    await inside.silent();
    await inside.close(1000);
    await until('a free place', async () => {
      const candidate = await Client.open(service, '/ws', { address });
      const refused = await Promise.race([candidate.closed.then(() => true), candidate.settle().then(() => false, () => true)]);
      return !refused;
    });
  }));
  test('an address has 50 by default', () => withService({}, async (service) => {
    const address = '203.0.113.40';
    const inside: Client[] = [];
    for (let i = 0; i < 50; i += 1) inside.push(await Client.open(service, '/ws', { address }));
    const late = await Client.open(service, '/ws', { address });
    assert.equal((await late.cut()).code, 1013);
    await (inside[0] as Client).silent();
    await (inside[49] as Client).silent();
  }));
});

/** A WebSocket without a library, which can stop reading. */
class Sluggard {
  socket: net.Socket;
  got = Buffer.alloc(0);
  ended = false;
  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => {
      this.got = Buffer.concat([this.got, data as Buffer]);
    });
    socket.on('close', () => {
      this.ended = true;
    });
    socket.on('error', () => {});
  }
  static async open(service: Service, path: string, address = newAddress()): Promise<Sluggard> {
    const socket = net.connect(service.port, '127.0.0.1');
    const sluggard = new Sluggard(socket);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nCF-Connecting-IP: ${address}\r\n\r\n`,
    );
    await until('the upgrade', () => sluggard.got.includes('\r\n\r\n'));
    assert.match(sluggard.got.toString('latin1'), /^HTTP\/1\.1 101 /);
    sluggard.got = sluggard.got.subarray(sluggard.got.indexOf('\r\n\r\n') + 4);
    return sluggard;
  }
  send(text: string): void {
    const body = Buffer.from(text);
    const mask = randomBytes(4);
    for (let i = 0; i < body.length; i += 1) body[i] = (body[i] ?? 0) ^ (mask[i % 4] ?? 0);
    assert.ok(body.length < 65_536);
    const head = body.length < 126 ? Buffer.from([0x81, 0x80 | body.length]) : Buffer.from([0x81, 0xfe, body.length >> 8, body.length & 255]);
    this.socket.write(Buffer.concat([head, mask, body]));
  }
  /** The close code, if what came so far holds a close frame. */
  closeCode(): number | undefined {
    let at = 0;
    while (at + 2 <= this.got.length) {
      const opcode = (this.got[at] ?? 0) & 15;
      let length = (this.got[at + 1] ?? 0) & 127;
      let start = at + 2;
      if (length === 126) {
        length = this.got.readUInt16BE(start);
        start += 2;
      } else if (length === 127) {
        length = Number(this.got.readBigUInt64BE(start));
        start += 8;
      }
      if (opcode === 8 && start + 2 <= this.got.length) return this.got.readUInt16BE(start);
      at = start + length;
    }
    return undefined;
  }
}

describe('slow readers', () => {
  const settings = { ...OFF, SIGNAL_UNREAD_BYTES_MAX: '1000000' };
  const big = 'p'.repeat(100_000);
  test('who does not read is cut, and costs nobody else', () => withService(settings, async (service) => {
    const sender = await Client.enter(service, '/ws');
    const friend = await Client.enter(service, '/ws');
    const code = newCode();
    const slow = await Sluggard.open(service, '/ws');
    slow.send(JSON.stringify({ type: 'register', pairingCode: code, publicKey: newKey() }));
    await until('registered', () => slow.got.includes('"registered"'));
    slow.socket.pause();
    let gone = 0;
    for (let n = 1; n <= 200 && gone === 0; n += 1) {
      sender.send({ type: 'offer', target: code, payload: { n, big } });
      for (const frame of await sender.settle()) {
        assert.deepEqual(frame.value, { type: 'error', message: `Peer not found: ${code}` });
        gone = n;
      }
    }
    assert.ok(gone >= 9 && gone <= 14, `cut after about 1 MB, not ${gone - 1} times 100 KB`);
    sender.send({ type: 'offer', target: friend.code, payload: 1 });
    await friend.next('offer');
    slow.socket.resume();
    await until('the close frame', () => slow.closeCode() !== undefined || slow.ended, 5000);
    assert.equal(slow.closeCode(), 1013);
    slow.socket.destroy();
  }));
  for (const [name, sign] of [['plain pings', '{"type":"ping"}'], ['pings of another spelling', '{"type":"ping","t":1}']] as [string, string][]) {
    test(`who reads and shows it by ${name} is not cut`, () => withService(settings, async (service) => {
      const [sender, reader] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
      for (let n = 1; n <= 40; n += 1) {
        sender.send({ type: 'offer', target: reader.code, payload: { n, big } });
        assert.equal((await reader.next('offer')).payload.n, n);
        if (n % 5 === 0) {
          reader.sendRaw(sign);
          await reader.next('pong');
          // The runtime's own answers carry a time in whole milliseconds.
          await pause(5);
        }
      }
      await nobodyHeard(sender, [reader]);
    }));
  }
});
