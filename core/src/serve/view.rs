//! What readers see of a pipeline that is served: who is in which segment as of the last commit, when that changes by
//! itself, and what the database says of a profile. Readers never wait for a step; a step only puts new bitmaps in place.

use crate::{
    Error, Result,
    config::Clock,
    consent::Reach,
    profile::{Attribute, Profile, Value, batch::Moment},
    segment::{Moved, Segments},
    store::{
        Store,
        tables::{self, Readers, number, profile_key},
    },
};
use roaring::RoaringBitmap;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::broadcast;

/// Commits whose changes a slow reader may lag behind before it misses some.
const LAG: usize = 1_024;

/// Who is in which segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// As of when, and what counts then.
    pub(super) moment: Moment,
    /// Time passes while nothing is committed.
    pub(super) is_by_wall: bool,
    /// By segment.
    pub(super) of: BTreeMap<String, Arc<RoaringBitmap>>,
}

impl Members {
    /// Whether an attribute counts at the moment of asking.
    fn counts(&self, name: &str, attribute: &Attribute) -> bool {
        let now_us = if self.is_by_wall { crate::clock::now_us() } else { self.moment.as_of_us };
        self.moment.ttl_of(name).is_none_or(|ttl_us| attribute.since_us.saturating_add(ttl_us) > now_us)
    }
}

/// What a commit changed in one segment.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) segment: String,
    pub(super) entered: RoaringBitmap,
    pub(super) left: RoaringBitmap,
}

/// What a commit changed.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    pub(super) as_of_us: i64,
    pub(super) list: Vec<Change>,
}

/// What readers see.
#[derive(Debug)]
pub(super) struct View {
    /// None while the store is closed.
    readers: RwLock<Option<Readers>>,
    store: PathBuf,
    members: RwLock<Arc<Members>>,
    /// Of each profile, when its answer can change with no new event; `i64::MAX` for never.
    due_us: RwLock<Vec<i64>>,
    changes: broadcast::Sender<Arc<Changes>>,
}

/// One profile as readers see it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) number: u32,
    pub(super) profile: Profile,
}

impl View {
    /// An empty one over a store.
    pub(super) fn new(store: &Store, dir: &Path) -> Self {
        Self {
            readers: RwLock::new(Some(store.tables.readers())),
            store: dir.to_owned(),
            members: RwLock::default(),
            due_us: RwLock::default(),
            changes: broadcast::channel(LAG).0,
        }
    }

    /// Lets go of the store, once who reads has read.
    pub(super) fn close(&self) {
        self.readers.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Reads from the store that was opened again.
    pub(super) fn open(&self, store: &Store) {
        let readers = store.tables.readers();
        self.readers.write().unwrap_or_else(PoisonError::into_inner).replace(readers);
    }

    fn read<T>(&self, read: impl FnOnce(&Readers) -> Result<T>) -> Result<T> {
        match &*self.readers.read().unwrap_or_else(PoisonError::into_inner) {
            Some(readers) => read(readers),
            None => Err(Error::NoRoom(self.store.clone())),
        }
    }

    /// Shows everything anew: the pipeline's segments may be others.
    pub(super) fn reset(
        &self,
        store: &Store,
        segments: &mut Segments,
        (moment, clock): (Moment, Clock),
    ) -> Result<()> {
        let due = segments.watch(store)?;
        *self.due_us.write().unwrap_or_else(PoisonError::into_inner) = due;
        let of = segments.members().iter().map(|(name, members)| (name.clone(), Arc::new(members.clone())));
        self.put(Members { moment, is_by_wall: clock == Clock::Wall, of: of.collect() });
        Ok(())
    }

    /// Shows what is durable now.
    pub(super) fn refresh(&self, segments: &mut Segments, moment: Moment) {
        let Moved { segments: moved, due } = segments.moved();
        if !due.is_empty() {
            let mut due_us = self.due_us.write().unwrap_or_else(PoisonError::into_inner);
            for (profile, us) in due {
                let at = profile as usize;
                if due_us.len() <= at {
                    due_us.resize(at + 1, i64::MAX);
                }
                due_us[at] = us;
            }
        }
        let as_of_us = moment.as_of_us;
        let mut next = Members { moment, ..(*self.members()).clone() };
        let mut list = Vec::new();
        for name in moved {
            let now = segments.members().get(&name).cloned().unwrap_or_default();
            let before = next.of.insert(name.clone(), Arc::new(now.clone())).unwrap_or_default();
            if self.changes.receiver_count() > 0 {
                list.push(Change { segment: name, entered: &now - &*before, left: &*before - &now });
            }
        }
        self.put(next);
        if !list.is_empty() {
            // Nobody listens any more only when the last one has just left.
            let _ = self.changes.send(Arc::new(Changes { as_of_us, list }));
        }
    }

    fn put(&self, members: Members) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(members);
    }

