//! Ids that came lately and what came under them: a resend is the same again, but another event under a used id would be
//! dropped silently by the de-duplication behind. Memory is bounded; what is older than the window, only the host's store
//! could tell.

use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::xxh3_64;

/// The last ids.
pub(crate) struct Recent {
    contents: HashMap<u64, u64>,
    order: VecDeque<u64>,
    most: usize,
}

impl Recent {
    pub(crate) fn new(most: usize) -> Self {
        Self { contents: HashMap::new(), order: VecDeque::new(), most }
    }

    /// False when the id came lately with something else.
    pub(crate) fn agrees(&mut self, id: &str, content: u64) -> bool {
        let id = xxh3_64(id.as_bytes());
        if let Some(known) = self.contents.get(&id) {
            return *known == content;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.contents.remove(&oldest);
        }
        self.contents.insert(id, content);
        self.order.push_back(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_event_under_a_used_id_is_told_within_the_window() {
        let mut recent = Recent::new(2);
        assert!(recent.agrees("a", 1) && recent.agrees("a", 1));
        assert!(!recent.agrees("a", 2));
        assert!(recent.agrees("a", 1), "the first stays what it was");
        assert!(recent.agrees("b", 1) && recent.agrees("c", 1));
        assert!(recent.agrees("a", 2), "the window has passed");
        assert_eq!(recent.contents.len(), 2);
    }
}
