// Push: device registrations, and notifications to one and to twenty devices. FCM is a fake in this process, which
// answers at once; the floor keeps tokens as rows and sends the same requests, without credentials, queue or checks.
import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { at } from "../scripts/lib/run.mjs";
import { Connection, request } from "./client/http.mjs";
import { stretch } from "./measure.mjs";

const LANES = 16;
/** Devices of one user; we take a hundred at most. */
const DEVICES_PER_USER = 100;

/** A Firebase that delivers everything; how many messages it has seen. */
export async function startFirebase() {
  let seen = 0;
  const server = createServer({ keepAliveTimeout: 60_000 }, (incoming, answer) => {
    incoming.resume().on("end", () => {
      answer.setHeader("Content-Type", "application/json");
      if (incoming.url === "/token") return answer.end('{"access_token":"bench","expires_in":3600,"token_type":"Bearer"}');
      seen += 1;
      answer.end('{"name":"projects/bench/messages/1"}');
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = {
    type: "service_account",
    project_id: "bench",
    private_key: privateKey.export({ format: "pem", type: "pkcs8" }),
    client_email: "push@bench.iam.gserviceaccount.com",
    token_uri: `${url}/token`,
  };
  const settings = {
    FCM_SERVICE_ACCOUNT: JSON.stringify(account),
    FCM_BASE_URL: url,
    FCM_TOKEN_URL: `${url}/token`,
    PUSH_TRANSFER_KEY: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    PUSH_RATE_LIMIT: "10000/1",
    DNS_QUERY_URL: "",
  };
  return { settings, seen: () => seen, stop: () => server.closeAllConnections() ?? server.close() };
}

/** The configuration of a server that may reach this machine, where the fake is. */
export function reachingLocal(path, name) {
  const text = readFileSync(path, "utf8").replaceAll('allow = ["public"]', 'allow = ["public", "private"]');
  const folder = at("bench/results");
  mkdirSync(folder, { recursive: true });
  const to = `${folder}/${name}-local.capnp`;
  const from = path.slice(0, path.lastIndexOf("/"));
  writeFileSync(to, text.replaceAll(/embed "([^"]+)"/g, (_, file) => `embed "${relative(folder, `${from}/${file}`)}"`));
  return to;
}

export const form = (path, fields, headers) => {
  const text = new URLSearchParams(fields).toString();
  const all = { Host: "127.0.0.1", "Content-Type": "application/x-www-form-urlencoded", "Content-Length": Buffer.byteLength(text), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST /api/v1/remotes/${path} HTTP/1.1\r\n${lines.join("")}\r\n${text}`);
};

const token = () => randomBytes(80).toString("base64url");

export async function good(server, connection, bytes) {
  const status = await connection.send(bytes);
  if (status !== 200) throw new Error(`${server.name} answered ${status}: ${connection.answer}`);
}

/** Registers a server; the headers that name it. */
export async function registered(server, connection) {
  const [uuid, key] = [randomUUID(), randomBytes(32).toString("hex")];
  const entry = { zulip_org_id: uuid, zulip_org_key: key, hostname: `${uuid}.zulip.test`, contact_email: "admin@zulip.test" };
  await good(server, connection, form("server/register", entry));
  return { Authorization: `Basic ${Buffer.from(`${uuid}:${key}`).toString("base64")}` };
}

/** A registered server with `devices` devices besides those of its user 1, who has `own`. */
export async function prepareServer(server, devices, own) {
  const connections = await Promise.all(Array.from({ length: LANES }, () => Connection.open(server.port)));
  const headers = await registered(server, connections[0]);
  // Who has never said how many people there are may not push.
  const nobody = { realm_counts: "[]", installation_counts: "[]", realmauditlog_rows: "[]" };
  await good(server, connections[0], form("server/analytics", nobody, headers));
  const device = (user) => form("push/register", { user_id: String(user), token: token(), token_kind: "2" }, headers);
  let next = 0;
  await Promise.all(
    connections.map(async (connection) => {
      while (next < devices + own) {
        const index = next++;
        await good(server, connection, device(index < own ? 1 : 2 + Math.floor(index / DEVICES_PER_USER)));
      }
    }),
  );
  for (const connection of connections) connection.close();
  let user = 1_000_000;
  const notification = { user_id: 1, gcm_payload: { event: "message", content: "Hello" }, gcm_options: { priority: "high" } };
  const bytes = request("POST", "/api/v1/remotes/push/notify", { headers, body: notification });
  return { register: () => device(Math.floor(user++ / DEVICES_PER_USER)), notify: () => bytes };
}

/** The same kind of request on each of `lanes` connections. */
export const drive = (prepared, what, lanes = LANES) => async (server, ms) => {
  const connections = await Promise.all(Array.from({ length: lanes }, () => Connection.open(server.port)));
  const result = await stretch(server.pid, ms, ({ done, on }) =>
    Promise.all(
      connections.map(async (connection) => {
        while (on()) {
          const began = performance.now();
          await good(server, connection, prepared[what]());
          done(performance.now() - began);
        }
      }),
    ),
  );
  for (const connection of connections) connection.close();
  return result;
};
