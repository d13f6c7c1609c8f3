// npm run demo [-- URL]: two relays and two phones use the running service, and every step is told.
import { createPublicKey, generateKeyPairSync, randomUUID, sign, verify } from "node:crypto";
import { Peer } from "./lib/peer.mjs";
import { bold, dim, green, main, say, Trouble } from "./lib/say.mjs";
import { needPackages } from "./lib/tools.mjs";

const base = (process.argv[2] ?? `http://127.0.0.1:${process.env.PORT || 8787}`).replace(/\/+$/, "");
const bearer = process.env.SERVER_REGISTRY_SECRET && { Authorization: `Bearer ${process.env.SERVER_REGISTRY_SECRET}` };

const chapter = (text) => say(`\n${bold(text)}`);
const tell = (who, text) => say(`  ${who.padEnd(9)} ${text}`);
const check = (text) => say(`  ${green("✓")} ${text}`);

async function ask(method, path, body) {
  const headers = { ...bearer, ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) }).catch((error) => {
    throw new Trouble(`Nothing answers at ${base} (${error.cause?.code ?? error.message}): start the service with npm start.`);
  });
  const text = await answer.text();
  if (answer.ok) return { text, headers: answer.headers, json: JSON.parse(text) };
  if (answer.status === 401) {
    throw new Trouble(`${base} wants proof from relays: set SERVER_REGISTRY_SECRET to what the service has, and run this again.`);
  }
  throw new Trouble(`${method} ${path} was refused with ${answer.status}: ${text.slice(0, 300)}`);
}

/** Compact JSON with sorted keys: what a relay signs. Every value here is flat. */
const canonical = (body) => JSON.stringify(body, Object.keys(body).sort());

class Relay {
  #key = generateKeyPairSync("ed25519").privateKey;
  #beats = 0;
  #run = randomUUID().slice(0, 8);

