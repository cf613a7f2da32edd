//! How far each partition was read: the position that the host stores and hands back.

use kindred_plugin_api::Result;
use kindred_reading::{position_bytes, position_from};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in many partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// By topic and partition; those that were never read are not there.
    topics: BTreeMap<String, BTreeMap<i32, Mark>>,
    /// The partition that is read next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<(String, i32)>,
}

/// What the log of a partition holds: the offset of its first message, and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: i64,
    pub(crate) end: i64,
}

/// A place between two messages of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// Offset of the next message.
    pub(crate) next: i64,
    /// How often the log was found to have begun anew, with offsets that were there before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) era: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(era: &u32) -> bool {
    *era == 0
}

impl Place {
    /// From the bytes that [`Place::to_bytes`] made.
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        position_from(bytes, "topics")
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        position_bytes(self)
    }

    /// Where a partition is read on, if it was ever read.
    fn mark(&self, topic: &str, partition: i32) -> Option<Mark> {
        self.topics.get(topic)?.get(&partition).copied()
    }

    pub(crate) fn set(&mut self, topic: &str, partition: i32, mark: Mark) {
        match self.topics.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, mark);
            }
            None => {
                self.topics.insert(topic.to_owned(), BTreeMap::from([(partition, mark)]));
            }
        }
    }

    /// All partitions that were read.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&str, i32, Mark)> {
        self.topics.iter().flat_map(|(topic, marks)| {
            marks.iter().map(|(partition, mark)| (topic.as_str(), *partition, *mark))
        })
    }

    /// Where reading enters a log, and what is no longer there.
    pub(crate) fn enter(&self, topic: &str, partition: i32, log: Extent) -> (Mark, Option<String>) {
        let Some(mark) = self.mark(topic, partition) else { return (Mark { next: log.first, era: 0 }, None) };
        let Extent { first, end } = log;
        let lost = if mark.next < first {
            format!("offsets {} to {} are gone", mark.next, first - 1)
        } else if mark.next > end {
            format!("was read up to offset {}, and ends at {end} now", mark.next)
        } else {
            return (mark, None);
        };
        let era = mark.era + u32::from(mark.next > end);
        (Mark { next: first, era }, Some(format!("topic `{topic}`, partition {partition}: {lost}")))
    }

    pub(crate) fn turn(&self) -> Option<(&str, i32)> {
        self.turn.as_ref().map(|(topic, partition)| (topic.as_str(), *partition))
    }

    pub(crate) fn set_turn(&mut self, topic: &str, partition: i32) {
        self.turn = Some((topic.to_owned(), partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Marks = BTreeMap<(String, i32), (i64, u32)>;

    fn marks() -> impl Strategy<Value = Marks> {
        proptest::collection::btree_map(("[a-c]", 0..4), (0..1000_i64, 0..3_u32), 0..10)
    }

    fn place(marks: &Marks) -> Place {
        let mut place = Place::default();
        for ((topic, partition), (next, era)) in marks {
            place.set(topic, *partition, Mark { next: *next, era: *era });
        }
        place
    }

    fn told(place: &Place) -> Marks {
        let entry =
            |(topic, partition, mark): (&str, _, Mark)| ((topic.into(), partition), (mark.next, mark.era));
        place.marks().map(entry).collect()
    }

    proptest! {
        #[test]
        fn a_place_comes_back_from_its_bytes(all in marks(), turn in proptest::option::of(("[a-c]", 0..4))) {
            let mut place = place(&all);
            if let Some((topic, partition)) = &turn {
                place.set_turn(topic, *partition);
            }
            let back = Place::from_bytes(&place.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(told(&back), all);
            prop_assert_eq!(back.turn().map(|(topic, partition)| (topic.to_owned(), partition)), turn);
            prop_assert_eq!(back, place);
        }

        #[test]
        fn what_is_read_of_some_leaves_the_others_where_they_were(before in marks(), read in marks()) {
            let mut place = place(&before);
            for ((topic, partition), (next, era)) in &read {
                place.set(topic, *partition, Mark { next: *next, era: *era });
            }
            let mut both = before;
            both.extend(read);
            prop_assert_eq!(told(&place), both);
        }

        #[test]
        fn a_log_is_entered_where_it_was_left_or_says_what_is_lost(
            known in proptest::option::of((0..100_i64, 0..3_u32)), first in 0..100_i64, held in 0..100_i64,
        ) {
            let log = Extent { first, end: first + held };
            let all = known.map(|mark| (("a".to_owned(), 0), mark)).into_iter().collect();
            let (mark, lost) = place(&all).enter("a", 0, log);
            prop_assert!((log.first..=log.end).contains(&mark.next));
            match known {
                None => prop_assert_eq!((mark, lost), (Mark { next: first, era: 0 }, None)),
                Some((next, era)) if (log.first..=log.end).contains(&next) => {
                    prop_assert_eq!((mark, lost), (Mark { next, era }, None));
                }
                // Offsets that come a second time belong to another era, so that their ids are new.
                Some((next, era)) => {
                    prop_assert_eq!(mark.era, era + u32::from(next > log.end));
                    prop_assert!(lost.unwrap().contains("topic `a`, partition 0"));
                }
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let fault = Place::from_bytes(b"{\"files\":{}}").unwrap_err();
        assert!(fault.message.contains("not one of topics"), "{fault}");
    }
}
