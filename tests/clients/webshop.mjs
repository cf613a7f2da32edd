// Drives the shop of examples/webshop in a headless Chromium as visitors would, and prints what they saw as JSON.
// Arguments: the shop's address, the collector's, that of the Profile API, and a file for a picture, or none.

import { chromium } from "playwright-core";

const [shop, collector, profiles, picture] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const at = (page) => `${shop}/index.html?page=${page}&collector=${collector}&profiles=${profiles}`;

// A visitor, a profile of their own in the browser, who answers the question for consent.
async function visitor(answer) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(at("coats"));
  await page.click(`#${answer}`);
  return { context, page, errors };
}

// Milliseconds until the banner is as it should be; none when it does not become so.
async function banner(page, shown, patience) {
  const begun = Date.now();
  try {
    await page.waitForFunction((shown) => document.getElementById("banner").hidden !== shown, shown, { timeout: patience, polling: 10 });
    return Date.now() - begun;
  } catch {
    return null;
  }
}

async function browse(page) {
  await page.click("[data-look=c1]");
  await page.click("[data-look=c2]");
  await page.click("[data-put=c1]");
}

const seen = {};

// Agrees, looks at coats, puts one into the cart, and leaves: another page of the shop has noticed.
const yes = await visitor("yes");
await browse(yes.page);
await yes.page.goto(at("shoes"));
seen.noticed_ms = await banner(yes.page, true, 10_000);
seen.banner = await yes.page.textContent("#banner");
const cookies = await yes.context.cookies();
seen.cookies = cookies.map(({ name, value, secure, httpOnly, sameSite }) => ({ name, secure, httpOnly, sameSite, id: value.split(".")[0] }));
if (picture) await yes.page.screenshot({ path: picture });

// Comes back later in another tab and is greeted at once.
const tab = await yes.context.newPage();
await tab.goto(at("coats"));
seen.again_ms = await banner(tab, true, 10_000);
await tab.close();

// Changes their mind: the banner goes without a reload, and does not come back with one.
await yes.page.click("#again");
await yes.page.click("#no");
seen.gone_ms = await banner(yes.page, false, 10_000);
await yes.page.goto(at("coats"));
await yes.page.waitForTimeout(1500);
seen.hidden = await yes.page.isHidden("#banner");

// Refuses from the start, and does the same.
const no = await visitor("no");
await browse(no.page);
await no.page.goto(at("shoes"));
await no.page.waitForTimeout(1500);
seen.refused = { banner: await no.page.isVisible("#banner"), cookies: (await no.context.cookies()).length };

seen.errors = [...yes.errors, ...no.errors];
await browser.close();
console.log(JSON.stringify(seen));
