// What a shop's server sends with Segment's SDK for Node.
// Arguments: the collector, the write key, the user. Prints what the SDK reported as JSON.

import { Analytics } from "@segment/analytics-node";

const [host, writeKey, userId] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, flushAt: 40, maxRetries: 3 });
const [anonymousId, older] = [`a-${userId}`, `b-${userId}`];
const properties = { category: "coats", value: 1.25 };
const errors = [];
const statuses = {};
let delivered = 0;
analytics.on("error", (error) => errors.push(String(error.reason ?? error.code)));
analytics.on("http_response", ({ status }) => (statuses[status] = (statuses[status] ?? 0) + 1));
const told = (error) => (error ? errors.push(String(error)) : delivered++);

// Before the visitor is known, known by both, by either.
analytics.track({ anonymousId: older, event: "order", properties }, told);
analytics.identify({ userId, anonymousId, traits: { plan: "gold", email: `${userId}@example.com` } }, told);
for (let n = 0; n < 125; n++) analytics.track({ userId, event: "order", properties }, told);
for (let n = 0; n < 125; n++) analytics.track({ anonymousId, event: "order", properties }, told);
analytics.page({ userId, category: "shop", name: "coats", properties: { url: "https://shop.example/coats" } }, told);
analytics.screen({ userId, category: "shop", name: "coats" }, told);
analytics.group({ userId, groupId: "staff", traits: { size: 3 } }, told);
analytics.alias({ userId, previousId: older }, told);
await analytics.closeAndFlush();
console.log(JSON.stringify({ queued: delivered, errors, statuses }));
