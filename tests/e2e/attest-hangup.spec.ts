// A caller that hangs up in the middle of its body.

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { CI, Desk, newBuild } from './support/attest.ts';
import { assertCalm, until } from './support/service.ts';

test('a caller that hangs up is no fault of the service', async () => {
  const desk = await Desk.open();
  try {
    for (const [path, headers] of [['/attest/register', {}], ['/attest/upload-reference', CI]] as [string, Record<string, string>][]) {
      const socket = net.connect(desk.service.port, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise<void>((done) => socket.once('connect', () => done()));
      const lines = Object.entries({ Host: 'localhost', 'Content-Length': '2000', ...headers }).map((header) => header.join(': '));
      await new Promise<void>((done) => socket.write([`POST ${path} HTTP/1.1`, ...lines, '', '{"a":'].join('\r\n'), () => done()));
      socket.destroy();
      await until('its line in the log', () => desk.service.logs.some((line) => line.route === path));
    }
    assert.deepEqual(desk.service.logs.filter((line) => line.level === 'error'), []);
    assert.equal((await desk.register(newBuild(), 'd')).status, 200);
    assertCalm(desk.service);
  } finally {
    await desk.service.stop();
  }
});
