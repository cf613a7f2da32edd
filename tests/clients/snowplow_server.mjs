// What a shop's server sends with Snowplow's tracker for Node.
// Arguments: the collector, the site, the user, `post` or `get`. Prints what the tracker reported as JSON.

import { buildPageView, buildSelfDescribingEvent, buildStructEvent, newTracker } from "@snowplow/node-tracker";

const [endpoint, appId, user, eventMethod] = process.argv.slice(2);
const errors = [];
const statuses = {};
let delivered = 0;
const tracker = newTracker({ namespace: "kindred", appId, encodeBase64: eventMethod === "get" }, {
  endpoint,
  eventMethod,
  bufferSize: 10,
  onRequestSuccess: (events, response) => {
    delivered += events.length;
    statuses[response.status] = (statuses[response.status] ?? 0) + 1;
  },
  onRequestFailure: (failure) => errors.push(String(failure.message ?? failure.status)),
});
const coats = { schema: "iglu:com.example/order/jsonschema/1-0-0", data: { category: "coats", value: 1.25 } };
const page = { schema: "iglu:com.example/shop/jsonschema/1-0-0", data: { name: "coats" } };

// Before the visitor is known, then known by both.
tracker.setDomainUserId(`a-${user}`);
tracker.track(buildSelfDescribingEvent({ event: coats }));
tracker.setUserId(user);
for (let n = 0; n < 24; n++) tracker.track(buildSelfDescribingEvent({ event: coats }), [page]);
for (let n = 0; n < 25; n++) {
  tracker.track(buildStructEvent({ category: "coats", action: "order", label: "größe", value: 1.25 }));
}
for (let n = 0; n < 5; n++) {
  tracker.track(buildPageView({ pageUrl: "https://shop.example/coats", pageTitle: "Coats", referrer: "https://search.example/" }));
}
await tracker.flush();
// What the emitter has begun by itself is not waited for by `flush`.
for (let wait = 0; wait < 100 && delivered < 55 && errors.length === 0; wait++) await new Promise((done) => setTimeout(done, 50));
console.log(JSON.stringify({ queued: delivered, errors, statuses }));
