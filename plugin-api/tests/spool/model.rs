//! A property: whatever happens to the folder, what was acknowledged comes back once, in order and as it was, what was
//! trimmed does not come back, and what a flipped bit took is counted.

use crate::{all, memory, segments, small};
use kindred_plugin_api::spool::{Damage, Position, Spool};
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
};

#[derive(Clone, Debug)]
enum Action {
    /// Appends records of these sizes.
    Append(Vec<usize>),
    /// Reads so many, and commits them.
    Read(usize),
    /// Trims to what is committed.
    Trim,
    /// Closes and opens.
    Reopen,
    /// Crashes while records of these sizes are written: the file ends at this share of them; so many of its bytes at
    /// the other share never reached the disk.
    Crash(Vec<usize>, f64, usize, f64),
    /// Closes, flips a bit at this share of all bytes, and opens.
    Flip(f64, u8),
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![4 => 0..300_usize, 1 => 300..5000_usize], 1..12)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => sizes().prop_map(Action::Append),
        2 => (1..20_usize).prop_map(Action::Read),
        2 => Just(Action::Trim),
        1 => Just(Action::Reopen),
        2 => (sizes(), 0.0..=1.0, 0..600_usize, 0.0..=1.0).prop_map(|(s, c, z, at)| Action::Crash(s, c, z, at)),
        2 => (0.0..1.0, 0..8_u8).prop_map(|(at, bit)| Action::Flip(at, bit)),
    ]
}

/// A payload that cannot be taken for another one.
fn payload(number: usize, size: usize) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..size).map(|n| (n * 31 + number).to_le_bytes()[0]));
    bytes
}

struct Model {
    root: tempfile::TempDir,
    folder: PathBuf,
    spool: Option<Spool>,
    /// Payloads that must come, behind `committed`.
    expected: Vec<Vec<u8>>,
    committed: Option<Position>,
    appended: usize,
    folders: usize,
    /// Bits that were flipped before.
    flips: usize,
}

impl Model {
    fn new() -> Self {
        let root = memory();
        let folder = root.path().join("0");
        let spool = Some(Spool::open(small(&folder)).unwrap());
        Self { root, folder, spool, expected: Vec::new(), committed: None, appended: 0, folders: 0, flips: 0 }
    }

    fn spool(&self) -> &Spool {
        self.spool.as_ref().unwrap()
    }

    /// Appends a record in whose answer the writer waits until it is let go, so that what comes meanwhile is one group;
    /// answers with the record's end, too.
    fn hold(&mut self) -> (mpsc::Sender<()>, Position) {
        let (gate, opened) = mpsc::channel();
        let (sender, durable) = mpsc::channel();
        self.appended += 1;
        self.expected.push(payload(self.appended, 0));
        self.spool().append(payload(self.appended, 0), move |result| {
            sender.send(result.unwrap()).unwrap();
            opened.recv().unwrap();
        });
        (gate, durable.recv().unwrap())
    }

    /// Appends all at once, opens the gate, and waits for all answers.
    fn append(&mut self, sizes: &[usize], gate: Option<mpsc::Sender<()>>) -> Vec<Vec<u8>> {
        let (sender, answers) = mpsc::channel();
        let mut payloads = Vec::new();
        for size in sizes {
            self.appended += 1;
            payloads.push(payload(self.appended, *size));
            let sender = sender.clone();
            let last = payloads.last().unwrap().clone();
            self.spool().append(last, move |result| sender.send(result).unwrap());
        }
        drop(sender);
        gate.into_iter().for_each(|gate| gate.send(()).unwrap());
        let positions: Vec<_> = answers.iter().map(Result::unwrap).collect();
        assert!(positions.is_sorted() && positions.len() == sizes.len());
        payloads
    }

    fn read(&self) -> Vec<Vec<u8>> {
        all(self.spool(), self.committed).into_iter().map(|record| record.payload.to_vec()).collect()
    }

