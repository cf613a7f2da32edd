//! Who enters and leaves, as it happens: server-sent events (HTML standard, section 9.2).

use super::{Problem, Refused, Shared, access::Shown, profiles::reach};
use crate::{
    config::{Key, Scope},
    serve::view::{Changes, View},
    step::text,
};
use axum::{
    extract::{Path, Query, State},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, stream};
use roaring::RoaringBitmap;
use serde::Deserialize;
use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    sync::Arc,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::IntoParams;

type Told = Result<Event, Infallible>;

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Wanted {
    /// Namespace of the identifiers that profiles are told by; those without one are left out.
    namespace: Option<String>,
    /// Names of segments, joined by commas. Default: all that the key is for.
    segments: Option<String>,
    /// The key, for web pages.
    #[expect(dead_code, reason = "read with the other ways to show a key; it stands here for the document")]
    key: Option<String>,
}

/// What one listener is told.
struct Listener {
    changes: Receiver<Arc<Changes>>,
    view: Arc<View>,
    key: Arc<Key>,
    segments: Option<BTreeSet<String>>,
    who: Who,
    ready: VecDeque<Event>,
}

/// Whose changes.
enum Who {
    One(String, String),
    All { namespace: String },
}

impl Listener {
    /// Events of a commit.
    fn tell(&mut self, changes: &Changes) {
        for change in &changes.list {
            let allowed = |list: &[String]| list.contains(&change.segment);
            if !self.key.segments.as_deref().is_none_or(allowed)
                || self.segments.as_ref().is_some_and(|wanted| !wanted.contains(&change.segment))
            {
                continue;
            }
            for (what, profiles) in [("enter", &change.entered), ("exit", &change.left)] {
                for identifier in self.identifiers(profiles, what) {
                    let data = serde_json::json!({
                        "segment": change.segment, "profile": identifier, "as_of": text(changes.as_of_us),
                    });
                    self.ready.push_back(Event::default().event(what).data(data.to_string()));
                }
            }
        }
    }

    /// Identifiers of those who may be told of. Who leaves may be told of without consent: that is how it ends.
    fn identifiers(&self, profiles: &RoaringBitmap, what: &str) -> Vec<String> {
        let consents = |number: u32| {
            let seen = self.view.profile(number).ok()?;
            (what == "exit" || seen.profile.reach() >= reach(&self.key)).then_some(seen)
        };
        match &self.who {
            Who::One(namespace, value) => {
                let number = self.view.find(namespace, value).ok().flatten();
                let seen = number.filter(|number| profiles.contains(*number)).and_then(consents);
                seen.map(|_| format!("{namespace}:{value}")).into_iter().collect()
            }
            Who::All { namespace } => profiles
                .iter()
                .filter_map(consents)
                .filter_map(|seen| {
                    let own = seen.profile.identifiers.iter().find(|(own, _)| own == namespace)?;
                    Some(format!("{}:{}", own.0, own.1))
                })
                .collect(),
        }
    }

    fn stream(self) -> Sse<impl Stream<Item = Told>> {
        let events = stream::unfold(self, |mut this| async move {
            loop {
                if let Some(event) = this.ready.pop_front() {
                    return Some((Ok(event), this));
                }
                match this.changes.recv().await {
                    Ok(changes) => this.tell(&changes),
                    // The listener was too slow: it is told so, and asks anew.
                    Err(RecvError::Lagged(commits)) => {
                        let missed =
                            Event::default().event("missed").data(format!("{{\"commits\":{commits}}}"));
                        this.ready.push_back(missed);
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Sse::new(events).keep_alive(KeepAlive::default())
    }
}

fn listener(shared: &Shared, key: Arc<Key>, wanted: Wanted, who: Who) -> Listener {
    let segments = wanted.segments.map(|list| list.split(',').map(str::to_owned).collect());
    let (changes, view) = (shared.view.changes(), shared.view.clone());
    Listener { changes, view, key, segments, who, ready: VecDeque::new() }
}

/// What one profile enters and leaves: events `enter` and `exit`, and `missed` when some could not be told.
#[utoipa::path(
    get, path = "/v1/profiles/{identifier}/changes",
    params(("identifier" = String, Path, description = "`NAMESPACE:VALUE`, which need not be known yet; or `me`"), Wanted),
    responses((status = 200, content_type = "text/event-stream", body = str), (status = 401, body = Problem),
              (status = 403, body = Problem)),
    security(("key" = []))
)]
pub(super) async fn of_one(
    State(shared): State<Shared>,
    Path(asked): Path<String>,
    Query(wanted): Query<Wanted>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Told>>, Refused> {
    let key = shown.key(Scope::Profile)?.clone();
    let (namespace, value) = shown.identifier(&asked)?;
    let who = Who::One(namespace.to_owned(), value.to_owned());
    Ok(listener(&shared, key, wanted, who).stream())
}

/// Who enters and leaves.
#[utoipa::path(
    get, path = "/v1/changes", params(Wanted),
    responses((status = 200, content_type = "text/event-stream", body = str), (status = 401, body = Problem),
              (status = 403, body = Problem)),
    security(("key" = []))
)]
pub(super) async fn of_all(
    State(shared): State<Shared>,
    Query(wanted): Query<Wanted>,
    shown: Shown,
) -> Result<Sse<impl Stream<Item = Told>>, Refused> {
    let key = shown.key(Scope::Changes)?.clone();
    let namespace = wanted.namespace.clone().unwrap_or_else(|| "cookie".to_owned());
    Ok(listener(&shared, key, wanted, Who::All { namespace }).stream())
}
