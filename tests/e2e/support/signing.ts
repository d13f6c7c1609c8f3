// What a relay server signs and what a client verifies, from the specification's words and node:crypto alone.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Compact JSON with the keys of every object sorted. */
export function canonical(value: any): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** The private key of a 32-byte seed. */
export function fromSeed(seed: Buffer): KeyObject {
  const wrapped = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPrivateKey({ key: wrapped, format: 'der', type: 'pkcs8' });
}

/** The 32 bytes of a public key. */
export function rawPublic(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
}

export function verifies(publicKey: Buffer, bytes: Buffer, signature: string): boolean {
  const wrapped = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  const key = createPublicKey({ key: wrapped, format: 'der', type: 'spki' });
  return verify(null, bytes, key, Buffer.from(signature, 'base64'));
}

export function kid(publicKey: Buffer): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, 8);
}

/** A relay server that owns a key. */
export class Relay {
  key: KeyObject;
  publicKey: string;
  serverId: string;
  constructor(serverId?: string) {
    this.key = generateKeyPairSync('ed25519').privateKey;
    const raw = rawPublic(this.key);
    this.publicKey = raw.toString('base64');
    this.serverId = serverId ?? `ed25519:${raw.toString('base64url')}`;
  }

  sign(text: string): string {
    return sign(null, Buffer.from(text), this.key).toString('base64');
  }

  /** Signed in full: every member of the body but the signature. */
  signed(body: Record<string, unknown>): Record<string, unknown> {
    return { ...body, signature: this.sign(canonical(body)) };
  }

  registration(more: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      serverId: this.serverId,
      endpoint: 'wss://relay.example:9000',
      publicKey: this.publicKey,
      region: 'eu-1',
      timestamp: Date.now(),
      nonce: randomUUID(),
      ...more,
    };
  }

  /** Signed as the newest servers in the field do: five members only. */
  signedLegacy(more: Record<string, unknown> = {}): Record<string, unknown> {
    const body = this.registration(more);
    const { endpoint, publicKey, region, serverId, timestamp } = body;
    return { ...body, signature: this.sign(JSON.stringify({ endpoint, publicKey, region, serverId, timestamp })) };
  }

  beat(sequenceNumber: number, more: Record<string, unknown> = {}): Record<string, unknown> {
    return { serverId: this.serverId, timestamp: Date.now(), nonce: randomUUID(), sequenceNumber, ...more };
  }

  leaving(more: Record<string, unknown> = {}): Record<string, unknown> {
    const proof = { nonce: randomUUID() as unknown, timestamp: Date.now() as unknown, ...more };
    const text = canonical({ action: 'unregister', nonce: proof.nonce, serverId: this.serverId, timestamp: proof.timestamp });
    return { timestamp: proof.timestamp, nonce: proof.nonce, signature: this.sign(text) };
  }
}
