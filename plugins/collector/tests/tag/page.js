// A page that is just enough for the tag: says what the tag sends, one line of JSON each. A story comes behind it.
"use strict";
const say = (value) => console.log(JSON.stringify(value));
// What the browser keeps, and how: "works", "full" or "blocked"; what the collector answers, at last that it collected.
const storage = {}, answers = [], timers = [];
let now = Date.parse("2026-01-09T12:00:00Z"), keeping = "works", requests = 0;
class Clock extends Date {
  constructor() { super(now); }
  static now() { return now; }
}
const later = (call, ms) => { timers.push([ms || 0, call]); };
const run = () => { while (timers.length) { timers.sort((a, b) => a[0] - b[0]); timers.shift()[1](); } };
const denied = { status: 200, responseText: '{"success":true,"collected":false}' };
const collected = { status: 200, responseText: '{"success":true,"collected":true}' };
function Request() {}
Request.prototype = {
  open(method, url) { this.url = url; },
  setRequestHeader(name, value) { this.type = value; },
  send(body) {
    requests++;
    say({ url: this.url, type: this.type, credentials: this.withCredentials, body: JSON.parse(body) });
    Object.assign(this, answers.shift() || collected);
    later(() => this.onloadend());
  },
};
const localStorage = {
  getItem: (key) => { if (keeping === "blocked") throw new Error("blocked"); return storage[key] || null; },
  setItem: (key, value) => { if (keeping !== "works") throw new Error(keeping); storage[key] = value; },
  removeItem: (key) => { if (keeping === "blocked") throw new Error("blocked"); delete storage[key]; },
};
function visit() {
  const listeners = {};
  let answered;
  const page = {
    document: {
      currentScript: { src: "https://c.shop.example/tag.js", dataset: { key: "wk_1" } },
      referrer: "", title: "Home", visibilityState: "visible", addEventListener() {},
    },
    crypto: globalThis.crypto,
    location: { href: "https://shop.example/" },
    navigator: {
      language: "de", globalPrivacyControl: true,
      sendBeacon(url, body) { say({ beacon: JSON.parse(body) }); return true; },
    },
    addEventListener: (name, call) => { listeners[name] = call; },
    __tcfapi(command, version, call) {
      call({ eventStatus: "cmpuishown" }, true);
      answered = () => call({ eventStatus: "useractioncomplete", gdprApplies: true, tcString: "CQ" }, true);
    },
    kindred: { q: [] },
  };
  page.window = page;
  new Function("window", "document", "localStorage", "navigator", "XMLHttpRequest", "setTimeout", "location", "crypto",
    "Date", TAG())(page, page.document, localStorage, page.navigator, Request, later, page.location, page.crypto, Clock);
  return { call: (...call) => page.kindred(...call), answer: () => answered(), leave: () => listeners.pagehide() };
}
function TAG() {
  return TAG_TEXT.toString().replace(/^[^]*?\/\*BEGIN\*\//, "").replace(/\/\*END\*\/[^]*$/, "");
}
function TAG_TEXT() { /*BEGIN*/
/* TAG */
/*END*/ }
