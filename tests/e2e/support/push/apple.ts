// Apple behind a relay: HTTP/1.1, with the checks that Apple makes of provider tokens, headers and payloads.

import { createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto';
import type { Settings } from '../service.ts';
import { Fake, json, jwtParts } from './fake.ts';
import type { Reply, Seen } from './fake.ts';

const KEY_ID = 'KEYID12345';
const TEAM_ID = 'TEAMID6789';
const TYPES = ['alert', 'background', 'complication', 'controls', 'fileprovider', 'liveactivity', 'location', 'mdm', 'pushtotalk', 'voip', 'widgets'];

export type Notification = { token: string; topic: string; headers: Record<string, string>; payload: any };

export const apnsError = (status: number, reason: string, more: object = {}): Reply => ({ status, body: { reason, ...more } });

export class Apns extends Fake {
  keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  /** What was accepted. */
  delivered: Notification[] = [];
  /** Device tokens that are dead, with what Apple says of them. Lower case. */
  dead = new Map<string, Reply>();
  /** Apps that our key may push to; empty for any. */
  topics: string[] = [];
  /** Provider tokens so far. */
  jwts = new Set<string>();
  /** Provider tokens that have ended, whatever their claims say. */
  expired = new Set<string>();
  relaySecret: string | undefined;

  static start(): Promise<Apns> {
    return new Apns().listen();
  }

  get settings(): Settings {
    const credentials = this.relaySecret === undefined ? '' : `:${this.relaySecret}@`;
    return {
      APNS_KEY_P8: String(this.keys.privateKey.export({ format: 'pem', type: 'pkcs8' })),
      APNS_KEY_ID: KEY_ID,
      APNS_TEAM_ID: TEAM_ID,
      APNS_BASE_URL: `http://${credentials}${this.host}`,
    };
  }

  /** Apple's answer to a device that has removed the app at this time. */
  static unregistered(since = Date.now()): Reply {
    return apnsError(410, 'Unregistered', { timestamp: since });
  }

  /** Notifications to one device. */
  to(token: string): Notification[] {
    return this.delivered.filter((notification) => notification.token.toLowerCase() === token.toLowerCase());
  }

  override answer(seen: Seen): Reply {
    const token = /^\/3\/device\/([^/]+)$/.exec(seen.path)?.[1];
    if (seen.method !== 'POST' || token === undefined) {
      this.complain(`asked for ${seen.method} ${seen.path}`);
      return apnsError(404, 'BadPath');
    }
    if (this.relaySecret !== undefined && seen.headers['relay-authorization'] !== `Bearer ${this.relaySecret}`) {
      this.complain('no secret for the relay');
      return apnsError(401, 'RelayUnauthorized');
    }
    const refusal = this.judgeToken(seen) ?? this.judgeNotification(seen, token);
    if (refusal !== undefined) {
      // That a token has ended is only known by asking; a dead device too.
      if (refusal[1] !== 'ExpiredProviderToken') this.complain(`${refusal[1]}: ${refusal[2]}`);
      return apnsError(refusal[0], refusal[1]);
    }
    const dead = this.dead.get(token.toLowerCase());
    if (dead !== undefined) return dead;
    const headers = Object.fromEntries(Object.entries(seen.headers).filter(([name]) => name.startsWith('apns-')).map(([name, value]) => [name, String(value)]));
    this.delivered.push({ token, topic: headers['apns-topic'] ?? '', headers, payload: json(seen) });
    return { status: 200, headers: { 'apns-id': randomUUID() } };
  }

  private judgeToken(seen: Seen): [number, string, string] | undefined {
    const [scheme, jwt = ''] = (seen.headers.authorization ?? '').split(' ');
    if (scheme !== 'bearer') return [403, 'MissingProviderToken', String(scheme)];
    const { header, claims, input, signature } = jwtParts(jwt);
    if (header.alg !== 'ES256' || header.kid !== KEY_ID || claims.iss !== TEAM_ID) return [403, 'InvalidProviderToken', JSON.stringify([header, claims])];
    const key = createPublicKey(this.keys.publicKey.export({ format: 'pem', type: 'spki' }));
    if (!verify('sha256', input, { key, dsaEncoding: 'ieee-p1363' }, signature)) return [403, 'InvalidProviderToken', 'signature'];
    const age = Date.now() / 1000 - claims.iat;
    if (age > 3600 || age < -60 || this.expired.has(jwt)) return [403, 'ExpiredProviderToken', `${age} s`];
    this.jwts.add(jwt);
    return undefined;
  }

  private judgeNotification(seen: Seen, token: string): [number, string, string] | undefined {
    const header = (name: string): string | undefined => seen.headers[name] as string | undefined;
    if (!/^([0-9a-fA-F]{2})+$/.test(token)) return [400, 'BadDeviceToken', token];
    const topic = header('apns-topic');
    if (topic === undefined) return [400, 'MissingTopic', ''];
    if (this.topics.length > 0 && !this.topics.includes(topic)) return [400, 'TopicDisallowed', topic];
    if (!['10', '5', '1', undefined].includes(header('apns-priority'))) return [400, 'BadPriority', String(header('apns-priority'))];
    const type = header('apns-push-type');
    if (type !== undefined && !TYPES.includes(type)) return [400, 'InvalidPushType', type];
    if (!/^\d{1,11}$/.test(header('apns-expiration') ?? '0')) return [400, 'BadExpirationDate', String(header('apns-expiration'))];
    if (Buffer.byteLength(header('apns-collapse-id') ?? '') > 64) return [400, 'BadCollapseId', ''];
    if (seen.body.length === 0) return [400, 'PayloadEmpty', ''];
    if (seen.body.length > 4096) return [413, 'PayloadTooLarge', `${seen.body.length}`];
    return undefined;
  }
}
