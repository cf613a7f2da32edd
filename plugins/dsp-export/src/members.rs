//! The members of a delivery, held until it is sorted by user: 24 bytes and the identifier's own for each.

use std::collections::HashMap;

/// One identifier that enters or leaves one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    at: u64,
    /// Seconds since 1970.
    pub(crate) since_s: i64,
    /// Index into [`Members::segments`].
    pub(crate) segment: u32,
    length: u16,
    pub(crate) remove: bool,
}

/// Members, their identifiers in one string.
#[derive(Default)]
pub(crate) struct Members {
    text: String,
    members: Vec<Member>,
    segments: Vec<String>,
    by_name: HashMap<String, u32>,
}

impl Members {
    /// The number of a segment.
    pub(crate) fn segment(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.by_name.get(name) {
            return number;
        }
        let number = self.segments.len() as u32;
        self.segments.push(name.to_owned());
        self.by_name.insert(name.to_owned(), number);
        number
    }

    /// Names of the segments, by number.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Adds one member; false when the identifier is longer than 64 KiB.
    pub(crate) fn push(&mut self, id: &str, segment: u32, remove: bool, since_s: i64) -> bool {
        let Ok(length) = u16::try_from(id.len()) else { return false };
        self.members.push(Member { at: self.text.len() as u64, since_s, segment, length, remove });
        self.text.push_str(id);
        true
    }

    /// Each identifier with its changes, sorted by identifier, then segment. Two profiles may share an identifier for
    /// a moment, while they are being joined or parted; where one enters a segment that the other leaves, it enters.
    pub(crate) fn users(&mut self) -> impl Iterator<Item = (&str, &[Member])> {
        let Self { text, members, .. } = self;
        let text: &str = text;
        let key = move |member: &Member| (id(text, member), member.segment);
        members.sort_unstable_by(|a, b| {
            key(a).cmp(&key(b)).then(a.remove.cmp(&b.remove)).then(a.since_s.cmp(&b.since_s))
        });
        members.dedup_by(|later, first| key(later) == key(first));
        members
            .chunk_by(move |a, b| id(text, a) == id(text, b))
            .map(move |changes| (changes.first().map_or("", |first| id(text, first)), changes))
    }
}

fn id<'a>(text: &'a str, member: &Member) -> &'a str {
    let at = member.at as usize;
    &text[at..at + usize::from(member.length)]
}
