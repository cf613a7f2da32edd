//! Bytes of a segment file. Numbers are big-endian.
//!
//! ```text
//! header, 1024 bytes: one copy at 0, one at 512, zeros between and behind
//!   8  magic "KNDSPOOL"      8  number of the segment
//!   4  version               8  sequence number of the first record
//!   4  CRC32C of the rest    8  end of the segment before, or 0
//!   4  salt                  4  zero
//! record
//!   4  length of the payload          4  CRC32C of salt and the 16 bytes before
//!   8  sequence number                4  CRC32C of salt, sequence number and payload
//!   4  bytes from the start of its group
//!   n  payload
//! ```
//!
//! The salt is random: nobody who sends payloads can make one that looks like a record, so a reader that lost its
//! place may search for the next record byte by byte. What a group is: everything before its start was synced
//! before its first byte was written.

use super::PAYLOAD_BYTES;
use std::ops::RangeInclusive;

pub(super) const VERSION: u32 = 1;
pub(super) const MAGIC: &[u8; 8] = b"KNDSPOOL";
/// Where the first record of a segment starts.
pub(super) const HEADER: u64 = 1024;
const COPY: usize = 512;
const HEADER_FIELDS: usize = 48;
/// What a record needs beside its payload.
pub(super) const OVERHEAD: usize = 24;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u64,
    pub(super) first_sequence: u64,
    pub(super) previous_end: u64,
    pub(super) salt: u32,
}

/// What the first bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// A header; `whole` unless some of it is damaged.
    Header { header: Header, whole: bool },
    /// A header of another version.
    Version(u32),
    /// No header.
    None,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(HEADER_FIELDS);
        rest.extend_from_slice(&self.salt.to_be_bytes());
        rest.extend_from_slice(&[0; 4]);
        rest.extend_from_slice(&self.segment.to_be_bytes());
        rest.extend_from_slice(&self.first_sequence.to_be_bytes());
        rest.extend_from_slice(&self.previous_end.to_be_bytes());
        let mut copy = MAGIC.to_vec();
        copy.extend_from_slice(&VERSION.to_be_bytes());
        copy.extend_from_slice(&crc32c::crc32c(&rest).to_be_bytes());
        copy.append(&mut rest);
        copy.resize(COPY, 0);
        copy.repeat(2)
    }

    /// Reads the first [`HEADER`] bytes of a file, or fewer.
    pub(super) fn decode(bytes: &[u8]) -> Opening {
        let copies =
            || bytes.chunks(COPY).filter(|copy| copy.len() >= HEADER_FIELDS && copy.starts_with(MAGIC));
        for copy in copies() {
            if u32_at(copy, 8) == VERSION && u32_at(copy, 12) == crc32c::crc32c(&copy[16..HEADER_FIELDS]) {
                let header = Self {
                    salt: u32_at(copy, 16),
                    segment: u64_at(copy, 24),
                    first_sequence: u64_at(copy, 32),
                    previous_end: u64_at(copy, 40),
                };
                return Opening::Header { header, whole: header.encode() == bytes };
            }
        }
        // One copy alone may be damage; both say the same only if it was written so.
        let mut versions = copies().map(|copy| u32_at(copy, 8));
        match (versions.next(), versions.next()) {
            (Some(one), Some(other)) if one == other && one != VERSION => Opening::Version(one),
            _ => Opening::None,
        }
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) sequence: u64,
    pub(super) back: u32,
    crc: u32,
}

impl Frame {
    /// Reads a frame; none where its length, its number or its checksum is wrong.
    pub(super) fn decode(bytes: &[u8], numbers: RangeInclusive<u64>, salt: u32) -> Option<Self> {
        let fixed = bytes.get(..OVERHEAD)?;
        let length = u32_at(fixed, 0) as usize;
        let sound = length <= PAYLOAD_BYTES
            && numbers.contains(&u64_at(fixed, 4))
            && u32_at(fixed, 16) == crc32c::crc32c_append(salt, &fixed[..16]);
        sound.then(|| Self {
            length,
            sequence: u64_at(fixed, 4),
            back: u32_at(fixed, 12),
            crc: u32_at(fixed, 20),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn total(&self) -> u64 {
        (OVERHEAD + self.length) as u64
    }

    /// True when this is the payload that was written.
    pub(super) fn fits(&self, payload: &[u8], salt: u32) -> bool {
        self.crc == payload_crc(self.sequence, payload, salt)
    }
}

fn payload_crc(sequence: u64, payload: &[u8], salt: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, &sequence.to_be_bytes()), payload)
}

/// Writes a record behind `group`, which starts with the first record of its group.
pub(super) fn encode(group: &mut Vec<u8>, sequence: u64, payload: &[u8], salt: u32) {
    let start = group.len();
    // Both are far below 4 GiB: `PAYLOAD_BYTES` and the writer's limit of a group.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let back = u32::try_from(start).unwrap_or(u32::MAX);
    group.extend_from_slice(&length.to_be_bytes());
    group.extend_from_slice(&sequence.to_be_bytes());
    group.extend_from_slice(&back.to_be_bytes());
    let crc = crc32c::crc32c_append(salt, &group[start..]);
    group.extend_from_slice(&crc.to_be_bytes());
    group.extend_from_slice(&payload_crc(sequence, payload, salt).to_be_bytes());
    group.extend_from_slice(payload);
}