    fn open(&mut self) {
        self.spool = None;
        self.spool = Some(Spool::open(small(&self.folder)).unwrap());
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Append(sizes) => {
                let payloads = self.append(sizes, None);
                self.expected.extend(payloads);
            }
            Action::Read(most) => {
                let records =
                    self.spool().read(self.committed, *most, usize::MAX, std::time::Duration::ZERO).unwrap();
                assert_eq!(records.len(), self.expected.len().min(*most));
                for (record, expected) in records.iter().zip(self.expected.drain(..records.len())) {
                    assert_eq!(record.payload, expected);
                    self.committed = Some(record.position);
                }
            }
            Action::Trim => {
                if let Some(committed) = self.committed {
                    self.spool().trim(committed).unwrap();
                    let backlog = self.spool().backlog();
                    assert!(backlog.records >= self.expected.len() as u64);
                }
            }
            Action::Reopen => self.open(),
            Action::Crash(sizes, cut, zeros, at) => self.crash(sizes, *cut, *zeros, *at),
            Action::Flip(at, bit) => self.flip(*at, *bit),
        }
        assert_eq!(self.read(), self.expected, "after {action:?}");
    }

    /// Damage of the folder as it is, found anew: it stays until it is trimmed.
    fn damage(&mut self) -> Vec<Damage> {
        self.open();
        self.read();
        self.spool().take_damage()
    }

    /// What is on the disk when the power goes while a group is written: the folder as it was, and a part of the group.
    fn crash(&mut self, sizes: &[usize], cut: f64, zeros: usize, at: f64) {
        let known = self.damage();
        let (gate, Position { offset: end, .. }) = self.hold();
        let before = segments(&self.folder);
        let unsynced = self.append(sizes, Some(gate));
        self.folders += 1;
        let folder = self.root.path().join(self.folders.to_string());
        copy(&self.folder, &folder);
        let after = segments(&folder);
        // The first file that the group went to, and where in it.
        let bytes = fs::read(&after[before.len() - 1]).unwrap();
        let grown = bytes[usize::try_from(end).unwrap()..].iter().any(|byte| *byte != 0);
        let (torn, from) = if grown { (before.len() - 1, end) } else { (before.len(), 1024) };
        after.iter().skip(torn + 1).for_each(|path| fs::remove_file(path).unwrap());
        tear(&after[torn], usize::try_from(from).unwrap(), cut, zeros, at);
        (self.folder, self.spool) = (folder, None);
        self.open();

        let read = self.read();
        assert!(read.starts_with(&self.expected), "what was acknowledged before");
        let extra = &read[self.expected.len()..];
        let mut rest = unsynced.iter();
        assert!(
            extra.iter().all(|payload| rest.any(|one| one == payload)),
            "what was not, as it was and in order"
        );
        let mut new = self.spool().take_damage();
        new.retain(|damage| known.iter().all(|known| known.position != damage.position));
        assert!(new.iter().all(|damage| !damage.acknowledged), "nobody was promised these");
        self.expected = read;
    }

    fn flip(&mut self, at: f64, bit: u8) {
        let known = self.damage();
        let before = self.spool().damaged();
        self.spool = None;
        let files = segments(&self.folder);
        let total: u64 = files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let mut at = (at * total as f64) as usize;
        let mut flipped = None;
        for path in &files {
            let mut bytes = fs::read(path).unwrap();
            if at < bytes.len() {
                bytes[at] ^= 1 << bit;
                fs::write(path, bytes).unwrap();
                let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
                flipped = Some(Position { segment: number, offset: at as u64 });
                break;
            }
            at -= bytes.len();
        }
        self.open();
        let read = self.read();
        let mut rest = self.expected.iter();
        assert!(read.iter().all(|payload| rest.any(|one| one == payload)), "a wrong payload");
        let missing = self.expected.len() - read.len();
        let flipped = flipped.unwrap();
        let header = Position { offset: 0, ..flipped };
        if flipped.offset < 1024 && known.iter().any(|damage| damage.position == header) {
            // The second bit of the same header may cost the file.
            assert!(missing == 0 || self.spool().damaged() != before, "not noticed");
            self.expected = read;
            return;
        }
        assert!(missing <= usize::from(flipped.offset >= 1024), "a bit takes one record at most");
        let seen = flipped.offset < 1024 || self.committed.is_none_or(|committed| flipped >= committed);
        let after = self.spool().damaged();
        if seen && !known.iter().any(|damage| covers(damage, flipped)) {
            assert_ne!(after, before, "not noticed");
        }
        // What was committed may be found missing, too: by this bit, or by one before it that nobody came upon.
        let counted = (after.records - before.records) as usize;
        let committed = usize::from(!seen && missing == 0) + self.flips;
        assert!((missing..=missing + committed).contains(&counted), "{counted}, {missing}");
        self.flips += 1;
        self.expected = read;
    }
}

fn covers(damage: &Damage, at: Position) -> bool {
    let from = damage.position;
    at >= from && at < Position { offset: from.offset + damage.bytes, ..from }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Cuts a file at a share of what was written behind `from`, and zeroes some bytes of that. Its length may have reached the
/// disk before, with the room that was made in advance.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn tear(path: &Path, from: usize, cut: f64, zeros: usize, at: f64) {
    let mut bytes = fs::read(path).unwrap();
    let room = bytes.len();
    let share = |share: f64, of: usize| (share * of as f64).round() as usize;
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(from, |last| from.max(last + 1));
    bytes.truncate(from + share(cut, written - from));
    let start = from + share(at, bytes.len() - from);
    let end = bytes.len().min(start + zeros);
    bytes[start..end].fill(0);
    if zeros.is_multiple_of(2) {
        bytes.resize(room, 0);
    }
    fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keeps_its_promise(actions in prop::collection::vec(action(), 1..25)) {
        let mut model = Model::new();
        for action in &actions {
            model.step(action);
        }
    }
}
