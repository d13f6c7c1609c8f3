// The module that the runtime loads: it instantiates the WASM module and hands every event to it.
//
// Our exports answer with values and never throw. So whatever is thrown out of WASM, the trap of a Rust panic or an
// exception of the platform that passed through Rust, has left Rust's memory in disorder: borrows that never end, values
// half written. It surfaces as an exception where the call was synchronous, and nowhere where it happened in a future; so
// all that wait are kept in `pending` and refused together, the module is instantiated anew, and every object rebuilds
// itself from storage and attachments at its next event. Nothing hangs.
import { DurableObject } from "cloudflare:workers";
import wasmModule from "./waystation.wasm";
import * as wasm from "./bindgen/waystation.js";
import { CONN, openObject } from "./glue.mjs";

let { memory } = wasm.initSync({ module: wasmModule });

/** Set by the panic hook: whether this instance must not be used again, and how many there have been. */
const life = wasm.__worker_init_state();

/** The reject functions of all promises that WASM owes an answer to. */
const pending = new Set();

/** This instance must not be used again, and owes nobody an answer any longer. */
function condemn(error) {
  life.criticalError = true;
  console.error(JSON.stringify({ ts: new Date().toISOString(), level: "error", event: "trap", message: String(error) }));
  for (const reject of pending) reject(error);
  pending.clear();
}

function renew() {
  wasm.__wbg_reset_state();
  memory = wasm.instance_memory();
  life.criticalError = false;
}

const encoder = new TextEncoder();

/** Writes text to where ObjectHost.text reads it. Returns its length in bytes. */
function writeText(text) {
  // A UTF-16 unit takes at most three bytes.
  const capacity = text.length * 3;
  const address = wasm.scratch(capacity);
  return encoder.encodeInto(text, new Uint8Array(memory.buffer, address, capacity)).written;
}

/** Runs a synchronous call into WASM. */
function guarded(call) {
  if (life.criticalError) renew();
  try {
    return call();
  } catch (error) {
    condemn(error);
    throw error;
  }
}

/** A promise of WASM that is refused when the instance dies. */
function kept(promise) {
  return new Promise((resolve, reject) => {
    pending.add(reject);
    promise.then(resolve, reject).finally(() => pending.delete(reject));
  });
}

// Futures are polled from microtasks. `then` on a settled promise costs a quarter of the runtime's `queueMicrotask`,
// and lets us see a trap that escapes a poll.
const settled = Promise.resolve();
globalThis.queueMicrotask = (task) => {
  settled.then(task).catch(condemn);
};

