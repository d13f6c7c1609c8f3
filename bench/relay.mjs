// The cases of the relay registry, on `/relay/{name}`. Each prepares a room once, and is then driven for stretches.
import { createHash, randomBytes } from "node:crypto";
import { frame, Socket } from "./client/socket.mjs";
import { cpuMs, stretch } from "./measure.mjs";

/** One registration of nine entries in each of eleven lanes is the smallest population, of 99. */
const LANES = 11;
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

/**
 * About `entries` live points and tokens of eleven peers, put in by big messages. What is measured puts them in again,
 * three points and six tokens of its own in each message, all in turn: so the number stays what it is, and as much is
 * touched as is there.
 */
export async function rendezvous(server, entries) {
  const perLane = Math.floor(entries / LANES / (POINTS + TOKENS));
  const messages = [];
  const sockets = await crowd(server, `rendezvous-${entries}`, LANES, async (socket, lane) => {
    const peerId = `peer-${lane}`;
    const sets = Array.from({ length: perLane }, () => ({
      dailyPoints: Array.from({ length: POINTS }, () => name("day")),
      hourlyTokens: Array.from({ length: TOKENS }, () => name("hr")),
    }));
    for (let from = 0; from < perLane; from += FILL) {
      const some = sets.slice(from, from + FILL);
      const [dailyPoints, hourlyTokens] = [some.flatMap((set) => set.dailyPoints), some.flatMap((set) => set.hourlyTokens)];
      await answered(socket, { type: "register_rendezvous", peerId, dailyPoints, hourlyTokens }, "rendezvous_result");
    }
    messages[lane] = sets.map((set) => frame({ type: "register_rendezvous", peerId, ...set }));
  });
  return asking(server, sockets, messages, "rendezvous_result");
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
