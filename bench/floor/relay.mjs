// The floor's relay registry: relay peers with their sockets, points, tokens, sources, requesters and chunks as rows.
import { DurableObject } from "cloudflare:workers";

const MINUTE_MS = 60_000;
const [DAILY_TTL_MS, HOURLY_TTL_MS] = [48 * 60 * MINUTE_MS, 3 * 60 * MINUTE_MS];
const [SOURCE_TTL_MS, CACHE_TTL_MS, PENDING_TTL_MS] = [60 * MINUTE_MS, 30 * MINUTE_MS, 5 * MINUTE_MS];

const TABLES = `
  CREATE TABLE IF NOT EXISTS point (
    point TEXT, peerId TEXT, relayId TEXT, deadDrop TEXT, expires INTEGER, PRIMARY KEY (point, peerId)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS point_by_peer ON point (peerId);
  CREATE TABLE IF NOT EXISTS token (
    token TEXT, peerId TEXT, relayId TEXT, expires INTEGER, PRIMARY KEY (token, peerId)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS token_by_peer ON token (peerId);
  CREATE TABLE IF NOT EXISTS source (
    chunkId TEXT, peerId TEXT, expires INTEGER, PRIMARY KEY (chunkId, peerId)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS source_by_peer ON source (peerId);
  CREATE TABLE IF NOT EXISTS requester (
    chunkId TEXT, peerId TEXT, expires INTEGER, PRIMARY KEY (chunkId, peerId)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS requester_by_peer ON requester (peerId);
  CREATE TABLE IF NOT EXISTS chunk (chunkId TEXT PRIMARY KEY, data TEXT, expires INTEGER);`;

const hasRoom = (relay) => relay.connectedCount / relay.maxConnections < 0.5;

