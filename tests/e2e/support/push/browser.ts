// A browser without script, as far as the owners' pages need one: cookies, forms, redirects, and a strict reader of HTML.
//
// The reader takes only what is well formed. Text that was not escaped where it should have been makes the page
// something else than it was meant to be: a tag or an attribute that this file does not know, or no page at all.

import assert from 'node:assert/strict';
import type { Answer, Service } from '../service.ts';

const VOID = new Set(['meta', 'input', 'br', 'hr', 'link', 'wbr']);
const TAGS = new Set([
  ...VOID, 'html', 'head', 'title', 'style', 'body', 'main', 'header', 'footer', 'nav', 'section', 'article', 'div', 'span', 'p', 'h1', 'h2', 'h3',
  'ul', 'ol', 'li', 'dl', 'dt', 'dd', 'table', 'caption', 'thead', 'tbody', 'tr', 'th', 'td', 'a', 'strong', 'em', 'small', 'code', 'time',
  'form', 'fieldset', 'legend', 'label', 'select', 'option', 'textarea', 'button',
]);
const ATTRIBUTES = new Set([
  'lang', 'charset', 'name', 'content', 'id', 'class', 'for', 'href', 'rel', 'method', 'action', 'type', 'value', 'required', 'maxlength', 'minlength',
  'min', 'max', 'step', 'pattern', 'autocomplete', 'autofocus', 'inputmode', 'checked', 'selected', 'disabled', 'readonly', 'rows', 'cols', 'role', 'scope', 'datetime',
  'title', 'spellcheck', 'aria-label', 'aria-current', 'aria-describedby', 'aria-labelledby', 'aria-invalid', 'aria-live', 'tabindex', 'novalidate', 'enctype', 'download',
]);
const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

function unescape(text: string): string {
  return text.replace(/&([^;\s&]{0,10};?)/g, (whole, inner: string) => {
    assert.ok(inner.endsWith(';'), `a bare ampersand: ${text}`);
    const name = inner.slice(0, -1);
    const code = /^#(?:x([0-9a-f]+)|(\d+))$/i.exec(name);
    if (code) return String.fromCodePoint(code[1] !== undefined ? parseInt(code[1], 16) : Number(code[2]));
    const known = NAMED[name];
    assert.ok(known !== undefined, `an unknown entity ${whole}`);
    return known;
  });
}

export class Element {
  tag: string;
  attributes: Map<string, string>;
  children: (Element | string)[] = [];

  constructor(tag: string, attributes: Map<string, string> = new Map()) {
    this.tag = tag;
    this.attributes = attributes;
  }

  get(name: string): string | undefined {
    return this.attributes.get(name);
  }

  get elements(): Element[] {
    return this.children.flatMap((child) => (typeof child === 'string' ? [] : [child, ...child.elements]));
  }

  all(...tags: string[]): Element[] {
    return this.elements.filter((element) => tags.includes(element.tag));
  }

  get text(): string {
    return this.children.map((child) => (typeof child === 'string' ? child : child.text)).join('');
  }
}

