//! An object that is read here and there: blocks of it, as many as are read at once, the rest is forgotten.

use crate::entered::Entered;
use bytes::{Bytes, BytesMut};
use kindred_plugin_api::{Fault, Result};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// What the blocks of one object hold together, about.
const HELD: u64 = 32 << 20;

/// The blocks.
#[derive(Clone, Debug)]
pub struct Blocks {
    entered: Entered,
    size: u64,
    most: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Number of a block and its bytes, the one that was used last in front.
    blocks: VecDeque<(u64, Bytes)>,
    fault: Option<Fault>,
}

impl Blocks {
    /// Of an object that is read in so many places at once.
    pub fn new(entered: Entered, places: usize) -> Self {
        let size = (HELD / (places as u64 + 1)).clamp(256 << 10, 4 << 20);
        Self { entered, size, most: places + 2, held: Arc::default() }
    }

    /// Bytes of the object.
    pub fn len(&self) -> u64 {
        self.entered.version().bytes
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many bytes from an offset on, less at the end of the object.
    ///
    /// # Errors
    /// As [`Entered::range`], as the cause of the error and in [`Blocks::fault`].
    pub fn bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&mut held, start, length as u64).map_err(|fault| {
            held.fault = Some(fault.clone());
            io::Error::other(fault)
        })
    }

    /// What reading failed of, once, where whoever reads hands on only its text.
    pub fn fault(&self) -> Option<Fault> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).fault.take()
    }

    /// From an offset to the end.
    pub fn read_from(&self, offset: u64) -> impl io::Read + Send + use<> {
        Reader { blocks: self.clone(), at: offset }
    }

    fn read(&self, held: &mut Held, start: u64, length: u64) -> Result<Bytes> {
        let end = self.len().min(start.saturating_add(length));
        // More than a block is asked for once, and would only push out what is asked for often.
        if end.saturating_sub(start) > self.size {
            return self.entered.range(start..end);
        }
        let mut read = BytesMut::new();
        let mut at = start;
        while at < end {
            let block = self.block(held, at / self.size)?;
            let from = at % self.size;
            let to = (from + end - at).min(block.len() as u64);
            let piece = block.slice(from as usize..to as usize);
            if from + end - at == to && read.is_empty() {
                return Ok(piece);
            }
            read.extend_from_slice(&piece);
            at += to - from;
        }
        Ok(read.freeze())
    }

    fn block(&self, held: &mut Held, number: u64) -> Result<Bytes> {
        let known = held.blocks.iter().position(|(known, _)| *known == number);
        let block = match known.and_then(|at| held.blocks.remove(at)) {
            Some((_, block)) => block,
            None => self.entered.range(number * self.size..(number + 1) * self.size)?,
        };
        held.blocks.push_front((number, block.clone()));
        held.blocks.truncate(self.most);
        Ok(block)
    }
}

struct Reader {
    blocks: Blocks,
    at: u64,
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.blocks.bytes(self.at, buffer.len())?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}
