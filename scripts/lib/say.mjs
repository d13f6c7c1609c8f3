// What the commands say, and how they stop: one clear sentence and exit code 1.

const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

export const bold = paint(1);
export const dim = paint(2);
export const green = paint(32);
export const red = paint(31);

/** Trouble that the person at the keyboard can do something about: `message` is the whole explanation. */
export class Trouble extends Error {}

export function say(text = "") {
  process.stdout.write(`${text}\n`);
}

/** "0.4 s", "12 s", "2 min 5 s". */
export function seconds(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Runs the command's main function; Trouble becomes its sentence, anything else a stack trace, both exit code 1. */
export async function main(run) {
  const [major] = process.versions.node.split(".").map(Number);
  try {
    if (major < 20) throw new Trouble(`This needs Node 20 or newer, and this is Node ${process.versions.node}.`);
    await run();
  } catch (error) {
    process.stderr.write(`\n${error instanceof Trouble ? red(error.message) : error.stack}\n`);
    process.exit(1);
  }
}