const unavailable = () =>
  new Response(
    '{"error":"Internal server error","type":"/docs#internal","title":"The service could not finish the request",' +
      '"status":500,"detail":"Internal server error","code":"internal"}',
    { status: 500, headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" } },
  );

export default {
  fetch(request, env) {
    try {
      const answer = guarded(() => wasm.fetch(request, env));
      return answer instanceof Response ? answer : kept(answer).catch(unavailable);
    } catch {
      return unavailable();
    }
  },
};

/** How long attachments may wait in memory. The runtime hibernates an object after ten seconds, and not while a timer runs. */
const SAVE_MS = 500;

/** Completes the closing handshake with the client's code. The runtime does not do it for hibernating sockets. */
function answerClose(socket, code) {
  try {
    // 1005, 1006 and 1015 mean that no code came, and may not be sent (RFC 6455, section 7.4.1).
    if (code === 1005 || code === 1006 || code === 1015) socket.close();
    else socket.close(code);
  } catch {
    // Closed by both sides already.
  }
}

/** A client's socket that another object serves: frames pass through both ways. */
class Pipe {
  #client;
  #upstream = null;
  #waiting;
  #ended;

  constructor(client, first, ended) {
    this.#client = client;
    this.#waiting = [first];
    this.#ended = ended;
  }

  /** Connects; `opening` is the answer of the other object to an upgrade. */
  async open(opening) {
    try {
      const upstream = (await opening).webSocket;
      if (!upstream) return this.#drop(1013);
      if (this.#waiting === null) return upstream.accept(), upstream.close(1001);
      upstream.accept();
      upstream.addEventListener("message", ({ data }) => this.#toClient(data));
      upstream.addEventListener("close", ({ code, reason }) => this.#drop(code, reason));
      upstream.addEventListener("error", () => this.#drop(1011));
      this.#upstream = upstream;
      for (const message of this.#waiting) upstream.send(message);
      this.#waiting = [];
    } catch {
      this.#drop(1011);
    }
  }

  send(message) {
    if (this.#upstream) this.#upstream.send(message);
    else if (this.#waiting !== null && this.#waiting.length < PIPE_WAITING_MAX) this.#waiting.push(message);
    else this.#drop(1013);
  }

  /** The client is gone. */
  close(code) {
    this.#ended();
    this.#waiting = null;
    if (this.#upstream) answerClose(this.#upstream, code);
  }

  #toClient(data) {
    try {
      this.#client.send(data);
    } catch {
      // Closing already; its close event follows.
    }
  }

  #drop(code, reason) {
    this.#ended();
    this.#waiting = null;
    try {
      if (code === 1005 || code === 1006 || code === 1015) this.#client.close();
      else this.#client.close(code, reason);
    } catch {
      // Closed already.
    }
  }
}

/** Frames that wait while a pipe is being connected. */
const PIPE_WAITING_MAX = 64;

/** The class of that name, backed by an ObjectHost of the current WASM instance. */
function durable(name) {
  return class extends DurableObject {
    #host;
    #generation;
    /** What the sockets that were handed over to other objects are connected to, by connection number. */
    #pipes = new Map();

    #hosted() {
      if (life.criticalError) renew();
      if (this.#generation !== life.instanceId) {
        this.#host = new wasm.ObjectHost(name, this.ctx, this.env, this.#portOf(life.instanceId));
        this.#generation = life.instanceId;
      }
      return this.#host;
    }

    /** The runtime hands an accepted socket to its events as another object, which is then the same for all of them. */
    #connOf(socket) {
      return (socket[CONN] ??= wasm.connOf(socket));
    }

    /** What a host of that WASM instance asks of us. What comes for a host that is no more is nobody's. */
    #portOf(generation) {
      const told = (lifetime, ticket, [kind, head, body]) => {
        if (generation !== life.instanceId || life.criticalError) return;
        this.#event((host) => host.told(lifetime, ticket, kind, head, body));
      };
      return {
        run: (lifetime, ticket, errand) => {
          const failed = ["failed", "other", undefined];
          const ended = kept(errand).then(
            (answer) => told(lifetime, ticket, answer),
            () => told(lifetime, ticket, failed),
          );
          this.ctx.waitUntil(ended);
        },
        transfer: (conn, socket, binding, object, head, first) => {
          const pipe = new Pipe(socket, first, () => this.#pipes.delete(conn));
          this.#pipes.set(conn, pipe);
          this.ctx.waitUntil(pipe.open(openObject(this.env, binding, object, head)));
        },
      };
    }

    call(head, body) {
      const answer = guarded(() => this.#hosted().call(head, body));
      return answer instanceof Promise ? kept(answer) : answer;
    }

    fetch(request) {
      const head = request.headers.get("X-Waystation-Call");
      return guarded(() => this.#hosted().open(head ?? ""));
    }

    /** Runs one event; `wantsSave` is what it answers. Nobody waits for an answer, so nobody is told of a trap. */
    #event(run) {
      try {
        const wantsSave = guarded(() => run(this.#hosted()));
        if (wantsSave) setTimeout(() => this.#event((host) => host.save()), SAVE_MS);
      } catch {
        // Logged; the next event finds a fresh instance.
      }
    }

    webSocketMessage(socket, message) {
      const pipe = this.#pipes.get(this.#connOf(socket));
      if (pipe) return pipe.send(message);
      this.#event((host) => {
        const conn = this.#connOf(socket);
        return typeof message === "string" ? host.text(conn, writeText(message)) : host.binary(conn, new Uint8Array(message));
      });
    }

    webSocketClose(socket, code) {
      answerClose(socket, code);
      this.#pipes.get(this.#connOf(socket))?.close(code);
      this.#event((host) => host.closed(this.#connOf(socket)));
    }

    webSocketError(socket) {
      this.#pipes.get(this.#connOf(socket))?.close(1006);
      this.#event((host) => host.closed(this.#connOf(socket)));
    }

    alarm() {
      this.#event((host) => host.alarm());
    }
  };
}

export const SignalingRoom = durable("SignalingRoom");
export const RelayRegistry = durable("RelayRegistry");
export const ServerRegistry = durable("ServerRegistry");
export const AttestationRegistry = durable("AttestationRegistry");
export const ReferenceStore = durable("ReferenceStore");
export const PartyRoom = durable("PartyRoom");
export const PartyIdentities = durable("PartyIdentities");
export const PartyDirectory = durable("PartyDirectory");
export const PartyGateway = durable("PartyGateway");
export const RemoteServer = durable("RemoteServer");
export const PushDirectory = durable("PushDirectory");