  constructor(name, style) {
    this.name = name;
    this.style = style;
    const raw = createPublicKey(this.#key).export({ format: "der", type: "spki" }).subarray(-32);
    this.publicKey = raw.toString("base64");
    this.id = `ed25519:${raw.toString("base64url")}`;
  }

  /** The newer members, which make a request count once and prove whose it is; older servers send none of them. */
  #proven(body) {
    if (this.style === "plain") return body;
    const full = { ...body, timestamp: Date.now(), nonce: randomUUID() };
    return { ...full, signature: this.#sign(full) };
  }

  #sign(body) {
    return sign(null, Buffer.from(canonical(body)), this.#key).toString("base64");
  }

  async register() {
    const endpoint = `wss://${this.name}-${this.#run}.example.com`;
    const body = { serverId: this.id, endpoint, publicKey: this.publicKey, region: "demo", connections: 0 };
    await ask("POST", "/servers", this.#proven(body));
    tell(this.name, `registers ${endpoint}${this.style === "signed" ? ", signed with its own key" : ""}`);
  }

  async beat() {
    const order = this.style === "signed" && { sequenceNumber: ++this.#beats };
    const { json } = await ask("POST", "/servers/heartbeat", this.#proven({ serverId: this.id, connections: 3, ...order }));
    tell(this.name, `heartbeat: hears of ${json.peers.length} other server${json.peers.length === 1 ? "" : "s"}`);
  }

  async unregister() {
    let proof;
    if (this.style === "signed") {
      const moment = { timestamp: Date.now(), nonce: randomUUID() };
      proof = { ...moment, signature: this.#sign({ action: "unregister", serverId: this.id, ...moment }) };
    }
    await ask("DELETE", `/servers/${encodeURIComponent(this.id)}`, proof);
    tell(this.name, "unregisters");
  }
}

/** Fetches the list as a client does. Throws unless a key of `keys` signed exactly these bytes a moment ago. */
async function verifiedList(keys) {
  const { text, headers, json } = await ask("GET", "/servers");
  const signature = Buffer.from(headers.get("X-Bootstrap-Signature") ?? "", "base64");
  const good = keys.some((key) => {
    const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(key, "base64")]);
    return verify(null, Buffer.from(text), createPublicKey({ key: der, format: "der", type: "spki" }), signature);
  });
  if (!good) throw new Trouble("The signature of GET /servers is wrong: a client must not use this list.");
  const age = Math.abs(Date.now() - json.timestamp);
  if (age > 5 * 60_000) throw new Trouble(`The list of GET /servers is ${age} ms old: a client must not use it.`);
  return { servers: json.servers, bytes: text.length, signature };
}

async function bootstrap(relays) {
  chapter("Two relay servers come online");
  for (const relay of relays) await relay.register();
  for (const relay of relays) await relay.beat();

  chapter("A client looks for a relay");
  const { json } = await ask("GET", "/servers/keys");
  const keys = json.keys.map((key) => key.publicKey);
  tell("client", `GET /servers/keys: ${json.keys.map((key) => `${key.publicKey} (kid ${key.kid}, ${key.state})`).join(", ")}`);
  say(dim("            a real client has this key built in: a server cannot vouch for itself"));
  const { servers, bytes, signature } = await verifiedList(keys);
  tell("client", `GET /servers: ${servers.length} servers in ${bytes} bytes, signature ${signature.toString("base64").slice(0, 16)}…`);
  for (const relay of relays) {
    if (!servers.some((server) => server.serverId === relay.id)) throw new Trouble(`${relay.name} is not on the list.`);
  }
  check("the Ed25519 signature covers exactly these bytes, the list is fresh, and both relays are on it");
}

async function pair(ann, ben) {
  chapter("Two phones meet by a pairing code");
  for (const peer of [ann, ben]) {
    await peer.connect(`${base.replace(/^http/, "ws")}/signaling`);
    peer.send({ type: "register", pairingCode: peer.code, publicKey: peer.publicKey });
    await peer.hear("registered");
    tell(peer.name, `registers the code ${peer.code}`);
  }
  ann.send({ type: "pair_request", targetCode: ben.code });
  tell(ann.name, `asks ${ben.code} to pair`);
  const incoming = await ben.hear("pair_incoming");
  tell(ben.name, `hears pair_incoming from ${incoming.fromCode} and accepts`);
  ben.send({ type: "pair_response", targetCode: incoming.fromCode, accepted: true });
  const [first, second] = await Promise.all([ann.hear("pair_matched"), ben.hear("pair_matched")]);
  if (first.peerPublicKey !== ben.publicKey || second.peerPublicKey !== ann.publicKey) {
    throw new Trouble("A phone was told a wrong public key.");
  }
  check(`both are matched and know each other's public key; ${first.isInitiator ? ann.name : ben.name} is the initiator`);
}

async function connectThem(ann, ben) {
  chapter("They exchange what WebRTC needs");
  const sdp = (line) => ({ sdp: `v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=${line}\r\n` });
  const candidate = (port) => ({ candidate: `candidate:1 1 udp 1 192.0.2.1 ${port} typ host`, sdpMid: "0" });
  const steps = [
    [ann, ben, "offer", sdp("offer")],
    [ben, ann, "answer", sdp("answer")],
    [ann, ben, "ice_candidate", candidate(50_001)],
    [ben, ann, "ice_candidate", candidate(50_002)],
  ];
  for (const [from, to, type, payload] of steps) {
    const began = performance.now();
    from.send({ type, target: to.code, payload });
    const got = await to.hear(type);
    if (got.from !== from.code || JSON.stringify(got.payload) !== JSON.stringify(payload)) {
      throw new Trouble(`The ${type} did not arrive as it was sent.`);
    }
    tell(from.name, `${type} → ${to.name}, unchanged, ${(performance.now() - began).toFixed(1)} ms`);
  }
  await ann.leave();
  tell(ann.name, "leaves");
  const left = await ben.hear("peer_left");
  tell(ben.name, `hears peer_left of ${left.pairingCode}`);
  await ben.leave();
}

await main(async () => {
  await needPackages();
  const relays = [new Relay("relay-a", "signed"), new Relay("relay-b", "plain")];
  await ask("GET", "/health");
  say(`Waystation at ${base}`);
  await bootstrap(relays);
  const [ann, ben] = [new Peer("Ann"), new Peer("Ben")];
  await pair(ann, ben);
  await connectThem(ann, ben);
  chapter("The relays go");
  for (const relay of relays) await relay.unregister();
  say(green("\nEverything worked."));
});
