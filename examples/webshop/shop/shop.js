// The shop: two shelves, a cart, and a banner for who is in an audience.
const collector = new URLSearchParams(location.search).get("collector") ?? sessionStorage.getItem("collector") ?? "http://localhost:8080";
const profiles = new URLSearchParams(location.search).get("profiles") ?? sessionStorage.getItem("profiles") ?? "http://localhost:8181";
sessionStorage.setItem("collector", collector);
sessionStorage.setItem("profiles", profiles);
const key = "pk_webshop_example";

const goods = {
  coats: [
    { sku: "c1", name: "Parka", price: 249.0, category: "winter-coats" },
    { sku: "c2", name: "Duffle coat", price: 189.5, category: "winter-coats" },
  ],
  shoes: [{ sku: "s1", name: "Boots", price: 129.0, category: "shoes" }],
};

const page = new URLSearchParams(location.search).get("page");
const find = (id) => document.getElementById(id);

function cart() {
  return JSON.parse(sessionStorage.getItem("cart") ?? "[]");
}

function show() {
  find("cart").textContent = `Cart: ${cart().length}`;
  const shelf = goods[page] ?? [];
  find("goods").replaceChildren(
    ...shelf.map((item) => {
      const card = document.createElement("article");
      const name = document.createElement("h3");
      name.textContent = `${item.name}, ${item.price.toFixed(2)} €`;
      const look = document.createElement("button");
      look.textContent = "Look closer";
      look.dataset.look = item.sku;
      look.onclick = () => kindred("track", "product_view", item);
      const put = document.createElement("button");
      put.textContent = "Into the cart";
      put.dataset.put = item.sku;
      put.onclick = () => {
        sessionStorage.setItem("cart", JSON.stringify([...cart(), item]));
        kindred("cart", item);
        show();
      };
      card.append(name, look, put);
      return card;
    }),
  );
  if (!shelf.length) find("goods").textContent = "Choose a shelf above.";
}

// What the page says to who is in an audience. The cookie says who asks; a page cannot read it. Of several answers under way
// the one that was asked for last counts.
let asked = 0;
async function personalise() {
  const own = ++asked;
  const answer = await fetch(`${profiles}/v1/profiles/me?key=${key}`, { credentials: "include" }).catch(() => null);
  const segments = answer?.ok ? (await answer.json()).segments : [];
  if (own === asked) banner(segments);
}

function banner(segments) {
  const own = segments.includes("coat-abandoners");
  find("banner").hidden = !own;
  find("banner").textContent = own ? "Your coat is still in the cart: 10 % off until midnight." : "";
}

function listen() {
  const changes = new EventSource(`${profiles}/v1/profiles/me/changes?key=${key}`, { withCredentials: true });
  // What changed before the connection stood is told to nobody: ask once it stands.
  changes.onopen = personalise;
  changes.addEventListener("enter", personalise);
  changes.addEventListener("exit", personalise);
  changes.addEventListener("missed", personalise);
  // A visitor who is not known yet, or not any more: ask again, and listen again.
  changes.onerror = () => { changes.close(); personalise(); setTimeout(listen, 500); };
}

function tag() {
  const script = document.createElement("script");
  script.src = `${collector}/tag.js`;
  script.dataset.key = "wk_webshop_example";
  document.head.append(script);
}

find("yes").onclick = () => { consent.say("yes"); find("consent").close(); };
find("no").onclick = () => { consent.say("no"); find("consent").close(); };
find("again").onclick = () => find("consent").showModal();
if (!consent.said()) find("consent").showModal();
show();
tag();
personalise();
listen();
