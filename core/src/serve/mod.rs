//! `kindred serve`: the steps of a run without an end, what others may ask meanwhile, and a way out that loses nothing.
//!
//! ```text
//! sources ─▶ step ─▶ commit ─▶ view ─▶ Profile API, changes
//!              ▲ bell             └──▶ deliveries, a thread for each that is under way
//! ```
//!
//! One thread owns the store and goes round: a step of what is there, questions, deliveries, fitting when it is time.
//! Whatever comes in rings its bell. Readers see the last commit and never wait for a step.
//!
//! What a step needs and does not get for a while ends nothing: a source that fails is opened again, a file that would not
//! open is refused before anything is given up for it, and a full disk is waited out.

mod api;
mod ask;
mod deliveries;
mod full;
mod reload;
mod signals;
mod status;
mod tend;
mod told;
mod view;

pub use signals::Signals;

use crate::{
    Result,
    config::Pipeline,
    log,
    plugin::registry::Registry,
    step::{Opening, Schemas, summary::Summary},
    store::Store,
};
use api::Api;
use ask::{Question, asking};
use kindred_listening::Listener;
use status::Status;
use std::{
    net::SocketAddr,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};
use view::View;

/// From the signal to the end.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Behind the signal, for sources to hand out what they answer for.
const RUN_DRY: Duration = Duration::from_secs(12);
/// Behind the signal, for deliveries that are under way; what is not back by then stays pending.
const DELIVER: Duration = Duration::from_secs(24);
/// Behind the signal, for plugins to close; one that hangs is left behind. The rest is for requests and the store.
const CLOSE: Duration = Duration::from_secs(26);

/// Serves a pipeline until it is told to stop. `load` reads its file again and is none, having told why, when that is
/// wrong; `ready` is told the address of the API.
///
/// # Errors
/// When a plugin or the store fails; what was committed before stays.
pub fn serve(
    pipeline: Pipeline,
    registry: &Registry,
    load: &dyn Fn() -> Option<Pipeline>,
    signals: &Signals,
    ready: &dyn Fn(SocketAddr),
) -> Result<Summary> {
    let begun = Instant::now();
    let store = Store::open(&pipeline.store)?;
    let status = Arc::new(Status::new(&pipeline.name));
    let view = Arc::new(View::new(&store, &pipeline.store));
    let (asker, questions) = asking(&signals.bell);
    let shows = (&view, &status, &asker);
    let mut api = Api::start(Api::bind(&pipeline.serve)?, &pipeline.serve, shows)?;
    ready(api.address());
    let server = Server { registry, signals, view: &view, status: &status, questions: &questions, load };
    let (mut pipeline, mut opening) = (pipeline, Opening::new(store));
    loop {
        match server.tend(&pipeline, opening, begun)? {
            Ended::Stopped(ended) => {
                let (summary, store) = *ended;
                // Who reads has parts of the store, which closes when nobody has.
                api.stop();
                view.close();
                store.close()?;
                return Ok(summary);
            }
            Ended::Reloaded(reloaded) => {
                let Reloaded { next, listener, opening: with } = *reloaded;
                if next.serve != pipeline.serve {
                    api = api.restart(listener, &next.serve, shows)?;
                    log::info(&format!("health, metrics and profiles at http://{}", api.address()));
                }
                (pipeline, opening) = (next, with);
            }
            Ended::Full(known) => opening = Opening::again(server.open_again(&pipeline.store)?, known),
        }
    }
}

struct Server<'a> {
    registry: &'a Registry,
    signals: &'a Signals,
    view: &'a View,
    status: &'a Status,
    questions: &'a Receiver<Question>,
    load: &'a dyn Fn() -> Option<Pipeline>,
}

/// Why a pipeline ended.
enum Ended {
    Stopped(Box<(Summary, Store)>),
    /// Another one takes over.
    Reloaded(Box<Reloaded>),
    /// The store's disk was full and has room again; what its sources bring.
    Full(Schemas),
}

/// Another pipeline, and what it begins with.
struct Reloaded {
    next: Pipeline,
    /// Its address, where that is another one.
    listener: Option<Listener>,
    opening: Opening,
}
