// libsodium's sealed box and secret box in plain TypeScript, for what phones and servers do: slow, and nobody's secret.
// Node has X25519 only; Salsa20, Poly1305 and BLAKE2b follow D. J. Bernstein's papers and RFC 7693.

import { createHash, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));
const words = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length / 4 }, (_, i) => Buffer.from(bytes).readInt32LE(i * 4));
const at = (list: number[], index: number): number => list[index] ?? 0;
const SIGMA = words(Buffer.from('expand 32-byte k'));
const ROWS = [[0, 4, 8, 12], [5, 9, 13, 1], [10, 14, 2, 6], [15, 3, 7, 11], [0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]];

function salsa(key: Uint8Array, input: Uint8Array): { start: number[]; end: number[] } {
  const k = words(key);
  const n = words(input);
  const start = [
    at(SIGMA, 0), ...k.slice(0, 4), at(SIGMA, 1), ...n, at(SIGMA, 2), ...k.slice(4), at(SIGMA, 3),
  ];
  const x = [...start];
  for (let round = 0; round < 10; round += 1) {
    for (const [a = 0, b = 0, c = 0, d = 0] of ROWS) {
      x[b] = at(x, b) ^ rotate((at(x, a) + at(x, d)) | 0, 7);
      x[c] = at(x, c) ^ rotate((at(x, b) + at(x, a)) | 0, 9);
      x[d] = at(x, d) ^ rotate((at(x, c) + at(x, b)) | 0, 13);
      x[a] = at(x, a) ^ rotate((at(x, d) + at(x, c)) | 0, 18);
    }
  }
  return { start, end: x };
}

function toBytes(list: number[]): Buffer {
  const bytes = Buffer.alloc(list.length * 4);
  list.forEach((word, i) => bytes.writeInt32LE(word | 0, i * 4));
  return bytes;
}

function hsalsa20(key: Uint8Array, input: Uint8Array): Buffer {
  const { end } = salsa(key, input);
  return toBytes([0, 5, 10, 15, 6, 7, 8, 9].map((i) => at(end, i)));
}

function xsalsa20(key: Uint8Array, nonce: Uint8Array, length: number): Buffer {
  const subkey = hsalsa20(key, nonce.subarray(0, 16));
  const blocks: Buffer[] = [];
  for (let counter = 0; counter * 64 < length; counter += 1) {
    const input = Buffer.alloc(16);
    input.set(nonce.subarray(16));
    input.writeUInt32LE(counter, 8);
    const { start, end } = salsa(subkey, input);
    blocks.push(toBytes(end.map((word, i) => (word + at(start, i)) | 0)));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

const little = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex') || '0'}`);
function toLittle(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(length * 2, '0').slice(-length * 2), 'hex').reverse();
}

function poly1305(key: Uint8Array, message: Uint8Array): Buffer {
  const r = little(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let i = 0; i < message.length; i += 16) {
    const block = message.subarray(i, i + 16);
    sum = ((sum + little(block) + (1n << BigInt(block.length * 8))) * r) % ((1n << 130n) - 5n);
  }
  return toLittle(sum + little(key.subarray(16)), 16);
}

const MASK = (1n << 64n) - 1n;
const IV = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const ORDER = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4], [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13], [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11], [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5], [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const MIX = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];

/** BLAKE2b of at most one block, without a key. */
function blake2b(message: Uint8Array, length: number): Buffer {
  if (message.length > 128) throw new Error('one block only');
  const big = (list: bigint[], index: number): bigint => list[index] ?? 0n;
  const right = (value: bigint, by: bigint): bigint => ((value >> by) | (value << (64n - by))) & MASK;
  const block = Buffer.alloc(128);
  block.set(message);
  const m = Array.from({ length: 16 }, (_, i) => block.readBigUInt64LE(i * 8));
  const h = IV.map((word, i) => (i === 0 ? word ^ 0x01010000n ^ BigInt(length) : word));
  const v = [...h, ...IV];
  v[12] = big(v, 12) ^ BigInt(message.length);
  v[14] = big(v, 14) ^ MASK;
  for (let round = 0; round < 12; round += 1) {
    const order = ORDER[round % 10] ?? [];
    MIX.forEach(([a = 0, b = 0, c = 0, d = 0], i) => {
      v[a] = (big(v, a) + big(v, b) + big(m, at(order, 2 * i))) & MASK;
      v[d] = right(big(v, d) ^ big(v, a), 32n);
      v[c] = (big(v, c) + big(v, d)) & MASK;
      v[b] = right(big(v, b) ^ big(v, c), 24n);
      v[a] = (big(v, a) + big(v, b) + big(m, at(order, 2 * i + 1))) & MASK;
      v[d] = right(big(v, d) ^ big(v, a), 16n);
      v[c] = (big(v, c) + big(v, d)) & MASK;
      v[b] = right(big(v, b) ^ big(v, c), 63n);
    });
  }
  const out = Buffer.alloc(64);
  h.forEach((word, i) => out.writeBigUInt64LE(word ^ big(v, i) ^ big(v, i + 8), i * 8));
  return out.subarray(0, length);
}

const fromPrivate = (raw: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), raw]), format: 'der', type: 'pkcs8' });
const fromPublic = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), raw]), format: 'der', type: 'spki' });
const rawPublic = (key: KeyObject): Buffer => createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);

/** `crypto_secretbox_easy`: tag and ciphertext. */
export function secretbox(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Buffer {
  const stream = xsalsa20(key, nonce, 32 + plaintext.length);
  const ciphertext = Buffer.from(plaintext.map((byte, i) => byte ^ (stream[32 + i] ?? 0)));
  return Buffer.concat([poly1305(stream.subarray(0, 32), ciphertext), ciphertext]);
}

/** `crypto_box_seal`; the ephemeral private key only where a vector is checked. */
export function seal(publicKey: Uint8Array, plaintext: Uint8Array, ephemeral?: Uint8Array): Buffer {
  const own = ephemeral === undefined ? generateKeyPairSync('x25519').privateKey : fromPrivate(ephemeral);
  const ours = rawPublic(own);
  const shared = diffieHellman({ privateKey: own, publicKey: fromPublic(publicKey) });
  const nonce = blake2b(Buffer.concat([ours, publicKey]), 24);
  return Buffer.concat([ours, secretbox(hsalsa20(shared, Buffer.alloc(16)), nonce, plaintext)]);
}

/** A key pair for `PUSH_REGISTRATION_KEYS`, both halves in base64. */
export function registrationKeys(): { publicKey: string; privateKey: string } {
  const { privateKey } = generateKeyPairSync('x25519');
  const raw = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  return { publicKey: rawPublic(privateKey).toString('base64'), privateKey: raw.toString('base64') };
}

/** The name of a device token: the first 8 bytes of its SHA-256. */
export const tokenId = (token: string): string => createHash('sha256').update(token).digest().subarray(0, 8).toString('base64');
