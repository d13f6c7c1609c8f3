// The floor's parties: one object per party, a row per peer, and a row written per heartbeat.
import { DurableObject } from "cloudflare:workers";

const json = (value) => new Response(JSON.stringify(value), { headers: { "Content-Type": "application/json" } });

export class Party extends DurableObject {
  #sql = this.ctx.storage.sql;
  #party;
  #peers = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql.exec("CREATE TABLE IF NOT EXISTS party (one INTEGER PRIMARY KEY, entry TEXT)");
    this.#sql.exec("CREATE TABLE IF NOT EXISTS peer (id TEXT PRIMARY KEY, entry TEXT, seen INTEGER)");
    for (const { entry } of this.#sql.exec("SELECT entry FROM party")) this.#party = JSON.parse(entry);
    for (const { id, entry } of this.#sql.exec("SELECT id, entry FROM peer")) this.#peers.set(id, JSON.parse(entry));
  }

  async fetch(request) {
    const [, , partyId, what, peerId] = new URL(request.url).pathname.split("/");
    if (request.method === "GET") return json({ party: this.#whole() });
    if (what === "peers") {
      const now = Date.now();
      this.#peers.get(peerId).last_seen = new Date(now).toISOString();
      this.#sql.exec("UPDATE peer SET seen = ? WHERE id = ?", now, peerId);
      return json({ status: "ok" });
    }
    const { name, peer_info, host_peer_info } = await request.json();
    if (host_peer_info) {
      this.#party = { party_id: partyId, name, host_id: host_peer_info.peer_id, created_at: new Date().toISOString() };
      this.#sql.exec("INSERT OR REPLACE INTO party VALUES (1, ?)", JSON.stringify(this.#party));
    }
    const peer = peer_info ?? host_peer_info;
    this.#peers.set(peer.peer_id, peer);
    this.#sql.exec("INSERT OR REPLACE INTO peer VALUES (?, ?, ?)", peer.peer_id, JSON.stringify(peer), Date.now());
    return json({ party_id: partyId, party: this.#whole() });
  }

  #whole() {
    return { ...this.#party, peers: Object.fromEntries(this.#peers) };
  }
}

/** The party that a request names; of a new one, the body names it. */
export async function toParty(request, env) {
  const partyId = new URL(request.url).pathname.split("/")[2];
  if (partyId) return env.PARTY.getByName(partyId).fetch(request);
  const body = await request.text();
  const { party_id } = JSON.parse(body);
  return env.PARTY.getByName(party_id).fetch(`http://floor/parties/${party_id}`, { method: "POST", body });
}
