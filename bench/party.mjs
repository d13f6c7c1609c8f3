// Parties: 64 of four peers each, and a hot one of 200. The floor has no tokens and believes everybody.
import { Connection, request } from "./client/http.mjs";
import { stretch } from "./measure.mjs";

export const PARTIES = 64;
export const PEERS = 4;
export const HOT_PEERS = 200;

const hex = (number, digits = 12) => number.toString(16).padStart(digits, "0");

/** Every peer comes from a network of its own, as in life; no limit per network is met. */
const address = (number) => `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;

const entry = (peerId) => ({
  peer_id: peerId,
  name: `Player ${peerId}`,
  public_key: "k".repeat(44),
  nat_type: "full_cone",
  public_ip: "203.0.113.7",
  public_port: 51820,
  local_ip: "192.168.1.20",
  local_port: 51820,
  last_seen: new Date().toISOString().slice(0, -1),
});

async function ask(connection, bytes, server) {
  const status = await connection.send(bytes);
  if (status !== 200) throw new Error(`${server.name} answered ${status}: ${connection.answer}`);
  return JSON.parse(connection.answer.split("\r\n\r\n")[1]);
}

let networks = 0;

/** Opens a party with `count` peers; resolves to what its members send. */
async function gather(server, connection, partyId, count) {
  const members = [];
  for (let index = 0; index < count; index++) {
    const peerId = `${partyId}-${index}`;
    const headers = { "CF-Connecting-IP": address((networks += 1)) };
    if (server.name === "ours") {
      const { token } = await ask(connection, request("POST", `/auth/register?peer_id=${peerId}`, { headers, body: {} }), server);
      headers.Authorization = `Bearer ${token}`;
    }
    const join = request("POST", `/parties/${partyId}/join`, { headers, body: { party_id: partyId, peer_info: entry(peerId) } });
    if (index === 0) {
      const body = { name: "Bench", party_id: partyId, host_peer_info: entry(peerId) };
      await ask(connection, request("POST", "/parties", { headers, body }), server);
    } else {
      await ask(connection, join, server);
    }
    members.push({
      join,
      heartbeat: request("POST", `/parties/${partyId}/peers/${peerId}/heartbeat`, { headers }),
      get: request("GET", `/parties/${partyId}`, { headers }),
    });
  }
  return members;
}

/** 64 parties of four. */
export async function prepareParties(server) {
  const connection = await Connection.open(server.port);
  const members = [];
  for (let party = 0; party < PARTIES; party++) members.push(...(await gather(server, connection, hex(party + 1), PEERS)));
  connection.close();
  return members;
}

/** One party of 200. */
export async function prepareHotParty(server) {
  const connection = await Connection.open(server.port);
  const members = await gather(server, connection, hex(0xffff), HOT_PEERS);
  connection.close();
  return members;
}

/** Each of `lanes` connections asks for its members in turn. */
export const drive = (members, what, lanes) => async (server, ms) => {
  const connections = await Promise.all(Array.from({ length: lanes }, () => Connection.open(server.port)));
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    Promise.all(
      connections.map(async (connection, lane) => {
        for (let turn = lane; on(); turn += lanes) {
          const began = performance.now();
          const status = await connection.send(members[turn % members.length][what]);
          if (status !== 200) throw new Error(`${server.name} answered ${status} to ${what}: ${connection.answer}`);
          done(performance.now() - began);
        }
      }),
    ),
  );
  for (const connection of connections) connection.close();
  return result;
};
