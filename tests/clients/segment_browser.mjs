// A shop's pages with Segment's SDK for browsers, in a headless Chromium.
// Arguments: the collector, the write key, the shop's port, the user. Prints a JSON object a line:
// what was sent; then, once a line on standard input says that the collector is gone, that an event failed; then that it arrived.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [collector, writeKey, port, user] = process.argv.slice(2);
const bundle = new URL("./node_modules/@segment/analytics-next/dist/umd/", import.meta.url);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (what) => console.log(JSON.stringify(what));

const shop = createServer(async (request, response) => {
  const script = request.url.match(/^\/umd\/([\w.-]+\.js)$/);
  try {
    const body = script ? await readFile(new URL(script[1], bundle)) : '<!doctype html><title>Coats</title><script src="/umd/index.js"></script>';
    response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}).listen(Number(port), "127.0.0.1");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

// A page of the shop, in a browser that knows nothing or in one that was here before.
async function visit(context, origin = `http://localhost:${port}`) {
  const page = await context.newPage();
  page.on("console", (message) => message.text().includes("CORS") && refused.push(message.text()));
  page.on("requestfailed", (request) => failed.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.goto(`${origin}/coats`);
  return page;
}

// Loads the SDK with its own settings where none are given, and tracks orders.
const shopping = async ({ collector, writeKey, orders, integrations }) => {
  window.analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey, cdnURL: collector }, { integrations });
  const [loaded] = await window.analytics;
  for (let n = 0; n < orders; n++) await loaded.track("order", { category: "coats", value: 1.25 });
  return loaded.user().anonymousId();
};

const failed = [];
const refused = [];
const seen = {};

// A visitor with the SDK's defaults: an event a request, without cookies of ours.
const plain = await visit(await browser.newContext());
seen.anonymous = await plain.evaluate(shopping, { collector, writeKey, orders: 3, integrations: {} });
seen.undelivered = await plain.evaluate(async (user) => {
  const calls = [
    await window.analytics.page("shop", "coats"),
    await window.analytics.identify(user, { plan: "gold" }),
    await window.analytics.track("order", { category: "coats", value: 1.25 }),
    await window.analytics.group("staff", { size: 3 }),
    await window.analytics.screen("shop", "coats"),
    await window.analytics.alias(user, `b-${user}`),
  ];
  return calls.filter((call) => call.failedDelivery()).length;
}, user);
seen.cookies = (await plain.context().cookies(collector)).map((cookie) => cookie.name).filter((name) => !name.startsWith("ajs_"));

// Another one with batches and credentials, who comes back without what the SDK remembers, but with the cookie.
const batching = { "Segment.io": { deliveryStrategy: { strategy: "batching", config: { size: 5, timeout: 100, credentials: "include" } } } };
const context = await browser.newContext();
seen.batches = [];
for (let time = 0; time < 2; time++) {
  const page = await visit(context);
  const answered = page.waitForResponse((response) => response.url().endsWith("/v1/b") && response.status() === 200);
  seen.batches.push(await page.evaluate(shopping, { collector, writeKey, orders: 5, integrations: batching }));
  await answered;
  await page.evaluate(() => localStorage.clear());
  await page.context().clearCookies({ name: /^ajs_/ });
}
const known = (await context.cookies(collector)).find((cookie) => cookie.name === "kindred_id");
seen.cookie = known && { id: known.value.split(".")[0], httpOnly: known.httpOnly, secure: known.secure, sameSite: known.sameSite };

// A page of an origin that the site does not list.
seen.failed = [...failed];
const other = await visit(await browser.newContext(), `http://127.0.0.1:${port}`);
const load = other.evaluate(shopping, { collector, writeKey, orders: 1, integrations: {} });
seen.stranger = await load.then(() => "loaded", () => "refused");
say(seen);

// The collector is gone for a while: the SDK tries again.
if ((await lines.next()).done) process.exit(1);
const fails = plain.waitForEvent("requestfailed", { timeout: 20_000 });
const arrives = plain.waitForResponse((answer) => answer.url().endsWith("/v1/t") && answer.status() === 200, { timeout: 30_000 });
await plain.evaluate(() => void window.analytics.track("order", { category: "coats", value: 1.25 }));
await fails;
say({ failed: true });
const answer = await arrives.catch(() => undefined);
say(answer ? { tried: (await answer.request().allHeaders())["x-retry-count"] ?? "0" } : { refused });
await browser.close();
shop.close();
process.exit();
