//! Ids of events, with what came under them.

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Bytes of an id.
pub(super) const ID: usize = 16;
/// Bits below those of the id.
const BELOW: u32 = 40;
/// Bits below those of the columns.
const CONTENT: u32 = 24;

/// An event's id within its source, and what came under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u128);

/// What was known of an event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Never,
    /// The same event; or one whose content cannot be compared, because it was read from other columns.
    Again,
    /// Another event came under this id.
    Other,
}

/// What an event says, to be told from another: which columns it was read from, and a hash of what is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// The same for two events that can be compared.
    pub columns: u16,
    /// The same for two events that say the same, and by chance for one of 2^24 others.
    pub hash: u64,
}

impl Id {
    /// Of an event of a source.
    pub fn new(source: &str, id: &[u8], says: Says) -> Self {
        let key = xxh3_128_with_seed(id, xxhash_rust::xxh3::xxh3_64(source.as_bytes()));
        let below = u128::from(says.columns) << CONTENT | u128::from(says.hash >> (64 - CONTENT));
        Self(key >> BELOW << BELOW | below)
    }

    /// What of it is of the event's id.
    pub(super) fn hash(self) -> u128 {
        self.0 >> BELOW
    }

    /// The first 64 bits of that.
    pub(super) fn first_bits(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// As it lies in a file.
    pub(super) fn to_bytes(self) -> [u8; ID] {
        self.0.to_le_bytes()
    }

    /// What an event is to the one that came first.
    pub(super) fn beside(self, first: Self) -> Seen {
        let columns = |id: Self| (id.0 >> CONTENT) as u16;
        if self.0 == first.0 || columns(self) != columns(first) { Seen::Again } else { Seen::Other }
    }
}

/// From their bytes.
pub(super) fn ids_of(bytes: &[u8]) -> impl Iterator<Item = Id> {
    bytes.as_chunks().0.iter().map(|bytes| Id(u128::from_le_bytes(*bytes)))
}