/** The page as a tree; fails if it is not well formed or holds anything but plain forms and text. */
export function parse(html: string): Element {
  const begin = /^<!doctype html>\s*/i.exec(html);
  assert.ok(begin, `no page: ${html.slice(0, 200)}`);
  const root = new Element('#root');
  const open: Element[] = [root];
  let at = begin[0].length;
  const top = (): Element => open[open.length - 1] as Element;
  while (at < html.length) {
    const close = /^<\/([a-z0-9]+)>/.exec(html.slice(at, at + 40));
    if (close) {
      assert.equal(top().tag, close[1], `</${close[1]}> closes <${top().tag}> in ${html.slice(Math.max(0, at - 200), at + 50)}`);
      open.pop();
      at += close[0].length;
      continue;
    }
    if (html[at] !== '<') {
      const end = html.indexOf('<', at);
      const text = html.slice(at, end === -1 ? html.length : end);
      assert.ok(!text.includes('>') || top().tag === 'style', `a bare > in ${text}`);
      top().children.push(top().tag === 'style' ? text : unescape(text));
      at += text.length;
      continue;
    }
    const tag = /^<([a-z][a-z0-9]*)((?:\s+[a-z][a-z-]*(?:="[^"<>]*")?)*)\s*>/.exec(html.slice(at));
    assert.ok(tag, `not a tag: ${html.slice(at, at + 200)}`);
    const [whole, name = '', rest = ''] = tag;
    assert.ok(TAGS.has(name), `a <${name}> in a page without script`);
    const attributes = new Map<string, string>();
    for (const [, key = '', value = ''] of rest.matchAll(/([a-z][a-z-]*)(?:="([^"]*)")?/g)) {
      assert.ok(ATTRIBUTES.has(key), `${key} on <${name}>`);
      assert.ok(!attributes.has(key), `${key} twice on <${name}>`);
      attributes.set(key, unescape(value));
    }
    const element = new Element(name, attributes);
    top().children.push(element);
    if (!VOID.has(name)) open.push(element);
    at += whole.length;
  }
  assert.deepEqual(open.slice(1).map((element) => element.tag), [], 'left open');
  const ids = root.elements.map((element) => element.get('id')).filter((id) => id !== undefined);
  assert.equal(new Set(ids).size, ids.length, `an id twice among ${ids}`);
  for (const element of root.elements) {
    const target = element.get('href') ?? element.get('action') ?? '';
    assert.match(target, /^(?:[^:]*$|https?:\/\/|mailto:|\/)/, `leads to ${target}`);
  }
  return root;
}

/** What a form sends when it is left as it is. */
export type Values = Record<string, string>;
/** Undefined leaves a field out, as a box that is not ticked. */
export type Changes = Record<string, string | undefined>;

export class Form {
  page: Page;
  element: Element;

  constructor(page: Page, element: Element) {
    this.page = page;
    this.element = element;
  }

  get action(): string {
    return this.element.get('action') ?? this.page.path;
  }

  get method(): string {
    return (this.element.get('method') ?? 'get').toUpperCase();
  }

  get controls(): Element[] {
    return this.element.all('input', 'select', 'textarea');
  }

  control(name: string): Element {
    const found = this.controls.find((element) => element.get('name') === name);
    assert.ok(found, `no field ${name} in ${this.controls.map((element) => element.get('name'))}`);
    return found;
  }

  has(name: string): boolean {
    return this.controls.some((element) => element.get('name') === name);
  }

  get buttons(): Element[] {
    return this.element.all('button');
  }

  get values(): Values {
    const values: Values = {};
    for (const control of this.controls) {
      const name = control.get('name');
      if (name === undefined || control.get('disabled') !== undefined) continue;
      const type = control.get('type') ?? 'text';
      if (control.tag === 'select') {
        const options = control.all('option');
        const chosen = options.find((option) => option.get('selected') !== undefined) ?? options[0];
        if (chosen) values[name] = chosen.get('value') ?? chosen.text;
      } else if (control.tag === 'textarea') values[name] = control.text;
      else if (type !== 'checkbox' && type !== 'radio') values[name] = control.get('value') ?? '';
      else if (control.get('checked') !== undefined) values[name] = control.get('value') ?? 'on';
    }
    return values;
  }
}

export class Page {
  answer: Answer;
  path: string;
  private tree: Element | undefined;

  constructor(answer: Answer, path: string) {
    this.answer = answer;
    this.path = path;
  }

  get root(): Element {
    assert.match(String(this.answer.headers['content-type']), /^text\/html; charset=utf-8$/i, this.answer.text);
    return (this.tree ??= parse(this.answer.text));
  }

  get status(): number {
    return this.answer.status;
  }

  get location(): string | undefined {
    return this.answer.headers.location;
  }

  get text(): string {
    return this.root.all('body').map((body) => body.text).join(' ').replace(/\s+/g, ' ').trim();
  }

  get heading(): string {
    const [heading, ...more] = this.root.all('h1');
    assert.ok(heading && more.length === 0, `one heading, not ${1 + more.length}`);
    return heading.text.trim();
  }

  /** What is said to be wrong. */
  get alerts(): string[] {
    return this.root.elements.filter((element) => element.get('role') === 'alert').map((element) => element.text.trim());
  }

  get forms(): Form[] {
    return this.root.all('form').map((element) => new Form(this, element));
  }

  /** The form that sends to a path that ends so, or that has such a field. */
  form(which: { to?: string; field?: string; button?: string } = {}): Form {
    const found = this.forms.filter(
      (form) =>
        (which.to === undefined || form.action.endsWith(which.to)) &&
        (which.field === undefined || form.has(which.field)) &&
        (which.button === undefined || form.buttons.some((button) => button.text.trim() === which.button)),
    );
    assert.equal(found.length, 1, `${found.length} forms ${JSON.stringify(which)} on ${this.answer.text}`);
    return found[0] as Form;
  }

  links(): string[] {
    return this.root.all('a').map((link) => link.get('href') ?? '');
  }
}

type Cookie = { value: string; attributes: Map<string, string> };
export type Extra = { headers?: Record<string, string>; body?: unknown };

export class Browser {
  service: Service;
  cookies = new Map<string, Cookie>();
  /** The client address that the edge reports. */
  address: string | undefined;

  constructor(service: Service, address?: string) {
    this.service = service;
    this.address = address;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.service.port}`;
  }

  /** Another browser with the same cookies. */
  copy(): Browser {
    const copy = new Browser(this.service, this.address);
    copy.cookies = new Map(this.cookies);
    return copy;
  }

  get cookieHeader(): Record<string, string> {
    const pairs = [...this.cookies].map(([name, { value }]) => `${name}=${value}`);
    return pairs.length === 0 ? {} : { Cookie: pairs.join('; ') };
  }

  private keep(answer: Answer): void {
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [pair = '', ...rest] = line.split(';').map((part) => part.trim());
      const equals = pair.indexOf('=');
      assert.ok(equals > 0, `no cookie: ${line}`);
      const attributes = new Map(rest.map((part): [string, string] => {
        const [name = '', value = ''] = part.split('=');
        return [name.toLowerCase(), value];
      }));
      const ended = attributes.get('max-age') === '0' || Date.parse(attributes.get('expires') ?? '2999-01-01') <= Date.now();
      if (ended) this.cookies.delete(pair.slice(0, equals));
      else this.cookies.set(pair.slice(0, equals), { value: pair.slice(equals + 1), attributes });
    }
  }

  /** One request with our cookies; no redirect is followed. */
  async ask(method: string, path: string, extra: Extra = {}): Promise<Page> {
    const [route = path] = path.startsWith(this.origin) ? [path.slice(this.origin.length)] : [];
    const answer = await this.service.ask(method, route, {
      ...extra,
      headers: { Accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8', ...this.cookieHeader, ...extra.headers },
      address: this.address,
    });
    this.keep(answer);
    return new Page(answer, route);
  }

  get(path: string): Promise<Page> {
    return this.ask('GET', path);
  }

  /** A form as it is sent from our own pages. */
  post(path: string, values: Changes, headers: Record<string, string> = {}): Promise<Page> {
    const pairs = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined);
    return this.ask('POST', path, {
      headers: { Origin: this.origin, 'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(pairs).toString(),
    });
  }

  /** Fills in and sends; fields that the form does not have cannot be filled in. */
  submit(form: Form, changes: Changes = {}, headers: Record<string, string> = {}): Promise<Page> {
    for (const name of Object.keys(changes)) form.control(name);
    assert.equal(form.method, 'POST');
    return this.post(form.action, { ...form.values, ...changes }, headers);
  }

  /** Follows one redirect within the service. */
  async follow(page: Page): Promise<Page> {
    assert.ok([302, 303].includes(page.status), `${page.status}, no redirect: ${page.answer.text}`);
    assert.ok(page.location !== undefined && (page.location.startsWith('/') || page.location.startsWith(`${this.origin}/`)), `leads to ${page.location}`);
    return this.get(page.location);
  }
}
