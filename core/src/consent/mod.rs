//! The consent gate. It stands in three places: here, before a row touches a profile; at evaluation, where a profile
//! that does not consent is in no segment; and at send, where it is looked up again. All three fail closed.

use crate::config::ConsentDefault;

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on; `explicit` when the row itself carries the grant.
    Pass {
        /// The profile's own word, to be stored.
        explicit: bool,
    },
    /// It is dropped, and a denial that the row carries is stored on a profile that exists.
    Suppress {
        /// The profile's own word, to be stored.
        explicit: bool,
    },
}

/// Decides on the row's own consent, else on the source's default. Anything but `granted` is a denial.
pub fn decide(row: Option<&str>, default: ConsentDefault) -> Decision {
    match (row, default) {
        (Some("granted"), _) => Decision::Pass { explicit: true },
        (Some(_), _) => Decision::Suppress { explicit: true },
        (None, ConsentDefault::Granted) => Decision::Pass { explicit: false },
        (None, ConsentDefault::Required) => Decision::Suppress { explicit: false },
    }
}
