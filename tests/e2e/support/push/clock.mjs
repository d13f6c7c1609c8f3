// The service with a clock that tests put forward: /clock?ahead=<milliseconds>. What is said to last a day is seen to end.
import worker from "./worker.mjs";
export * from "./worker.mjs";

let ahead = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + ahead;

export default {
  fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== "/clock") return worker.fetch(request, env, context);
    ahead = Number(searchParams.get("ahead"));
    return new Response(String(ahead));
  },
};
