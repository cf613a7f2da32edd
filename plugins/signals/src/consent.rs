//! The answer: three stages, and where they come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may be done. A later stage is never allowed without the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Store anything about the visitor, and set the id cookie.
    Collect,
    /// Evaluate the profile for audiences.
    Segment,
    /// Send it to destinations.
    Activate,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Collect, Self::Segment, Self::Activate];

    /// The word of the column `consent`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Segment => "segment",
            Self::Activate => "activate",
        }
    }
}

/// What a visitor's signals allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// Store anything about the visitor.
    pub collect: bool,
    /// Evaluate the profile for audiences; only with `collect`.
    pub segment: bool,
    /// Send it to destinations; only with `segment`.
    pub activate: bool,
    /// What this was derived from, in a few words that many visitors share: `tcf2 policy5 list48 cmp300 2026-03-01`,
    /// `gpp usnat`, `gpc`, `none`, `malformed`; several joined by `, `.
    pub version: String,
}

impl Consent {
    /// The first `stages` stages, 0 to 3.
    pub(crate) fn up_to(stages: usize, version: impl Into<String>) -> Self {
        let [collect, segment, activate] = [stages > 0, stages > 1, stages > 2];
        Self { collect, segment, activate, version: version.into() }
    }

    /// What a signal that cannot be read allows: nothing.
    pub fn malformed() -> Self {
        Self::up_to(0, "malformed")
    }

    /// Whether this stage is allowed: it and all before it are.
    pub fn allows(&self, stage: Stage) -> bool {
        self.stages() > stage as usize
    }

    fn stages(&self) -> usize {
        [self.collect, self.segment, self.activate].iter().take_while(|allowed| **allowed).count()
    }

    /// The value of the column `consent`: `granted` where every stage is allowed, `denied` where none is, else their
    /// words, `collect` or `collect segment`.
    pub fn text(&self) -> &'static str {
        ["denied", "collect", "collect segment", "granted"][self.stages()]
    }

    /// This, and no more than a value of the column `consent` allows; a value that is none allows nothing.
    #[must_use]
    pub fn and(self, text: &str) -> Self {
        let stages = match text {
            "granted" => 3,
            words => {
                let found = |stage: &&Stage| words.split(' ').any(|word| word == stage.word());
                Stage::ALL.iter().take_while(found).count()
            }
        };
        let stages = stages.min(self.stages());
        Self::up_to(stages, self.version)
    }
}
