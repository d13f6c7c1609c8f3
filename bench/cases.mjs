// The cases. Each drives one server for a stretch of time: (server, ms) → { perSecond, p50Ms, p99Ms, cpuUs }.
import { randomBytes } from "node:crypto";
import { newCode } from "../scripts/lib/peer.mjs";
import { Connection, request } from "./client/http.mjs";
import { frame, Socket } from "./client/socket.mjs";
import { stretch } from "./measure.mjs";

const LANES = 16;
const key = () => randomBytes(32).toString("base64");
const registerFrame = (code) => frame({ type: "register", pairingCode: code, publicKey: key() });

export async function registered(server) {
  const socket = await Socket.open(server.port);
  socket.code = newCode();
  const answer = await socket.ask(registerFrame(socket.code));
  if (!answer.includes('"registered"')) throw new Error(`${server.name} answered ${answer} to register`);
  return socket;
}

/** Offers of 1 KB go to and fro within each pair, one in flight; an operation is one relayed message. */
export const relay = (pairs) => async (server, ms) => {
  const sockets = [];
  for (let i = 0; i < 2 * pairs; i++) sockets.push(await registered(server));
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    Promise.all(
      sockets.filter((_, index) => index % 2 === 0).map((one, index) => {
        const other = sockets[2 * index + 1];
        return new Promise((finished) => {
          for (const [from, to] of [[one, other], [other, one]]) {
            const sdp = randomBytes(450).toString("hex");
            from.offer = frame({ type: "offer", target: to.code, payload: { type: "offer", sdp } });
          }
          let sent = performance.now();
          const turn = (socket) => () => {
            const now = performance.now();
            done(now - sent);
            if (!on()) return finished();
            sent = now;
            socket.send(socket.offer);
          };
          one.onframe = turn(one);
          other.onframe = turn(other);
          one.send(one.offer);
        });
      }),
    ),
  );
  for (const socket of sockets) socket.close();
  return result;
};

async function lanes(count, lane) {
  await Promise.all(Array.from({ length: count }, (_, index) => lane(index)));
}

/** A new TCP connection, the upgrade, and a code registered. */
export const connect = (server, ms) =>
  stretch(server.pid, ms, ({ done, on }) =>
    lanes(8, async () => {
      while (on()) {
        const began = performance.now();
        const socket = await registered(server);
        done(performance.now() - began);
        socket.close();
      }
    }),
  );

/** Two sockets take new codes, one asks, the other accepts, both are matched. */
export const pairing = async (server, ms) => {
  const couples = [];
  for (let i = 0; i < LANES; i++) couples.push([await registered(server), await registered(server)]);
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    lanes(LANES, async (index) => {
      const [ann, ben] = couples[index];
      while (on()) {
        const began = performance.now();
        const [hers, his] = [newCode(), newCode()];
        const meet = (socket, code) => untilType(socket, "registered", registerFrame(code));
        await Promise.all([meet(ann, hers), meet(ben, his)]);
        const matched = untilType(ann, "pair_matched");
        await untilType(ben, "pair_incoming", frame({ type: "pair_request", targetCode: his }), ann);
        const accept = frame({ type: "pair_response", targetCode: hers, accepted: true });
        await Promise.all([matched, untilType(ben, "pair_matched", accept)]);
        done(performance.now() - began);
      }
    }),
  );
  for (const socket of couples.flat()) socket.close();
  return result;
};

/** Sends (from `sender`) and waits for a frame of that type; others, such as peer_left of the last round, go by. */
function untilType(socket, type, bytes, sender = socket) {
  return new Promise((resolve, reject) => {
    socket.onframe = (payload) => {
      const text = payload.toString();
      if (text.includes(`"${type}"`)) resolve();
      else if (text.includes('error"')) reject(new Error(`waiting for ${type}: ${text}`));
    };
    if (bytes) sender.send(bytes);
  });
}

/** The same prepared request again and again on each of 16 connections. */
export const http = (prepare, expected = 200) => async (server, ms) => {
  const bytes = await prepare(server);
  const connections = await Promise.all(Array.from({ length: LANES }, () => Connection.open(server.port)));
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    lanes(LANES, async (index) => {
      while (on()) {
        const began = performance.now();
        const status = await connections[index].send(Array.isArray(bytes) ? bytes[index % bytes.length] : bytes);
        if (status !== expected) throw new Error(`${server.name} answered ${status}: ${connections[index].answer}`);
        done(performance.now() - began);
      }
    }),
  );
  for (const connection of connections) connection.close();
  return result;
};

export async function once(server, bytes) {
  const connection = await Connection.open(server.port);
  const status = await connection.send(bytes);
  const { answer } = connection;
  connection.close();
  if (status !== 200) throw new Error(`${server.name} answered ${status}: ${answer}`);
  return answer;
}

export const serverId = (index) => `bench-${index}`;

export const registration = (index) =>
  request("POST", "/servers", {
    body: { serverId: serverId(index), endpoint: `wss://relay-${index}.example.com`, publicKey: "a".repeat(44), region: "eu-west", connections: 0 },
  });

export const beat = (index, connections = 7) =>
  request("POST", "/servers/heartbeat", { body: { serverId: serverId(index), connections } });

export async function registerServers(server, count) {
  for (let index = 0; index < count; index++) await once(server, registration(index));
}

export const hello = http(() => request("GET", "/hello"));
export const list = http(() => request("GET", "/servers"));
export const unchanged = http(async (server) => {
  const [, tag] = /^etag: (.+)$/im.exec(await once(server, request("GET", "/servers"))) ?? [];
  return request("GET", "/servers", { headers: { "If-None-Match": tag.trim() } });
}, 304);
export const heartbeat = http(() => Array.from({ length: 10 }, (_, index) => beat(index)));
export const reregister = http(() => Array.from({ length: 10 }, (_, index) => registration(index)));

/** The list while a server's load changes twenty times a second. */
export const changing = async (server, ms) => {
  const writer = await Connection.open(server.port);
  let load = 0;
  let sending = Promise.resolve();
  const timer = setInterval(() => (sending = sending.then(() => writer.send(beat(0, ++load)))), 50);
  const result = await list(server, ms);
  clearInterval(timer);
  await sending;
  writer.close();
  return result;
};
