//! A connection that reads: one queue a partition, which take turns.

use crate::{
    lane::{BLINK, Lane},
    place::Place,
    reach::{Client, Reach, offsets},
};
use kindred_plugin_api::{Context, Fault, Result};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

/// How often partitions that were added are looked for.
const LOOK: Duration = Duration::from_secs(10);
/// How often the ends of the logs are asked for while there is more to read.
const COUNT: Duration = Duration::from_secs(1);

/// A client and the partitions that it reads.
pub(crate) struct Link {
    // Dropped before the client whose queues they are.
    lanes: Vec<Lane>,
    client: Arc<Client>,
    reach: Reach,
    turn: usize,
    arrived: Receiver<()>,
    arrival: SyncSender<()>,
    looked: Instant,
    counted: Instant,
}

impl Link {
    /// Connects, and reads on at a place.
    ///
    /// # Errors
    /// As [`Reach::partitions`]; CONFIG when what comes next at the place is gone.
    pub(crate) fn new(reach: &Reach, place: &Place) -> Result<Self> {
        let partitions = reach.partitions(&reach.client(1)?)?;
        Self::over(reach, place, &partitions)
    }

    /// Reads these partitions, and later others that are found.
    pub(crate) fn over(reach: &Reach, place: &Place, partitions: &[(String, i32)]) -> Result<Self> {
        let client = Arc::new(reach.client(partitions.len())?);
        let (arrival, arrived) = sync_channel(1);
        let now = Instant::now();
        let mut link = Self {
            lanes: Vec::new(),
            client,
            reach: reach.clone(),
            turn: 0,
            arrived,
            arrival,
            looked: now,
            counted: now,
        };
        link.add(place, partitions)?;
        if let Some(turn) = place.turn() {
            let before = |lane: &Lane| (lane.topic.as_str(), lane.partition) < turn;
            link.turn = link.lanes.partition_point(before) % link.lanes.len();
        }
        Ok(link)
    }

    /// Reads these, too.
    fn add(&mut self, place: &Place, partitions: &[(String, i32)]) -> Result<()> {
        let extents = Reach::extents(&self.client, partitions)?;
        let mut list = TopicPartitionList::with_capacity(extents.len());
        let turn = self.lanes.get(self.turn).map(|lane| (lane.topic.clone(), lane.partition));
        for ((topic, partition), extent) in extents {
            let (mark, lost) = place.enter(&topic, partition, extent);
            if let Some(lost) = lost {
                self.reach.lose(&lost)?;
            }
            let lost = |error| self.client.context().fault("a partition cannot be read", &error);
            list.add_partition_offset(&topic, partition, Offset::Offset(mark.next)).map_err(lost)?;
            let Some(mut queue) = self.client.split_partition_queue(&topic, partition) else {
                return Err(Fault::transient(
                    "partition",
                    format!("topic `{topic}` has no partition {partition}"),
                ));
            };
            let arrival = self.arrival.clone();
            queue.set_nonempty_callback(move || {
                // One token says it of all.
                let _ = arrival.try_send(());
            });
            let origin = format!("{topic}/{partition}").into();
            self.lanes.push(Lane { origin, topic, partition, mark, queue, end: extent.end, at_end: false });
        }
        self.client
            .incremental_assign(&list)
            .map_err(|error| self.client.context().fault("the partitions cannot be read", &error))?;
        self.lanes.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let at = |turn: &(String, i32)| {
            self.lanes.iter().position(|l| (&l.topic, l.partition) == (&turn.0, turn.1))
        };
        self.turn = turn.as_ref().and_then(at).unwrap_or(0);
        Ok(())
    }

    /// Serves the client, and finds partitions that were added, from time to time.
    ///
    /// # Errors
    /// As [`Link::new`]; TRANSIENT when the client cannot go on.
    pub(crate) fn tend(&mut self, context: &Context, place: &Place) -> Result<()> {
        while let Some(told) = self.client.poll(Duration::ZERO) {
            if let Err(error @ KafkaError::MessageConsumptionFatal(_)) = told {
                return Err(self.client.context().fault("the client cannot go on", &error));
            }
        }
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let mut partitions = self.reach.partitions(&self.client)?;
        partitions.retain(|(topic, partition)| {
            !self.lanes.iter().any(|lane| (&lane.topic, lane.partition) == (topic, *partition))
        });
        if partitions.is_empty() {
            return Ok(());
        }
        for (topic, partition) in &partitions {
            context.info(&format!("topic `{topic}` has a partition {partition} now"));
        }
        self.add(place, &partitions)
    }

