// The floor: the smallest honest plain-JavaScript Worker that does the same job as the measured routes. It keeps what
// ours keeps (attachments for sockets, rows for servers and for what relay.mjs and attest.mjs list) and checks nothing.
import { DurableObject } from "cloudflare:workers";
import { attest } from "./attest.mjs";
import { toParty } from "./party.mjs";

export { Attest, AttestFile } from "./attest.mjs";
export { Party } from "./party.mjs";
export { Relay } from "./relay.mjs";

const json = (text) => new Response(text, { headers: { "Content-Type": "application/json" } });

export default {
  fetch(request, env) {
    const path = new URL(request.url).pathname;
    if (path === "/signaling") return env.ROOM.getByName("lobby").fetch(request);
    if (path.startsWith("/relay/")) return env.RELAY.getByName(path.slice(7)).fetch(request);
    if (path.startsWith("/attest/")) return attest(request, env, path);
    if (path.startsWith("/parties")) return toParty(request, env);
    if (path.startsWith("/servers")) return env.REGISTRY.getByName("global").fetch(request);
    return json('{"hello":"world"}');
  },
};

export class Room extends DurableObject {
  #socketByCode = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    for (const socket of ctx.getWebSockets()) {
      const peer = socket.deserializeAttachment();
      if (peer) this.#socketByCode.set((socket.code = peer.code), socket);
    }
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('{"type":"ping"}', '{"type":"pong"}'));
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(socket, text) {
    const message = JSON.parse(text);
    if (message.type === "register") {
      const code = message.pairingCode;
      this.#socketByCode.set((socket.code = code), socket);
      socket.serializeAttachment({ code, publicKey: message.publicKey });
      socket.send(JSON.stringify({ type: "registered", pairingCode: code }));
      return;
    }
    const { type, target, payload } = message;
    this.#socketByCode.get(target)?.send(JSON.stringify({ type, from: socket.code, payload }));
  }

  webSocketClose(socket, code) {
    this.#socketByCode.delete(socket.code);
    socket.close(code === 1005 ? 1000 : code);
  }
}

export class Registry extends DurableObject {
  #servers = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS server (id TEXT PRIMARY KEY, entry TEXT NOT NULL, seen INTEGER NOT NULL) STRICT");
    for (const { id, entry } of ctx.storage.sql.exec("SELECT id, entry FROM server")) this.#servers.set(id, JSON.parse(entry));
  }

  async fetch(request) {
    const body = await request.json();
    const now = Date.now();
    if (request.url.endsWith("/heartbeat")) {
      const server = this.#servers.get(body.serverId);
      server.connections = body.connections;
      server.lastSeen = now;
      this.ctx.storage.sql.exec("UPDATE server SET seen = ? WHERE id = ?", now, body.serverId);
      const peers = [...this.#servers.values()].filter((peer) => peer !== server && now - peer.lastSeen < 300_000);
      return json(JSON.stringify({ success: true, peers }));
    }
    const server = { ...body, registeredAt: now, lastSeen: now };
    this.#servers.set(body.serverId, server);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO server VALUES (?, ?, ?)", body.serverId, JSON.stringify(server), now);
    return json(JSON.stringify({ success: true, server }));
  }
}
