//! A filter of ids: what it does not have was never put in; of others about one in three hundred seems to be there. It is the
//! split block Bloom filter of Parquet (BloomFilter.md in apache/parquet-format), with blocks in the order of the ids, so
//! that who asks for them in order walks through memory.

use super::id::Id;

/// Bits of a filter for each id in it.
const BITS: u64 = 12;
/// Bytes of a block.
const BLOCK: usize = 32;
/// Odd numbers, each of which chooses a bit of its word of a block.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The filter of a run of ids.
pub(super) struct Filter {
    blocks: Vec<[u32; 8]>,
}

impl Filter {
    /// An empty one, to be filled with so many ids.
    pub(super) fn new(ids: u64) -> Self {
        Self { blocks: vec![[0; 8]; Self::blocks(ids)] }
    }

    /// Bytes of a filter of so many ids.
    pub(super) fn bytes(ids: u64) -> usize {
        Self::blocks(ids) * BLOCK
    }

    fn blocks(ids: u64) -> usize {
        (ids * BITS).div_ceil(8 * BLOCK as u64).max(1) as usize
    }

    pub(super) fn insert(&mut self, id: Id) {
        let (block, bits) = self.place(id);
        self.blocks[block].iter_mut().zip(bits).for_each(|(word, bit)| *word |= bit);
    }

    /// False where the id was not put in.
    pub(super) fn may_have(&self, id: Id) -> bool {
        let (block, bits) = self.place(id);
        self.blocks[block].iter().zip(bits).fold(true, |all, (word, bit)| all & (word & bit != 0))
    }

    fn place(&self, id: Id) -> (usize, [u32; 8]) {
        let (high, low) = (id.first_bits() >> 32, id.first_bits() as u32);
        let block = (high * self.blocks.len() as u64) >> 32;
        (block as usize, SALT.map(|salt| 1 << (low.wrapping_mul(salt) >> 27)))
    }

    /// As it lies in a file, little-endian.
    pub(super) fn to_bytes(&self) -> impl Iterator<Item = u8> {
        self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes())
    }

    /// What [`Self::to_bytes`] gave; what is no whole block is left out.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        let block = |bytes: &[u8; BLOCK]| {
            let mut words = [0; 8];
            words.iter_mut().zip(bytes.as_chunks().0).for_each(|(at, bytes)| *at = word(bytes));
            words
        };
        Self { blocks: bytes.as_chunks().0.iter().map(block).collect() }
    }
}