/** Its methods are named after the messages. */
export class Relay extends DurableObject {
  #socketByPeer = new Map();
  #requestersByChunk = new Map();
  #pulledChunks = new Set();
  #sql = this.ctx.storage.sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql.exec(TABLES);
    for (const socket of ctx.getWebSockets()) {
      const peer = socket.deserializeAttachment();
      if (peer) this.#socketByPeer.set((socket.peer = peer).peerId, socket);
    }
    for (const { chunkId, peerId } of this.#sql.exec("SELECT chunkId, peerId FROM requester")) this.#wait(chunkId, peerId);
    ctx.storage.setAlarm(Date.now() + 5 * MINUTE_MS);
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(socket, text) {
    const message = JSON.parse(text);
    if (message.peerId && !socket.peer) this.#keep(socket, { peerId: message.peerId });
    this[message.type](socket, message);
  }

  webSocketClose(socket, code) {
    const peerId = socket.peer?.peerId;
    this.#socketByPeer.delete(peerId);
    this.#sql.exec("DELETE FROM point WHERE peerId = ? AND deadDrop = ''", peerId);
    for (const table of ["token", "source", "requester"]) this.#sql.exec(`DELETE FROM ${table} WHERE peerId = ?`, peerId);
    for (const requesters of this.#requestersByChunk.values()) requesters.delete(peerId);
    socket.close(code === 1005 ? 1000 : code);
  }

  alarm() {
    const now = Date.now();
    for (const table of ["point", "token", "source", "requester", "chunk"]) this.#sql.exec(`DELETE FROM ${table} WHERE expires <= ?`, now);
    this.ctx.storage.setAlarm(now + 5 * MINUTE_MS);
  }

  register(socket, { peerId, maxConnections = 20, publicKey = null }) {
    this.#keep(socket, { peerId, maxConnections, publicKey, connectedCount: 0 });
    socket.send(JSON.stringify({ type: "registered", peerId, relays: this.#choose(socket, 10) }));
  }

  get_relays(socket, { count = 10 }) {
    socket.send(JSON.stringify({ type: "relays", relays: this.#choose(socket, count) }));
  }

  heartbeat(socket) {
    socket.send(JSON.stringify({ type: "heartbeat_ack", timestamp: Date.now() }));
  }

  register_rendezvous(socket, { peerId, relayId = null, dailyPoints = [], hourlyTokens = [], deadDrop = "" }) {
    const now = Date.now();
    const deadDrops = [];
    for (const point of dailyPoints) {
      const others = "SELECT peerId, deadDrop, relayId FROM point WHERE point = ? AND peerId <> ? AND expires > ? AND deadDrop <> ''";
      deadDrops.push(...this.#sql.exec(others, point, peerId, now));
      this.#sql.exec("INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?, ?)", point, peerId, relayId, deadDrop, now + DAILY_TTL_MS);
    }
    const met = new Map();
    for (const token of hourlyTokens) {
      const others = "SELECT peerId, relayId FROM token WHERE token = ? AND peerId <> ? AND expires > ?";
      for (const other of this.#sql.exec(others, token, peerId, now)) met.set(other.peerId, other);
      this.#sql.exec("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)", token, peerId, relayId, now + HOURLY_TTL_MS);
    }
    const liveMatches = [...met.values()].filter((other) => this.#socketByPeer.has(other.peerId));
    socket.send(JSON.stringify({ type: "rendezvous_result", liveMatches, deadDrops }));
    const match = JSON.stringify({ type: "rendezvous_match", match: { peerId, relayId } });
    for (const other of liveMatches) this.#socketByPeer.get(other.peerId).send(match);
  }

  chunk_announce(socket, { peerId, chunks }) {
    const expires = Date.now() + SOURCE_TTL_MS;
    for (const { chunkId } of chunks) this.#sql.exec("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", chunkId, peerId, expires);
    socket.send(JSON.stringify({ type: "chunk_announce_ack", registered: chunks.length }));
    for (const { chunkId } of chunks) if (this.#requestersByChunk.has(chunkId)) this.#pull(socket, chunkId);
  }

  chunk_request(socket, { peerId, chunkId }) {
    const now = Date.now();
    for (const { data } of this.#sql.exec("SELECT data FROM chunk WHERE chunkId = ? AND expires > ?", chunkId, now)) {
      return socket.send(JSON.stringify({ type: "chunk_data", chunkId, data: JSON.parse(data), source: "cache" }));
    }
    this.#wait(chunkId, peerId);
    this.#sql.exec("INSERT OR REPLACE INTO requester VALUES (?, ?, ?)", chunkId, peerId, now + PENDING_TTL_MS);
    if (this.#pulledChunks.has(chunkId)) return;
    for (const source of this.#sql.exec("SELECT peerId FROM source WHERE chunkId = ? AND expires > ?", chunkId, now).toArray()) {
      const holder = this.#socketByPeer.get(source.peerId);
      if (holder) return this.#pull(holder, chunkId);
    }
    socket.send(JSON.stringify({ type: "chunk_not_found", chunkId }));
  }

  chunk_push(socket, { chunkId, data }) {
    this.#sql.exec("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", chunkId, JSON.stringify(data), Date.now() + CACHE_TTL_MS);
    this.#sql.exec("DELETE FROM requester WHERE chunkId = ?", chunkId);
    socket.send(JSON.stringify({ type: "chunk_push_ack", chunkId }));
    const text = JSON.stringify({ type: "chunk_data", chunkId, data, source: "relay" });
    for (const peerId of this.#requestersByChunk.get(chunkId) ?? []) this.#socketByPeer.get(peerId)?.send(text);
    this.#requestersByChunk.delete(chunkId);
    this.#pulledChunks.delete(chunkId);
  }

  #pull(source, chunkId) {
    if (this.#pulledChunks.has(chunkId)) return;
    this.#pulledChunks.add(chunkId);
    source.send(JSON.stringify({ type: "chunk_pull", chunkId }));
  }

  #keep(socket, peer) {
    socket.serializeAttachment((socket.peer = peer));
    this.#socketByPeer.set(peer.peerId, socket);
  }

  #wait(chunkId, peerId) {
    if (!this.#requestersByChunk.has(chunkId)) this.#requestersByChunk.set(chunkId, new Set());
    this.#requestersByChunk.get(chunkId).add(peerId);
  }

  /** Some relays with room, drawn as Fisher and Yates do. */
  #choose(except, count) {
    const open = [];
    for (const socket of this.#socketByPeer.values()) if (socket !== except && socket.peer.maxConnections && hasRoom(socket.peer)) open.push(socket.peer);
    const relays = [];
    for (let left = open.length; left > 0 && relays.length < count; left--) {
      const at = Math.floor(Math.random() * left);
      const { peerId, publicKey, connectedCount, maxConnections } = open[at];
      relays.push({ peerId, publicKey, capacity: connectedCount / maxConnections });
      open[at] = open[left - 1];
    }
    return relays;
  }
}