    /// Has the next [`Link::tend`] look for partitions.
    #[cfg(test)]
    pub(crate) fn look_now(&mut self) {
        self.looked = Instant::now().checked_sub(LOOK).unwrap_or(self.looked);
    }

    /// Hands the next messages over, at most so many and while `more` wants more; in the order of the turns.
    ///
    /// # Errors
    /// TRANSIENT when a message that is there does not come, CONFIG when it is gone, CANCELLED.
    pub(crate) fn take(
        &mut self,
        context: &Context,
        most: usize,
        mut more: impl FnMut(&Lane, &BorrowedMessage<'_>) -> bool,
    ) -> Result<()> {
        let (mut taken, mut passed) = (0, 0);
        while taken < most && passed < self.lanes.len() {
            let lane = &mut self.lanes[self.turn];
            let Some(next) = lane.next(context, &mut more)? else {
                passed += 1;
                self.turn = (self.turn + 1) % self.lanes.len();
                continue;
            };
            (taken, passed) = (taken + 1, 0);
            if next.turn_over {
                self.turn = (self.turn + 1) % self.lanes.len();
            }
            if !next.more {
                break;
            }
        }
        Ok(())
    }

    /// Waits until a message arrives, at most so long; whether one did.
    pub(crate) fn wait(&self, wait: Duration, context: &Context) -> bool {
        let began = Instant::now();
        loop {
            if self.arrived.recv_timeout(BLINK).is_ok() {
                return true;
            }
            if began.elapsed() >= wait || context.cancelled() {
                return false;
            }
        }
    }

    /// Asks for the ends of the logs, and whether there is more than was read.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) fn count(&mut self) -> Result<bool> {
        let partitions: Vec<_> = self.lanes.iter().map(|lane| (lane.topic.clone(), lane.partition)).collect();
        let ends = offsets(&self.client, &partitions, Offset::End)?;
        self.counted = Instant::now();
        for (lane, at) in self.lanes.iter_mut().zip(partitions) {
            let end = ends.get(&at).copied().unwrap_or(lane.end);
            lane.at_end &= end <= lane.end;
            lane.end = end;
        }
        Ok(self.backlog() > 0)
    }

    /// Asks for the ends of the logs where that was long ago; what was known stays where no answer comes.
    pub(crate) fn recount(&mut self, context: &Context) {
        if self.counted.elapsed() >= COUNT
            && let Err(fault) = self.count()
        {
            self.counted = Instant::now();
            context.debug(&fault.message);
        }
    }

    /// Messages that are known to wait.
    pub(crate) fn backlog(&self) -> u64 {
        self.lanes.iter().map(Lane::waiting).sum()
    }

    /// Notes how far all was read.
    pub(crate) fn note(&self, place: &mut Place) {
        for lane in &self.lanes {
            place.set(&lane.topic, lane.partition, lane.mark);
        }
        if let Some(lane) = self.lanes.get(self.turn) {
            place.set_turn(&lane.topic, lane.partition);
        }
    }

    /// Tells the group how far all was read; what came of it is told later.
    ///
    /// # Errors
    /// TRANSIENT.
    pub(crate) fn tell(&self, place: &Place) -> Result<()> {
        let lost = |error| self.client.context().fault("the group cannot be told", &error);
        let mut list = TopicPartitionList::new();
        for (topic, partition, mark) in place.marks() {
            if self.lanes.iter().any(|lane| lane.topic == topic && lane.partition == partition) {
                list.add_partition_offset(topic, partition, Offset::Offset(mark.next)).map_err(lost)?;
            }
        }
        if list.count() == 0 { Ok(()) } else { self.client.commit(&list, CommitMode::Async).map_err(lost) }
    }
}
