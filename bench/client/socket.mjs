// A WebSocket client that costs little, so that on two cores the server is what is measured: frames are prepared once
// (masked with a key of zeros, which RFC 6455 allows), and what arrives is looked at only as far as a case needs.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";

/** A whole client frame of that text. */
export function frame(value, opcode = 1) {
  const payload = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
  const lengthBytes = payload.length < 126 ? 0 : payload.length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + lengthBytes + 4);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | { 0: payload.length, 2: 126, 8: 127 }[lengthBytes];
  if (lengthBytes > 0) head.writeUIntBE(payload.length, 2 + Math.max(0, lengthBytes - 6), Math.min(lengthBytes, 6));
  return Buffer.concat([head, payload]);
}

const CLOSE = frame(Buffer.from([3, 232]).toString("latin1"), 8);

export class Socket {
  /** Called with the payload bytes of each frame; the next one waits until it returns. */
  onframe = () => {};
  #tcp;
  #rest;

  static open(port, path = "/signaling", headers = {}) {
    const socket = new Socket();
    const tcp = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.#tcp = tcp;
    const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    tcp.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n${more}\r\n`,
    );
    return new Promise((resolve, reject) => {
      tcp.once("error", reject);
      tcp.once("data", (data) => {
        const head = data.indexOf("\r\n\r\n");
        if (!data.toString("latin1", 0, 12).endsWith("101")) return reject(new Error(data.toString("latin1", 0, 400)));
        tcp.on("data", (more) => socket.#data(more));
        tcp.on("error", () => {});
        if (data.length > head + 4) socket.#data(data.subarray(head + 4));
        resolve(socket);
      });
    });
  }

  send(bytes) {
    this.#tcp.write(bytes);
  }

  /** The next frame as text. */
  next() {
    return new Promise((resolve) => {
      this.onframe = (payload) => {
        this.onframe = () => {};
        resolve(payload.toString());
      };
    });
  }

  async ask(bytes) {
    const answer = this.next();
    this.send(bytes);
    return answer;
  }

  close() {
    this.#tcp.end(CLOSE);
    this.#tcp.resume();
  }

  #data(data) {
    let bytes = this.#rest ? Buffer.concat([this.#rest, data]) : data;
    while (bytes.length >= 2) {
      const short = bytes[1] & 127;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (bytes.length < start) break;
      const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
      if (bytes.length < start + length) break;
      if ((bytes[0] & 15) === 1) this.onframe(bytes.subarray(start, start + length));
      bytes = bytes.subarray(start + length);
    }
    this.#rest = bytes.length > 0 ? bytes : undefined;
  }
}
