// The floor's push: one object per server, a row per device, and a request to FCM per device of the user; its uploads are
// in analytics.mjs.
import { DurableObject } from "cloudflare:workers";
import { mayPush, status, TABLES, upload } from "./analytics.mjs";

const done = (more = {}) =>
  new Response(JSON.stringify({ result: "success", msg: "", ...more }), { headers: { "Content-Type": "application/json" } });

export class Push extends DurableObject {
  #sql = this.ctx.storage.sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql.exec("CREATE TABLE IF NOT EXISTS device (user INTEGER, token TEXT, PRIMARY KEY (user, token)) WITHOUT ROWID");
    this.#sql.exec(TABLES);
  }

  async fetch(request) {
    if (request.url.endsWith("/notify")) {
      const { user_id, realm_uuid, gcm_payload } = await request.json();
      const realm = realm_uuid === undefined ? null : mayPush(this.#sql, realm_uuid);
      const tokens = this.#sql.exec("SELECT token FROM device WHERE user = ?", user_id).toArray();
      await Promise.all(
        tokens.map(async ({ token }) => {
          const body = JSON.stringify({ message: { token, data: gcm_payload, android: { priority: "HIGH" } } });
          const headers = { Authorization: "Bearer bench", "Content-Type": "application/json" };
          const answer = await fetch(`${this.env.FCM_BASE_URL}/v1/projects/bench/messages:send`, { method: "POST", headers, body });
          await answer.text();
        }),
      );
      return done({ total_android_devices: tokens.length, realm });
    }
    if (request.url.endsWith("/analytics/status")) return done(status(this.#sql));
    const form = new URLSearchParams(await request.text());
    if (request.url.endsWith("/analytics")) return done({ realms: upload(this.ctx.storage, form) });
    if (request.url.endsWith("/push/register")) {
      this.#sql.exec("INSERT OR IGNORE INTO device VALUES (?, ?)", Number(form.get("user_id")), form.get("token"));
    }
    return done();
  }
}

/** The object of the server that the credentials name. */
export const toPush = (request, env) => env.PUSH.getByName(request.headers.get("authorization") ?? "nobody").fetch(request);
