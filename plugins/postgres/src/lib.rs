//! Keys and attributes out of a PostgreSQL database: first all of a table, then what has changed.
//!
//! ```toml
//! [sources.crm]
//! plugin = "postgres"
//! [sources.crm.config]
//! connection = "host=db.example dbname=crm user=kindred password=${env:CRM_PASSWORD}"
//! table = "public.customers"
//! cursor = "updated_at"
//! keys = { crm = "customer_id", email = "mail" }
//! attributes = ["country", "lifetime_value"]
//! ```
//!
//! The table is read through a cursor of the server in one transaction that sees one moment, in the order of the primary
//! key. What has changed is read likewise, in the order of the column `cursor` and then of the key, so that rows of one
//! moment are neither lost nor repeated. Then the source ends; a host that serves opens it again.

mod connect;
mod options;
mod place;
mod round;
mod source;
mod types;

pub use options::Config;
pub use source::Postgres;

kindred_plugin_api::register!(source Postgres);
