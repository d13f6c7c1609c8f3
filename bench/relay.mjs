// The cases of the relay registry, on `/relay/{name}`. Each prepares a room once, and is then driven for stretches.
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { frame, Socket } from "./client/socket.mjs";
import { bursts, cpuMs, stretch } from "./measure.mjs";

/** Peers of a burst, and registrations of each. */
const LANES = 11;
const BURST = 3;
/** What comes before a burst, such as peers that leave, must not cost it time. */
const SETTLE_MS = 15;
const HEARTBEAT = frame({ type: "heartbeat", peerId: "watcher" });
const POINTS = 3;
const TOKENS = 6;
/** Registrations in one message of the pre-fill: below the limits of 2,000 points, 2,000 tokens and 256 KiB. */
const FILL = 300;
/** UTF-16 units of the JSON text of a chunk, its two quotes counted. */
const CHUNK_UNITS = 65_536;

const name = (kind) => `${kind}_${randomBytes(16).toString("hex")}`;

async function answered(socket, message, type) {
  const answer = await socket.ask(Buffer.isBuffer(message) ? message : frame(message));
  if (!answer.includes(`"${type}"`)) throw new Error(`waiting for ${type}: ${answer.slice(0, 400)}`);
}

/** Sends, and lets frames go by until one of that type comes. */
function until(socket, bytes, type) {
  return new Promise((resolve) => {
    // The type comes first, and a chunk need not be searched for it.
    socket.onframe = (payload) => payload.subarray(0, 100).includes(`"${type}"`) && resolve();
    if (bytes) socket.send(bytes);
  });
}

/** Opens sockets, some at a time, and has each say something. */
async function crowd(server, room, count, greet) {
  const sockets = [];
  const lane = async () => {
    while (sockets.length < count) {
      const index = sockets.push(undefined) - 1;
      const socket = await Socket.open(server.port, `/relay/${room}`);
      await greet?.(socket, index);
      sockets[index] = socket;
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return sockets;
}

/** Lanes that answer one prepared message after the other, each with one in flight. */
const asking = (server, sockets, messages, type) => (ms) =>
  stretch(server.pid, ms, ({ done, on }) =>
    Promise.all(
      sockets.map(async (socket, lane) => {
        const own = messages[lane];
        for (let turn = 0; on(); turn++) {
          const began = performance.now();
          await answered(socket, own[turn % own.length], type);
          done(performance.now() - began);
        }
      }),
    ),
  );

/** Three points and six tokens that nobody else has. */
const registration = (peerId) => ({
  type: "register_rendezvous",
  peerId,
  dailyPoints: Array.from({ length: POINTS }, () => name("day")),
  hourlyTokens: Array.from({ length: TOKENS }, () => name("hr")),
});

/** `entries` live points and tokens, put in by big messages. */
async function fill(server, room, entries) {
  const [socket] = await crowd(server, room, 1);
  for (let left = Math.ceil(entries / (POINTS + TOKENS)); left > 0; left -= FILL) {
    const sets = Array.from({ length: Math.min(left, FILL) }, () => registration("base"));
    const all = (member) => sets.flatMap((set) => set[member]);
    const message = { ...sets[0], dailyPoints: all("dailyPoints"), hourlyTokens: all("hourlyTokens") };
    await answered(socket, message, "rendezvous_result");
  }
}

/**
 * Registrations of new points and tokens beside `entries` live ones. So that those stay as many, new peers come for a
 * burst of three registrations each, about 300 entries, and leave after it, which takes theirs along; only the
 * registrations are counted.
 */
export async function rendezvous(server, entries) {
  const room = `rendezvous-${entries}`;
  await fill(server, room, entries);
  const [watcher] = await crowd(server, room, 1);
  let peers = [];
  const prepare = async () => {
    for (const peer of peers) peer.close();
    peers = await crowd(server, room, LANES);
    const messages = peers.map(() => {
      const peerId = name("peer");
      return Array.from({ length: BURST }, () => frame(registration(peerId)));
    });
    await sleep(SETTLE_MS);
    await until(watcher, HEARTBEAT, "heartbeat_ack");
    return (done) =>
      Promise.all(
        peers.map(async (socket, lane) => {
          for (const message of messages[lane]) {
            const began = performance.now();
            await answered(socket, message, "rendezvous_result");
            done(performance.now() - began);
          }
        }),
      );
  };
  return async (ms) => {
    const result = await bursts(server.pid, ms, prepare);
    for (const peer of peers) peer.close();
    peers = [];
    return result;
  };
}

/** `count` relays with room; those who ask are no relays. */
export async function relayList(server, count) {
  const publicKey = randomBytes(32).toString("base64");
  await crowd(server, `relays-${count}`, count, (socket, index) =>
    answered(socket, { type: "register", peerId: `relay-${index}`, maxConnections: 20, publicKey }, "registered"),
  );
  const askers = await crowd(server, `relays-${count}`, 16);
  return asking(server, askers, askers.map(() => [frame({ type: "get_relays", count: 10 })]), "relays");
}

/** A source and those who ask it. */
export async function audience(server, count) {
  const [source] = await crowd(server, "chunks", 1);
  const requesters = await crowd(server, "chunks", count);
  return (some) => fanOut(server, source, requesters.slice(0, some));
}

/**
 * One chunk that nobody has: nine in ten ask for it, then its source announces it and is asked, then the others ask, and
 * when all are known to wait, the source pushes. The chunk's id is the hash of its data, as apps have it.
 */
async function fanOut(server, source, requesters) {
  const data = randomBytes(CHUNK_UNITS / 2).toString("hex").slice(2);
  const chunkId = createHash("sha256").update(data).digest("hex");
  const announcement = frame({ type: "chunk_announce", peerId: "source", chunks: [{ chunkId, routingHash: "bench" }] });
  const push = frame({ type: "chunk_push", peerId: "source", chunkId, data });
  const ask = (from, to) =>
    Promise.all(
      requesters.slice(from, to).map((socket, index) => {
        const peerId = `requester-${from + index}`;
        // A socket's heartbeat is answered after its request is kept.
        const bytes = Buffer.concat([frame({ type: "chunk_request", peerId, chunkId }), frame({ type: "heartbeat", peerId })]);
        return until(socket, bytes, "heartbeat_ack");
      }),
    );
  const early = Math.floor(0.9 * requesters.length);
  let pulls = 0;
  const began = performance.now();
  await ask(0, early);
  await new Promise((pulled) => {
    source.onframe = (payload) => {
      if (!payload.includes('"chunk_pull"')) return;
      pulls += 1;
      pulled();
    };
    source.send(announcement);
  });
  await ask(early);
  const queuedMs = performance.now() - began;
  const served = requesters.map((socket) => until(socket, undefined, "chunk_data"));
  const acknowledged = new Promise((resolve) => {
    source.onframe = (payload) => (payload.includes('"chunk_pull"') ? (pulls += 1) : resolve());
  });
  const cpu = cpuMs(server.pid);
  const pushed = performance.now();
  source.send(push);
  await Promise.all([...served, acknowledged]);
  return { ms: performance.now() - pushed, pulls, queuedMs, cpuMs: cpuMs(server.pid) - cpu };
}
