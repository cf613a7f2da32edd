//! Bits in base64url, as TC strings and GPP strings hold them: six a character, big-endian, any number of characters.
//!
//! Why not the crate `base64`: both standards pad to six bits, so five characters are a valid length here (GPP Consent
//! String Specification, "Creating a GPP String") and are none in RFC 4648.

use crate::malformed::{Malformed, Result};

/// So many zero bytes follow the last one, so that eight can be loaded at any bit.
const SLACK: usize = 8;

/// The bits of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

/// A place in [`Bits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bits: &'a Bits,
    at: usize,
}

/// Six bits for each character, 0xFF for what is none.
const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut values = [0xFF; 256];
    let mut n = 0;
    while n < alphabet.len() {
        values[alphabet[n] as usize] = n as u8;
        n += 1;
    }
    values
};

impl Bits {
    pub(crate) fn decode(text: &str) -> Result<Self> {
        let mut bytes = Vec::with_capacity(text.len() * 3 / 4 + 3 + SLACK);
        for (n, four) in text.as_bytes().chunks(4).enumerate() {
            let mut word = 0_u32;
            let mut wrong = 0;
            for (place, character) in four.iter().enumerate() {
                let value = VALUES[usize::from(*character)];
                wrong |= value;
                word |= u32::from(value & 0x3F) << (26 - 6 * place);
            }
            if wrong & 0x80 != 0 {
                let place = four.iter().position(|c| VALUES[usize::from(*c)] == 0xFF).unwrap_or(0);
                return Err(Malformed::Character(n * 4 + place + 1));
            }
            bytes.extend_from_slice(&word.to_be_bytes()[..3]);
        }
        bytes.resize(bytes.len() + SLACK, 0);
        Ok(Self { bytes, len: text.len() * 6 })
    }

    /// Number of bits, padding included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn reader(&self, at: usize) -> Reader<'_> {
        Reader { bits: self, at }
    }

    /// The bit at this place; false behind the end.
    pub(crate) fn bit(&self, at: usize) -> bool {
        self.bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
    }
}

impl Reader<'_> {
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// An unsigned number of 1 to 56 bits.
    pub(crate) fn int(&mut self, bits: usize, field: &'static str) -> Result<u64> {
        let (from, shift) = (self.at / 8, self.at % 8);
        let window = self.bits.bytes.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
        match window.map(u64::from_be_bytes) {
            Some(window) if self.at + bits <= self.bits.len => {
                self.at += bits;
                Ok(window << shift >> (64 - bits))
            }
            _ => Err(Malformed::Short(field)),
        }
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool> {
        self.int(1, field).map(|bit| bit == 1)
    }

    /// An id of 16 bits.
    pub(crate) fn id(&mut self, field: &'static str) -> Result<u16> {
        self.int(16, field).map(|id| id as u16)
    }

    /// Two letters, 6 bits each from `A`; anything else becomes `?`, so that nothing but letters gets out.
    pub(crate) fn letters(&mut self, field: &'static str) -> Result<[u8; 2]> {
        let mut letter = || {
            let value = self.int(6, field)? as u8;
            Ok(if value < 26 { b'A' + value } else { b'?' })
        };
        Ok([letter()?, letter()?])
    }

    pub(crate) fn skip(&mut self, bits: usize, field: &'static str) -> Result<()> {
        if self.at + bits > self.bits.len {
            return Err(Malformed::Short(field));
        }
        self.at += bits;
        Ok(())
    }

    /// A number in Fibonacci coding: the places of 1, 2, 3, 5, 8 … and a closing 1.
    pub(crate) fn fibonacci(&mut self, field: &'static str) -> Result<u16> {
        let (mut sum, mut weight, mut next) = (0_u32, 1_u32, 2_u32);
        let mut last = false;
        loop {
            let bit = self.flag(field)?;
            if bit && last {
                return u16::try_from(sum).map_err(|_| Malformed::Fibonacci);
            }
            if weight > 0xFFFF {
                return Err(Malformed::Fibonacci);
            }
            sum += if bit { weight } else { 0 };
            (weight, next) = (next, weight + next);
            last = bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_cross_bytes_and_end_at_the_end() {
        // GPP Consent String Specification, header example 1: 000011 000001 000000 000001 001100.
        let bits = Bits::decode("DBABM").unwrap();
        assert_eq!(bits.len(), 30);
        let mut reader = bits.reader(0);
        assert_eq!(reader.int(6, "type"), Ok(3));
        assert_eq!(reader.int(6, "version"), Ok(1));
        assert_eq!(reader.int(12, "count"), Ok(1));
        assert_eq!(reader.flag("group"), Ok(false));
        assert_eq!(reader.fibonacci("id"), Ok(2));
        assert_eq!(reader.int(3, "more"), Err(Malformed::Short("more")));
        assert_eq!(reader.int(2, "more"), Ok(0));
        assert_eq!(reader.int(1, "end"), Err(Malformed::Short("end")));
        assert_eq!(reader.skip(1, "end"), Err(Malformed::Short("end")));
    }

    #[test]
    fn other_characters_are_refused_by_place() {
        assert_eq!(Bits::decode("AAAAA+").unwrap_err(), Malformed::Character(6));
        assert_eq!(Bits::decode("Ä").unwrap_err(), Malformed::Character(1));
        assert_eq!(Bits::decode("AA==").unwrap_err(), Malformed::Character(3));
    }

    #[test]
    fn fibonacci_numbers_are_those_of_the_specification() {
        // The table under "About Fibonacci Encoding".
        for (code, number) in
            [("11", 1), ("011", 2), ("0011", 3), ("1011", 4), ("00011", 5), ("10011", 6), ("01011", 7)]
        {
            let bits = crate::tests::write(code);
            let bits = Bits::decode(&bits).unwrap();
            assert_eq!(bits.reader(0).fibonacci("n"), Ok(number), "{code}");
        }
        let endless = Bits::decode(&"A".repeat(100)).unwrap();
        assert_eq!(endless.reader(0).fibonacci("n"), Err(Malformed::Fibonacci));
        for (number, read) in [(65_535, Ok(65_535)), (65_536, Err(Malformed::Fibonacci))] {
            let bits = Bits::decode(&crate::tests::write(&crate::tests::fibonacci(number))).unwrap();
            assert_eq!(bits.reader(0).fibonacci("n"), read);
        }
    }
}
