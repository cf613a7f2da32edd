//! Events out of Kafka topics, one JSON object a message.
//!
//! ```toml
//! [sources.orders]
//! plugin = "kafka"
//! [sources.orders.config]
//! brokers = "127.0.0.1:9092"
//! topics = "shop-orders"
//! group = "kindred"
//! identifiers = { user = "user.id" }
//! event = "purchase"
//! properties = { total = { column = "total", type = "decimal" }, topic = "kafka.topic" }
//! ```
//!
//! The store knows how far each partition was read, and reading goes on there. With `group` the broker hears of it too,
//! after the commit, so that tools see how far behind the source is; what the broker says of a group is never asked.
//!
//! Partitions take turns in a fixed order, so many offsets each, and a partition that has more to give is waited for: the
//! same logs give the same batches, whichever broker answers first.

mod hearing;
mod lane;
mod link;
mod options;
mod place;
mod reach;
mod source;

pub use options::Config;
pub use source::Kafka;

kindred_plugin_api::register!(source Kafka);

#[cfg(test)]
mod tests;
