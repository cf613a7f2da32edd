//! How many of the visitors that were sent to a partner came back with the partner's id. The last of them are remembered,
//! from the start of this process on: each counts once, however often it is sent and comes back.

use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::xxh3_64;

/// The visitors that were sent last.
pub(crate) struct Matches {
    /// Whether a visitor came back.
    visitors: HashMap<u64, bool>,
    /// The same visitors and when they were first sent, the oldest first.
    order: VecDeque<(u64, i64)>,
    matched: usize,
    most: usize,
}

/// What is known of the visitors that are remembered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) visitors: usize,
    pub(crate) matched: usize,
    /// When the oldest of them was sent, in microseconds since 1970; none without any.
    pub(crate) since_us: Option<i64>,
}

impl Matches {
    /// Remembers so many visitors, at about 40 bytes each.
    pub(crate) fn new(most: usize) -> Self {
        Self { visitors: HashMap::new(), order: VecDeque::new(), matched: 0, most }
    }

    /// A visitor is sent to the partner; the oldest one makes room.
    pub(crate) fn sent(&mut self, visitor: &str, now_us: i64) {
        let visitor = xxh3_64(visitor.as_bytes());
        if self.visitors.contains_key(&visitor) {
            return;
        }
        if self.order.len() >= self.most
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.matched -= usize::from(self.visitors.remove(&oldest) == Some(true));
        }
        self.visitors.insert(visitor, false);
        self.order.push_back((visitor, now_us));
    }

    /// A visitor came back with an id; who was not sent does not count.
    pub(crate) fn came_back(&mut self, visitor: &str) {
        if let Some(matched) = self.visitors.get_mut(&xxh3_64(visitor.as_bytes())) {
            self.matched += usize::from(!*matched);
            *matched = true;
        }
    }

    pub(crate) fn counted(&self) -> Matched {
        let since_us = self.order.front().map(|(_, sent_us)| *sent_us);
        Matched { visitors: self.order.len(), matched: self.matched, since_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_visitor_counts_once_until_others_take_its_place() {
        let mut matches = Matches::new(2);
        assert_eq!(matches.counted(), Matched { visitors: 0, matched: 0, since_us: None });
        matches.came_back("a");
        matches.sent("a", 1);
        assert_eq!(matches.counted(), Matched { visitors: 1, matched: 0, since_us: Some(1) });
        for now in 2..9 {
            matches.sent("a", now);
            matches.came_back("a");
        }
        matches.sent("b", 9);
        assert_eq!(matches.counted(), Matched { visitors: 2, matched: 1, since_us: Some(1) });
        matches.sent("c", 10);
        matches.came_back("a");
        assert_eq!(matches.counted(), Matched { visitors: 2, matched: 0, since_us: Some(9) });
    }

    proptest! {
        /// Held against a list that is gone through each time.
        #[test]
        fn it_counts_as_a_list_does(most in 1_usize..5, steps in prop::collection::vec((any::<bool>(), 0_u8..8), 0..60)) {
            let mut matches = Matches::new(most);
            let mut list: Vec<(u8, i64, bool)> = Vec::new();
            for (now, (sent, visitor)) in steps.into_iter().enumerate() {
                let now = now as i64;
                let known = list.iter_mut().find(|(known, ..)| *known == visitor);
                match (sent, known) {
                    (true, None) => list.push((visitor, now, false)),
                    (false, Some(known)) => known.2 = true,
                    _ => {}
                }
                if list.len() > most {
                    list.remove(0);
                }
                let name = visitor.to_string();
                if sent { matches.sent(&name, now) } else { matches.came_back(&name) }
                let expected = Matched {
                    visitors: list.len(),
                    matched: list.iter().filter(|(.., matched)| *matched).count(),
                    since_us: list.first().map(|(_, sent_us, _)| *sent_us),
                };
                prop_assert!(expected.matched <= expected.visitors && expected.visitors <= most);
                prop_assert_eq!(matches.counted(), expected);
            }
        }
    }
}
