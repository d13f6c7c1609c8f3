// A peer as a phone would be one: a WebSocket, a pairing code, and messages awaited in order.
import { randomBytes, randomInt } from "node:crypto";
import { Trouble } from "./say.mjs";

const ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const DEADLINE_MS = 5_000;

export const newCode = () => Array.from({ length: 6 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");

export class Peer {
  code = newCode();
  publicKey = randomBytes(32).toString("base64");
  #socket;
  #waiting = [];
  #arrived = [];

  constructor(name) {
    this.name = name;
  }

  async connect(url) {
    const { default: WebSocket } = await import("ws");
    this.#socket = new WebSocket(url);
    this.#socket.on("message", (data) => {
      const message = JSON.parse(String(data));
      const index = this.#waiting.findIndex((waiter) => waiter.type === message.type);
      if (index < 0) this.#arrived.push(message);
      else this.#waiting.splice(index, 1)[0].resolve(message);
    });
    await new Promise((resolve, reject) => {
      this.#socket.on("open", resolve);
      this.#socket.on("error", (error) => reject(new Trouble(`${url} did not open a WebSocket: ${error.message}.`)));
    });
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  /** The next message of that type, whether it has arrived or is to come. */
  hear(type) {
    const index = this.#arrived.findIndex((message) => message.type === type);
    if (index >= 0) return Promise.resolve(this.#arrived.splice(index, 1)[0]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const instead = this.#arrived.map((message) => JSON.stringify(message)).join(" ") || "nothing";
        reject(new Trouble(`${this.name} waited ${DEADLINE_MS / 1000} s for "${type}" and heard ${instead}.`));
      }, DEADLINE_MS);
      this.#waiting.push({ type, resolve: (message) => (clearTimeout(timer), resolve(message)) });
    });
  }

  leave() {
    return new Promise((resolve) => {
      this.#socket.on("close", (code) => resolve(code));
      this.#socket.close(1000);
    });
  }
}
