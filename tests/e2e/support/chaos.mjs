// The service behind a door of its own: /chaos/on makes the platform's randomness and headers throw, /chaos/off mends them.
import worker from "./worker.mjs";
export * from "./worker.mjs";

let broken = false;
const fail = () => {
  if (broken) throw new Error("the platform failed");
};
const random = crypto.getRandomValues.bind(crypto);
crypto.getRandomValues = (bytes) => {
  fail();
  return random(bytes);
};
const set = Headers.prototype.set;
Headers.prototype.set = function (name, value) {
  fail();
  return set.call(this, name, value);
};

export default {
  fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith("/chaos/")) return worker.fetch(request, env, context);
    broken = pathname === "/chaos/on";
    return new Response(String(broken));
  },
};
