//! A collector: events come in over HTTP and go out as rows.
//!
//! ```text
//! request ─ limits ─ site, origin ─ consent ─▶ envelope ─▶ spool ─▶ 2xx
//!                                                            │
//!                             batch, rejects ◀─ mapping ◀─ call
//! ```
//!
//! A request costs one look at each event and one append. It is answered with success only when its record is durable.
//! All else happens when the host polls: what an event means (`call`), and which columns it becomes (`mapping`, the same
//! as for files). The form of all events is Segment's; pixel and Snowplow are translated into it.
//!
//! # Rejects
//!
//! | code | the event |
//! |---|---|
//! | `json`, `depth`, `nul`, `surrogate` | is not one JSON object, is nested too deeply, holds NUL or half of a surrogate pair |
//! | `event-too-large` | has more bytes than `limits.event_bytes` |
//! | `type`, `event-name` | is of no known type; tracks something without a name |
//! | `id-reused` | came under the id of another event |
//! | `value`, `identifier`, `no-identifier` | as of files |
//! | `envelope` | was written to the spool by another version |
//!
//! No reject holds anything of its event.

mod acks;
mod address;
mod app;
mod body;
mod call;
mod cookie;
mod cors;
mod counters;
mod entities;
mod envelope;
mod inspect;
mod intake;
mod mapping;
mod matches;
mod options;
mod partners;
mod peek;
mod pixel;
mod place;
mod recent;
mod refusal;
mod secret;
mod segment;
mod server;
mod sites;
mod snowplow;
mod source;
mod sync;
mod tag;
mod visit;

use app::App;
pub use mapping::Shared;
pub use options::{CollectorConfig, CookieConfig, RequestLimits, SiteConfig, SpoolConfig};
pub use partners::PartnerConfig;
pub use secret::Secret;
pub use source::{Collector, problems, schema};
