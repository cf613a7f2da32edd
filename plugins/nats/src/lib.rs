//! Events out of a NATS JetStream stream, one JSON object a message.
//!
//! ```toml
//! [sources.orders]
//! plugin = "nats"
//! [sources.orders.config]
//! servers = "nats://127.0.0.1:4222"
//! stream = "SHOP"
//! subject = "shop.orders.*"
//! durable = "kindred"
//! identifiers = { user = "user.id" }
//! event = "purchase"
//! properties = { total = { column = "total", type = "decimal" }, subject = "nats.subject" }
//! ```
//!
//! Without `durable` the store alone knows how far the stream was read: a consumer without a name starts behind the
//! committed sequence, and a gap in what it hands out starts it again. With `durable` the server knows it too, hears of
//! a message once it is committed, and may hand it out again after a crash.

mod link;
mod options;
mod place;
mod runtime;
mod source;

pub use options::Config;
pub use source::Nats;

kindred_plugin_api::register!(source Nats);
