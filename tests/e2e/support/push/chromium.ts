// A real browser: the Chromium that is installed, headless, with script switched off.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { tmpdir } from 'node:os';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { freshAddress } from './owners.ts';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Where the browser is; a path that is given must exist. */
function find(): string | undefined {
  const given = process.env.CHROMIUM_BIN;
  if (given) {
    assert.ok(existsSync(given), `CHROMIUM_BIN names ${given}, which does not exist`);
    return given;
  }
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

const path = find();
/** Why the tests are not run, if they are not. */
export const skip: string | false =
  path === undefined && 'no Chromium: install chromium, or say where it is: CHROMIUM_BIN=/path/to/chromium node --test tests/e2e/billing-chromium.spec.ts';

export class Chromium {
  browser: Browser;
  private home: string;

  private constructor(browser: Browser, home: string) {
    this.browser = browser;
    this.home = home;
  }

  static async start(): Promise<Chromium> {
    assert.ok(path !== undefined, 'no Chromium');
    // Nothing of this user's own browser is touched.
    const home = mkdtempSync(join(tmpdir(), 'waystation-chromium-'));
    const env = { PATH: process.env.PATH ?? '', HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home };
    return new Chromium(await chromium.launch({ executablePath: path, args: FLAGS, headless: true, env }), home);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    rmSync(this.home, { recursive: true, force: true });
  }

  /** A visit by one person: own cookies, own address, and everything that the browser complains about. */
  async visit(options: BrowserContextOptions = {}): Promise<Visit> {
    const context = await this.browser.newContext({ javaScriptEnabled: false, extraHTTPHeaders: { 'CF-Connecting-IP': freshAddress() }, ...options });
    context.setDefaultTimeout(10_000);
    return new Visit(context, await context.newPage());
  }
}

export class Visit {
  context: BrowserContext;
  page: Page;
  complaints: string[] = [];
  /** Addresses that the browser went to or wanted to go to. */
  asked: string[] = [];

  constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
    page.on('console', (message) => {
      // A refusal's own status is no fault of the page.
      if (['error', 'warning'].includes(message.type()) && !/the server responded with a status of 4\d\d/.test(message.text())) this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.on('request', (request) => this.asked.push(request.url()));
  }

  /** Everything was as it should be; then the visit is over. */
  async end(): Promise<void> {
    try {
      assert.deepEqual(this.complaints, []);
    } finally {
      await this.context.close();
    }
  }
}

/** Runs one visit; what the browser complained about fails it. */
export async function visiting(browser: Chromium, options: BrowserContextOptions, run: (page: Page, visit: Visit) => Promise<void>): Promise<void> {
  const visit = await browser.visit(options);
  try {
    await run(visit.page, visit);
  } catch (error) {
    await visit.context.close();
    throw error;
  }
  await visit.end();
}

/** The texts whose colour is too near to what is behind them: contrast below 4.5, by the rules of WCAG 2. */
export function tooFaint(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const numbers = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number);
    const over = (front: number[], back: number[]): number[] => {
      const alpha = front[3] ?? 1;
      return [0, 1, 2].map((i) => (front[i] ?? 0) * alpha + (back[i] ?? 0) * (1 - alpha));
    };
    const light = (colour: number[]): number => {
      const [r = 0, g = 0, b = 0] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    // What stands behind everything is the canvas: white, or what the browser takes in its dark scheme.
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.backgroundColor = 'Canvas';
    const canvas = numbers(getComputedStyle(probe).backgroundColor);
    probe.remove();
    const faint: string[] = [];
    for (const element of document.querySelectorAll<HTMLElement>('body *')) {
      const words = element instanceof HTMLInputElement ? element.value : [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent).join('');
      if (words.trim() === '' || element.offsetParent === null) continue;
      const layers: number[][] = [];
      for (let at: HTMLElement | null = element; at !== null; at = at.parentElement) layers.unshift(numbers(getComputedStyle(at).backgroundColor));
      const back = layers.reduce((under, layer) => over(layer, under), canvas);
      const front = over(numbers(getComputedStyle(element).color), back);
      const [high = 0, low = 0] = [light(front), light(back)].sort((a, b) => b - a);
      const ratio = (high + 0.05) / (low + 0.05);
      if (ratio < 4.5) faint.push(`${element.tagName} ${words.trim().slice(0, 40)}: ${ratio.toFixed(1)}`);
    }
    return faint;
  });
}
