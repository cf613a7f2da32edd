// What a shop's server sends with RudderStack's SDK for Node.
// Arguments: the collector, the write key, the user, `gzip` or `plain`. Prints what the SDK reported as JSON.

import Analytics from "@rudderstack/rudder-sdk-node";

const [dataPlaneUrl, writeKey, userId, coding] = process.argv.slice(2);
const errors = [];
let asked = 0;
let answered = 0;
const errorHandler = (error) => errors.push(String(error));
const options = { dataPlaneUrl, flushAt: 40, gzip: coding === "gzip", logLevel: "none", errorHandler };
const analytics = new Analytics(writeKey, options);
const [anonymousId, older] = [`a-${userId}`, `b-${userId}`];
const properties = { category: "coats", value: 1.25 };
const call = (type, message) => {
  asked++;
  analytics[type](message, () => answered++);
};

// Before the visitor is known, known by both, by either.
call("track", { anonymousId: older, event: "order", properties });
call("identify", { userId, anonymousId, traits: { plan: "gold", email: `${userId}@example.com` } });
for (let n = 0; n < 125; n++) call("track", { userId, event: "order", properties });
for (let n = 0; n < 125; n++) call("track", { anonymousId, event: "order", properties });
call("page", { userId, category: "shop", name: "coats", properties: { url: "https://shop.example/coats" } });
call("screen", { userId, category: "shop", name: "coats" });
call("group", { userId, groupId: "staff", traits: { size: 3 } });
call("alias", { userId, previousId: older });
// One flush sends no more than `flushAt` of what waits.
while (answered < asked) {
  await analytics.flush();
  await new Promise((done) => setTimeout(done, 10));
}
console.log(JSON.stringify({ queued: answered, errors }));