    /// Who is in which segment now; stays as it is while it is looked at.
    pub(super) fn members(&self) -> Arc<Members> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What commits change from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Arc<Changes>> {
        self.changes.subscribe()
    }

    /// When the answer of a profile can change with no new event.
    pub(super) fn next_change_us(&self, profile: u32) -> Option<i64> {
        let due_us = self.due_us.read().unwrap_or_else(PoisonError::into_inner);
        due_us.get(profile as usize).copied().filter(|us| *us != i64::MAX)
    }

    /// The profile of an identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn find(&self, namespace: &str, value: &str) -> Result<Option<u32>> {
        let key = [namespace.as_bytes(), &[0], value.as_bytes()].concat();
        self.read(|readers| {
            let mut found = readers.identifiers.get(key)?.and_then(|bytes| number(&bytes));
            while let Some(profile) = found {
                match readers.merged.get(profile_key(profile))?.and_then(|bytes| number(&bytes)) {
                    Some(into) => found = Some(into),
                    None => break,
                }
            }
            Ok(found)
        })
    }

    /// What is known of a profile.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn profile(&self, number: u32) -> Result<Seen> {
        let profile = self.read(|readers| tables::read(&readers.profiles, profile_key(number)))?;
        Ok(Seen { number, profile: profile.unwrap_or_default() })
    }
}

impl Seen {
    /// Segments that it is in, of those that are allowed; none where its consent does not reach that far.
    pub(super) fn segments<'m>(
        &self,
        members: &'m Members,
        reach: Reach,
        allowed: Option<&[String]>,
    ) -> Vec<&'m str> {
        if self.profile.reach() < reach {
            return Vec::new();
        }
        let allowed = |name: &String| allowed.is_none_or(|allowed| allowed.contains(name));
        let inside = members.of.iter().filter(|(name, inside)| allowed(name) && inside.contains(self.number));
        inside.map(|(name, _)| name.as_str()).collect()
    }

    /// Attributes of those that are allowed and not expired; none where its consent does not reach that far.
    pub(super) fn attributes(
        &self,
        members: &Members,
        reach: Reach,
        allowed: &[String],
    ) -> BTreeMap<String, serde_json::Value> {
        if self.profile.reach() < reach {
            return BTreeMap::new();
        }
        let known = allowed.iter().filter_map(|name| Some((name, self.profile.attributes.get(name)?)));
        let counting = known.filter(|(name, attribute)| members.counts(name, attribute));
        counting.map(|(name, attribute)| (name.clone(), json(&attribute.value))).collect()
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Decimal(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Time(us) => crate::step::text(*us).into(),
    }
}

/// `NAMESPACE:VALUE`.
pub(super) fn identifier(text: &str) -> Result<(&str, &str)> {
    let parts = text.split_once(':').filter(|(namespace, value)| !namespace.is_empty() && !value.is_empty());
    parts
        .ok_or_else(|| Error::NotFound("the identifier is not NAMESPACE:VALUE, such as `cookie:3f2a`".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_attributes_are_not_shown() {
        let mut profile = Profile { vouched: true, ..Profile::default() };
        profile.set("crm.tier", Value::Text("gold".into()), 100);
        profile.set("web.tier", Value::Text("tin".into()), 1);
        let seen = Seen { number: 0, profile };
        let allowed = ["crm.tier".to_owned(), "web.tier".to_owned()];
        let shown = |as_of_us, is_by_wall| {
            let ttl_us = BTreeMap::from([("crm".to_owned(), 50)]);
            let moment = Moment { as_of_us, retention_us: 10, ttl_us };
            let members = Members { moment, is_by_wall, of: BTreeMap::new() };
            seen.attributes(&members, Reach::Segment, &allowed).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(shown(149, false), allowed);
        assert_eq!(shown(150, false), ["web.tier"]);
        // The last commit is old, and the clock has gone on.
        assert_eq!(shown(149, true), ["web.tier"]);
    }
}
