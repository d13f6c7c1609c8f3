// An HTTP client that costs little: prepared request bytes on one kept connection, one request in flight.
import { connect } from "node:net";

export function request(method, path, { headers = {}, body } = {}) {
  const text = body === undefined ? "" : JSON.stringify(body);
  const all = { Host: "127.0.0.1", ...(text && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${text}`);
}

export class Connection {
  #socket;
  #pieces = [];
  #have = 0;
  #need = 0;
  #status = 0;
  #done;

  static async open(port) {
    const connection = new Connection();
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    connection.#socket = socket;
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.on("data", (data) => connection.#data(data));
    socket.on("error", () => {});
    return connection;
  }

  /** Sends and resolves to the status; `ask.text` is the whole answer, head and body. */
  send(bytes) {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#socket.write(bytes);
    });
  }

  get answer() {
    return Buffer.concat(this.#pieces).toString();
  }

  close() {
    this.#socket.destroy();
  }

  #data(data) {
    if (this.#need === 0) {
      this.#pieces = [data];
      this.#have = data.length;
      const whole = data.latin1Slice(0, Math.min(data.length, 4096));
      const head = whole.indexOf("\r\n\r\n");
      this.#status = Number(whole.slice(9, 12));
      const [, length = "0"] = /content-length: (\d+)/i.exec(whole.slice(0, head)) ?? [];
      this.#need = head + 4 + (this.#status === 304 ? 0 : Number(length));
    } else {
      this.#pieces.push(data);
      this.#have += data.length;
    }
    if (this.#have < this.#need) return;
    this.#need = 0;
    this.#done(this.#status);
  }
}
