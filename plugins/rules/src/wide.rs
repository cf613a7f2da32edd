//! Plain loops with all instructions that this processor has: the library is built for any processor of its kind, and
//! finds out what it runs on when it runs.

use pulp::Arch;

/// Does some work, best one loop over slices, with the widest instructions there are. What it calls must be inlined.
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// Fills words with a bit a row, 64 rows at a time: `bytes` says of a block with this number which of its rows are set,
/// each by a [`byte`]. Truth goes through bytes because compilers turn those into wide instructions.
#[inline(always)]
pub(crate) fn pack(words: &mut [u64], bytes: impl Fn(usize, &mut [u8; 64])) {
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => pulp::Simd::vectorize(
            simd,
            #[inline(always)]
            || fill(words, bytes, |bytes| simd.avx512bw._mm512_movepi8_mask(pulp::cast(*bytes))),
        ),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(simd) => pulp::Simd::vectorize(
            simd,
            #[inline(always)]
            || fill(words, bytes, |bytes| squeeze_v3(simd, bytes)),
        ),
        arch => arch.dispatch(
            #[inline(always)]
            || fill(words, bytes, squeeze),
        ),
    }
}

/// Truth as [`pack`] takes it.
#[inline(always)]
pub(crate) fn byte(bit: bool) -> u8 {
    u8::from(bit).wrapping_neg()
}

#[inline(always)]
fn fill(words: &mut [u64], bytes: impl Fn(usize, &mut [u8; 64]), squeeze: impl Fn(&[u8; 64]) -> u64) {
    for (block, word) in words.iter_mut().enumerate() {
        let mut rows = [0; 64];
        bytes(block, &mut rows);
        *word = squeeze(&rows);
    }
}

/// A multiplication brings the lowest bits of eight bytes into the highest byte.
#[inline(always)]
fn squeeze(bytes: &[u8; 64]) -> u64 {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = bytes.as_chunks::<8>();
    let mut word = 0;
    for (at, eight) in eights.iter().enumerate() {
        word |= ((u64::from_le_bytes(*eight) & LOWEST).wrapping_mul(GATHER) >> 56) << (8 * at);
    }
    word
}

/// One instruction takes the highest bits of 32 bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn squeeze_v3(simd: pulp::x86::V3, bytes: &[u8; 64]) -> u64 {
    let [low, high]: [core::arch::x86_64::__m256i; 2] = pulp::cast(*bytes);
    let bits = |half| u64::from(simd.avx2._mm256_movemask_epi8(half).cast_unsigned());
    bits(low) | bits(high) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_processor_packs_alike(rows in proptest::collection::vec(any::<bool>(), 64)) {
            let mut bytes = [0; 64];
            bytes.iter_mut().zip(&rows).for_each(|(to, row)| *to = byte(*row));
            let expected = rows.iter().enumerate().fold(0, |word, (at, row)| word | u64::from(*row) << at);
            prop_assert_eq!(squeeze(&bytes), expected);
            let mut words = [0; 2];
            pack(&mut words, |_, out| *out = bytes);
            prop_assert_eq!(words, [expected; 2]);
        }
    }
}
