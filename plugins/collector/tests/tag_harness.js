// A page that is just enough for the tag: says what the tag sends, one line of JSON each.
"use strict";
const say = (value) => console.log(JSON.stringify(value));
const storage = { kindred_queue: JSON.stringify([{ type: "track", event: "kept", messageId: "k", context: {} }]) };
const listeners = {}, sent = [];
let answer = 500, consented;
const timers = [];
const later = (call, ms) => { timers.push([ms || 0, call]); };
const run = () => { while (timers.length) { timers.sort((a, b) => a[0] - b[0]); timers.shift()[1](); } };
function Request() { this.headers = {}; }
Request.prototype = {
  open(method, url) { this.url = url; },
  setRequestHeader(name, value) { this.type = value; },
  send(body) {
    sent.push(this);
    say({ url: this.url, type: this.type, credentials: this.withCredentials, body: JSON.parse(body) });
    this.status = answer; answer = 200;
    later(() => this.onloadend());
  },
};
const page = {
  document: {
    currentScript: { src: "https://c.shop.example/tag.js", dataset: { key: "wk_1" } },
    referrer: "", title: "Home", visibilityState: "visible", addEventListener() {},
  },
  crypto: globalThis.crypto,
  location: { href: "https://shop.example/" },
  localStorage: {
    getItem: (key) => storage[key] || null,
    setItem: (key, value) => { storage[key] = value; },
    removeItem: (key) => { delete storage[key]; },
  },
  navigator: {
    language: "de", globalPrivacyControl: true,
    sendBeacon(url, body) { say({ beacon: JSON.parse(body) }); return true; },
  },
  XMLHttpRequest: Request,
  setTimeout: later,
  addEventListener: (name, call) => { listeners[name] = call; },
  __tcfapi(command, version, call) {
    call({ eventStatus: "cmpuishown" }, true);
    consented = () => call({ eventStatus: "useractioncomplete", gdprApplies: true, tcString: "CQ" }, true);
  },
};
page.window = page;
page.kindred = { q: [] };
new Function("window", "document", "localStorage", "navigator", "XMLHttpRequest", "setTimeout", "location", "crypto",
  TAG())(page, page.document, page.localStorage, page.navigator, Request, later, page.location, page.crypto);
page.kindred("cart", { items: 2 });
run();
say({ "sent before consent": sent.length });
consented();
run();
say({ stored: storage.kindred_queue || null });
consented();
run();
page.kindred("track", "late");
listeners.pagehide();
function TAG() {
  return TAG_TEXT.toString().replace(/^[^]*?\/\*BEGIN\*\//, "").replace(/\/\*END\*\/[^]*$/, "");
}
function TAG_TEXT() { /*BEGIN*/
/* TAG */
/*END*/ }
