//! Events and attributes out of a JSON interface that answers in pages.
//!
//! ```toml
//! [sources.orders]
//! plugin = "http-pull"
//! [sources.orders.config]
//! url = "https://api.shop.example/v1/orders?limit=500"
//! bearer = "${env:SHOP_TOKEN}"
//! records = "data"
//! paging = { next = "links.next" }
//! cursor = { field = "updated_at", parameter = "since" }
//! identifiers = { user = "customer.id" }
//! event = "purchase"
//! time = "created_at"
//! event_id = "id"
//! ```
//!
//! A page is held whole, so that a poll may take a part of it; the position says which page and how much of it. No
//! redirect is followed, and a page elsewhere only where the options allow the place.

mod answer;
mod client;
mod options;
mod place;
mod source;

pub use options::Config;
pub use source::HttpPull;

kindred_plugin_api::register!(source HttpPull);
