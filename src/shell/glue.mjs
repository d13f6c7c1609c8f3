// The JavaScript half of the shell: calls that are one crossing here and many from WASM.

/** Runs statements[i] with params[i], all of them or none. */
export function commitAll(storage, statements, params) {
  if (statements.length === 1) {
    storage.sql.exec(statements[0], ...params[0]);
    return;
  }
  storage.transactionSync(() => {
    for (let i = 0; i < statements.length; i++) storage.sql.exec(statements[i], ...params[i]);
  });
}

/** All rows of a SELECT. Draining the cursor at once keeps the compiled statement reusable. */
export function readAll(sql, statement, params) {
  return Array.from(sql.exec(statement, ...params).raw());
}

/** Headers from "name\nvalue\nname\nvalue". */
export function constantHeaders(text) {
  const headers = new Headers();
  setAll(headers, text);
  return headers;
}

function setAll(headers, text) {
  const parts = text.split("\n");
  for (let i = 0; i + 1 < parts.length; i += 2) headers.set(parts[i], parts[i + 1]);
}

export function respond(status, constant, headers, body) {
  const response = new Response(body, { status, headers: constant });
  setAll(response.headers, headers);
  return response;
}

/** A response with headers that are used again: what is set on them is set on every response made of them. */
export function respondAgain(status, prepared, headers, body) {
  setAll(prepared, headers);
  return new Response(body, { status, headers: prepared });
}

/** The parts of a request that the front looks at, one a line; an absent header is an empty line. */
export function readHead(request, clientAddressHeader) {
  const { headers, method } = request;
  const get = (name) => headers.get(name) ?? "";
  const writes = method !== "GET" && method !== "HEAD";
  return [
    method,
    request.url,
    get("upgrade"),
    get(clientAddressHeader),
    get("origin"),
    get("authorization"),
    get("if-none-match"),
    writes ? get("if-match") : "",
    writes ? get("content-type") : "",
    writes ? get("idempotency-key") : "",
    writes ? get("content-length") : "",
    get("x-request-id"),
    get("traceparent"),
    get("cookie"),
    writes ? get("waystation-signature") : "",
    writes ? get("x-csrftoken") : "",
  ].join("\n");
}

export function upgraded(socket) {
  return new Response(null, { status: 101, webSocket: socket });
}

export function callObject(env, binding, name, head, body) {
  return env[binding].getByName(name).call(head, body);
}

export function openObject(env, binding, name, head) {
  const headers = { Upgrade: "websocket", "X-Waystation-Call": head };
  return env[binding].getByName(name).fetch("http://object/", { headers });
}

/** The body as bytes, or undefined when it is longer than max. Never holds more than max plus one chunk. */
export async function readBody(request, max) {
  if (request.body === null) return new Uint8Array(0);
  const declared = request.headers.get("content-length");
  if (declared !== null) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    return bytes.length > max ? undefined : bytes;
  }
  return readAtMost(request.body, max);
}

/** Reads a body of at most max bytes; undefined when there are more. */
async function readAtMost(body, max) {
  const reader = body.getReader();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > max) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The word for why a request to the outside failed. The platform tells only by its message. */
function whyFailed(error) {
  if (error?.name === "TimeoutError" || error?.name === "AbortError") return "timed_out";
  const message = String(error?.message ?? error);
  if (/certificate|TLS|SSL/i.test(message)) return "untrusted";
  return /connect|network|dns|lookup|resolve|refused|reset|closed|disconnected|not allowed/i.test(message) ? "unreachable" : "other";
}

/** An HTTP request to the outside, without redirects and with an end. */
export async function fetchOutside(method, url, headers, body, timeoutMs, max) {
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const hasBody = body.length > 0 || method === "POST" || method === "PUT";
    const init = { method, headers: constantHeaders(headers), redirect: "manual", signal };
    const response = await fetch(url, hasBody ? { ...init, body } : init);
    const bytes = response.body === null ? new Uint8Array(0) : await readAtMost(response.body, max);
    if (bytes === undefined) return ["failed", "too_large", undefined];
    let head = String(response.status);
    for (const [name, value] of response.headers) head += `\n${name}\n${value}`;
    return ["fetched", head, bytes];
  } catch (error) {
    return ["failed", whyFailed(error), undefined];
  }
}

/** The imported key of the last PEM text; there is one. */
let rsaKey = { pem: "", key: null };

export async function signRs256(pem, message) {
  try {
    if (rsaKey.pem !== pem) {
      const der = Uint8Array.from(atob(pem.replace(/-----[^-]*-----|\s/g, "")), (letter) => letter.charCodeAt(0));
      const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
      rsaKey = { pem, key: await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]) };
    }
    return ["signed", "", new Uint8Array(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", rsaKey.key, message))];
  } catch {
    return ["failed", "other", undefined];
  }
}

export function lastAutoResponse(state, socket) {
  const time = state.getWebSocketAutoResponseTimestamp(socket);
  return time === null ? NaN : time.getTime();
}

export function setAlarm(storage, atMs) {
  // Not awaited: the write belongs to the event's own, and the runtime holds the answer back until it is durable.
  storage.setAlarm(atMs);
}

/** The property under which shim.mjs finds the connection number of a socket. */
export const CONN = Symbol.for("waystation.conn");

export function markSocket(socket, conn) {
  socket[CONN] = conn;
}

/** Sends one text to many sockets: one string crosses, however many they are. */
export function sendAll(sockets, text) {
  for (const socket of sockets) {
    try {
      socket.send(text);
    } catch {
      // Closing already; its close event follows.
    }
  }
}
