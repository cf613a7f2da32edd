//! The consent gate. It stands in three places: here, before a row touches a profile; at evaluation, where a profile
//! whose consent does not reach that far is in no segment; and at send, where it is looked up again. All three fail closed.

use crate::config::ConsentDefault;
use serde::{Deserialize, Serialize};

/// How far a consent reaches. Each stage needs those before it, so it is one of four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// Nothing may be stored.
    #[default]
    Nothing,
    /// It may be stored, and not used.
    Collect,
    /// And be evaluated for segments.
    Segment,
    /// And be sent to destinations.
    Activate,
}

impl Reach {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Collect, Self::Segment, Self::Activate];

    /// From the column `consent`; anything unknown reaches nothing.
    pub fn parse(text: &str) -> Self {
        match text {
            "granted" | "collect segment activate" => Self::Activate,
            "collect segment" => Self::Segment,
            "collect" => Self::Collect,
            _ => Self::Nothing,
        }
    }

    /// As it stands in the column `consent`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "denied",
            Self::Collect => "collect",
            Self::Segment => "collect segment",
            Self::Activate => "granted",
        }
    }
}

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on; `said` is the profile's own word, to be stored.
    Pass {
        /// None where the operator vouches for it.
        said: Option<Reach>,
    },
    /// It is dropped, and a denial that the row carries is stored on a profile that exists.
    Suppress {
        /// The row itself denies.
        explicit: bool,
    },
}

/// Decides on the row's own consent, else on the source's default.
pub fn decide(row: Option<&str>, default: ConsentDefault) -> Decision {
    match (row.map(Reach::parse), default) {
        (Some(Reach::Nothing), _) => Decision::Suppress { explicit: true },
        (None, ConsentDefault::Required) => Decision::Suppress { explicit: false },
        (said, _) => Decision::Pass { said },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_reaches_are_the_same_and_all_else_is_a_denial() {
        for reach in Reach::ALL {
            assert_eq!(Reach::parse(reach.text()), reach);
        }
        for text in ["", "Granted", "activate", "segment activate", "collect activate", "yes"] {
            assert_eq!(Reach::parse(text), Reach::Nothing, "{text}");
        }
    }
}
