/* Kindred's tag: <script async src="https://COLLECTOR/tag.js" data-key="WRITE_KEY"></script>
   kindred("track", "product_view", {category: "coats"}); kindred("cart", {items: [...]}); kindred("identify", "id", {...}) */
(function (w, d) {
  "use strict";
  var self = d.currentScript || {}, base = (self.src || "").replace(/\/tag\.js.*$/, ""), data = self.dataset || {};
  var key = data.key, store = "kindred_queue", queue = [], busy = false, wait = 1000, consent = {}, ready = false;
  var place = "kindred_session", visit = [], waiting = [], storing = true;
  function id() {
    if (w.crypto && crypto.randomUUID) return crypto.randomUUID();
    return "k" + Date.now().toString(36) + Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2);
  }
  function save() {
    try { queue.length ? localStorage.setItem(store, JSON.stringify(queue.slice(-50))) : localStorage.removeItem(store); } catch (e) {}
  }
  function load() {
    try { return JSON.parse(localStorage.getItem(store)) || []; } catch (e) { return []; }
  }
  /* A visit ends with 30 minutes in which nothing happens. Its id stays in this page until the collector has answered that
     consent allows to keep it; where a browser keeps nothing, visits cannot be told apart and have no ids. */
  function session() {
    var now = Date.now(), kept;
    function lasts(one) { return Math.abs(now - one[1]) < 1800000; }
    try { kept = (localStorage.getItem(place) || "").split(" "); } catch (e) { storing = false; }
    if (!storing) return;
    visit = lasts(kept) ? kept : lasts(visit) ? visit : [id()];
    visit[1] = now;
    if (kept[0]) keep(true);
    return visit[0];
  }
  /* Events that wait for an answer about consent are stored without the visit that they are of. */
  function label() {
    waiting.splice(0).forEach(function (one) { one[0].sessionId = one[1]; });
  }
  function keep(allowed) {
    try {
      if (!allowed) localStorage.removeItem(place); else if (visit[0]) localStorage.setItem(place, visit.join(" "));
    } catch (e) { storing = false; }
  }
  function body(events) {
    return JSON.stringify({ writeKey: key, sentAt: new Date().toISOString(), batch: events });
  }
  /* What the visitor says when events are sent counts, also for those that waited. */
  function stamp(events) {
    return events.map(function (e) { e.context.consent = consent; return e; });
  }
  function flush() {
    if (!ready || busy || !queue.length) return;
    busy = true;
    var events = stamp(queue.slice(0, 50)), request = new XMLHttpRequest();
    request.open("POST", base + "/v1/batch");
    request.withCredentials = true;
    request.timeout = 15000;
    request.setRequestHeader("Content-Type", "text/plain");
    request.onloadend = function () {
      var status = request.status;
      busy = false;
      if (status && status < 500 && status !== 429) {
        if (status === 200) keep(/"collected":true/.test(request.responseText));
        queue.splice(0, events.length); wait = 1000; save(); flush();
      } else {
        save(); setTimeout(flush, wait); wait = Math.min(wait * 2, 60000);
      }
    };
    request.send(body(events));
  }
  function leave() {
    if (ready && queue.length && !busy && navigator.sendBeacon &&
        navigator.sendBeacon(base + "/v1/batch", body(stamp(queue.slice(0, 50))))) queue.splice(0, 50);
    save();
  }
  function add(event) {
    event.messageId = id();
    event.timestamp = new Date().toISOString();
    event.context = {
      page: { url: location.href, referrer: d.referrer, title: d.title }, locale: navigator.language
    };
    waiting.push([event.context, session()]);
    if (ready) label();
    queue.push(event);
    setTimeout(flush, 0);
  }
  var calls = {
    page: function (properties) { add({ type: "page", properties: properties || {} }); },
    track: function (name, properties) { add({ type: "track", event: name, properties: properties || {} }); },
    cart: function (properties) { calls.track("cart", properties); },
    identify: function (user, traits) { add({ type: "identify", userId: user, traits: traits || {} }); }
  };
  function go() { if (!ready) { ready = true; label(); flush(); } }
  /* A mind that is changed is told at once, with no event: who takes consent back may not come again. */
  function changed() { if (ready) calls.identify(); }
  function consents() {
    var open = 0;
    function heard() { if (--open <= 0) go(); }
    function ask(api, call) { if (typeof w[api] === "function") { open++; try { call(w[api]); } catch (e) { heard(); } } }
    ask("__tcfapi", function (api) {
      var once;
      api("addEventListener", 2, function (tc, ok) {
        if (!ok || tc.eventStatus === "cmpuishown") return;
        consent.gdpr = tc.gdprApplies ? 1 : 0;
        consent.gdpr_consent = tc.tcString || "";
        if (!once) { once = 1; heard(); } else if (tc.eventStatus === "useractioncomplete") changed();
      });
    });
    ask("__gpp", function (api) {
      var once;
      function read(ping) {
        if (!ping || !ping.gppString) return;
        var other = once && consent.gpp !== ping.gppString;
        consent.gpp = ping.gppString;
        consent.gpp_sid = (ping.applicableSections || []).join(",");
        if (!once) { once = 1; heard(); } else if (other) changed();
      }
      api("addEventListener", function (event) { if (event && event.pingData && event.pingData.signalStatus === "ready") read(event.pingData); });
      api("ping", function (ping) { if (ping && ping.signalStatus === "ready") read(ping); });
    });
    ask("__uspapi", function (api) {
      api("getUSPData", 1, function (us, ok) { if (ok && us) consent.us_privacy = us.uspString; heard(); });
    });
    if (navigator.globalPrivacyControl) consent.gpc = true;
    /* Without an answer nothing is sent as if there had been one: the site's policy decides on what is missing. */
    if (!open) go();
  }
  queue = load();
  var early = (w.kindred && w.kindred.q) || [];
  w.kindred = function (name) { if (calls[name]) calls[name].apply(null, [].slice.call(arguments, 1)); };
  early.forEach(function (args) { w.kindred.apply(null, args); });
  if (data.page !== "off") calls.page();
  consents();
  w.addEventListener("online", flush);
  w.addEventListener("pagehide", leave);
  d.addEventListener("visibilitychange", function () { if (d.visibilityState === "hidden") leave(); });
})(window, document);
