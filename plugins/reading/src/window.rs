//! A text file as a sliding window of UTF-8 bytes: read, unpacked and decoded while it slides, never held as a whole.

use crate::input::{Input, Stream, again, is_outside};
use encoding_rs::{Decoder, DecoderResult, Encoding};
use std::{
    io::{self, BufRead, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const STEP: usize = 128 * 1024;

/// The window. It begins at the row that is read next.
pub(crate) struct Window {
    input: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes before the window.
    offset: u64,
    read: Arc<AtomicU64>,
    packed: bool,
    decoded: bool,
    /// An end stays the end, though a writer may add to the file: position and rows must agree.
    ended: bool,
    /// A stream that failed once stays failed; decoders differ in what they do when asked again.
    failed: Option<io::Error>,
}

impl Window {
    /// Opens a file. `encoding` is what the file is written in unless it begins with a byte order mark.
    ///
    /// # Errors
    /// When the file cannot be opened; a broken stream shows only in [`Window::fill`].
    pub(crate) fn open(input: &Input, encoding: &'static Encoding) -> io::Result<Self> {
        let (stream, read, packed) = unpacked(input)?;
        let (head, rest) = peek(stream);
        let (encoding, mark) = Encoding::for_bom(&head).unwrap_or((encoding, 0));
        let decoded = encoding != encoding_rs::UTF_8;
        let bytes = Cursor::new(head[mark..].to_vec());
        let input: Stream = if decoded {
            let decoder = encoding.new_decoder_without_bom_handling();
            let input = BufReader::with_capacity(STEP, bytes.chain(rest));
            Box::new(Decoded { input, decoder, ready: Vec::new(), at: 0, ended: false })
        } else {
            Box::new(bytes.chain(rest))
        };
        Ok(Self {
            input,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: mark as u64,
            read,
            packed,
            decoded,
            ended: false,
            failed: None,
        })
    }

    /// Moves to `offset`, when the file is plain UTF-8 and so can be entered anywhere; false when it is not.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn seek(&mut self, input: &Input, offset: u64) -> io::Result<bool> {
        if self.offset().is_none() {
            return Ok(false);
        }
        let input = input.read_from(offset)?;
        self.read.store(offset, Ordering::Relaxed);
        self.input = Box::new(Counted { input, read: Arc::clone(&self.read) });
        (self.start, self.end, self.offset) = (0, 0, offset);
        Ok(true)
    }

    /// What is in the window.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the window begins in the file, when it can be entered there again.
    pub(crate) fn offset(&self) -> Option<u64> {
        (!self.packed && !self.decoded).then_some(self.offset)
    }

    /// True when an error says that gzip or zstd cannot unpack the file, not that it cannot be read.
    pub(crate) fn is_broken(&self, error: &io::Error) -> bool {
        self.packed && !is_outside(error)
    }

    /// Bytes of the file that were read, before unpacking.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes before the window, after unpacking and decoding.
    pub(crate) fn passed(&self) -> u64 {
        self.offset
    }

    /// Reads on; false at the end of the file.
    ///
    /// # Errors
    /// When reading, unpacking or decoding fails; what is in the window stays.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if let Some(error) = &self.failed {
            return Err(again(error));
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() < self.end + STEP {
            self.buffer.resize(self.end + STEP, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    self.ended = count == 0;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(again(&error));
                    return Err(error);
                }
            }
        }
    }

    /// Slides behind the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Slides behind line ends; true when that is the end of the file.
    ///
    /// # Errors
    /// As [`Window::fill`].
    pub(crate) fn at_end(&mut self) -> io::Result<bool> {
        loop {
            let blank = self.bytes().iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.consume(blank);
            if self.start < self.end {
                return Ok(false);
            }
            if !self.fill()? {
                return Ok(true);
            }
        }
    }

    /// Slides behind the next line end or to the end of the file, however far that is.
    ///
    /// # Errors
    /// As [`Window::fill`].
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.bytes()) {
                self.consume(end + 1);
                return Ok(());
            }
            self.consume(self.bytes().len());
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}

/// The file behind gzip or zstd, told by its first bytes, with a count of what was read of the file itself.
fn unpacked(input: &Input) -> io::Result<(Stream, Arc<AtomicU64>, bool)> {
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted { input: input.read_from(0)?, read: Arc::clone(&read) };
    let mut input = BufReader::with_capacity(STEP, counted);
    let magic = input.fill_buf()?;
    if magic.starts_with(&[0x1f, 0x8b]) {
        return Ok((Box::new(flate2::bufread::MultiGzDecoder::new(input)), read, true));
    }
    if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok((Box::new(zstd::stream::read::Decoder::with_buffer(input)?), read, true));
    }
    Ok((Box::new(input), read, false))
}

/// The first bytes, as many as a byte order mark has, and the rest. A failure comes when the rest is read.
fn peek(mut stream: Stream) -> (Vec<u8>, Stream) {
    let mut head = vec![0; 3];
    let mut count = 0;
    while count < head.len() {
        match stream.read(&mut head[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                head.truncate(count);
                return (head, Box::new(Failing(Some(error))));
            }
        }
    }
    head.truncate(count);
    (head, stream)
}

/// Counts the bytes that pass.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Fails, for a stream that failed before anyone asked.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::ErrorKind::InvalidData.into()))
    }
}

/// Turns another encoding into UTF-8. What cannot be decoded becomes the byte FF, which is valid nowhere in UTF-8, so
/// that the row that holds it is rejected like any other row with invalid bytes.
struct Decoded<R> {
    input: BufReader<R>,
    decoder: Decoder,
    ready: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            if !self.decode()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.ready.len() - self.at);
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl<R: Read> Decoded<R> {
    /// Decodes some more; false when nothing is left.
    fn decode(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false); // a decoder must not be asked again
        }
        let bytes = self.input.fill_buf()?;
        let last = bytes.is_empty();
        self.ready.resize(STEP, 0);
        let (result, taken, made) =
            self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.ready, last);
        self.ready.truncate(made);
        self.at = 0;
        if matches!(result, DecoderResult::Malformed(..)) {
            self.ready.push(0xff);
        }
        self.input.consume(taken);
        self.ended = last && result == DecoderResult::InputEmpty;
        Ok(!self.ended || !self.ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(bytes: &[u8], encoding: &str) -> io::Result<Vec<u8>> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        let input = Input::Path(file.path().to_owned());
        let mut window = Window::open(&input, Encoding::for_label(encoding.as_bytes()).unwrap())?;
        while window.fill()? {}
        Ok(window.bytes().to_vec())
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn byte_order_marks_win_over_the_declared_encoding() {
        assert_eq!(all(b"\xef\xbb\xbfa", "latin1").unwrap(), b"a");
        assert_eq!(all(b"\xff\xfea\0\xe9\0", "utf-8").unwrap(), "aé".as_bytes());
        assert_eq!(all(b"\xfe\xff\0a", "utf-8").unwrap(), b"a");
        assert_eq!(all(b"", "utf-8").unwrap(), b"");
    }

    #[test]
    fn what_cannot_be_decoded_stays_invalid() {
        assert_eq!(all(b"\xff\xfea\0\x00\xd8b\0", "utf-8").unwrap(), b"a\xffb");
        assert_eq!(all(b"\xff\xfea\0b", "utf-8").unwrap(), b"a\xff");
        assert_eq!(all(b"caf\xe9", "latin1").unwrap(), "café".as_bytes());
    }

    #[test]
    fn long_input_is_decoded_whole() {
        assert_eq!(all(&[0xe9; 1_000_000], "latin1").unwrap(), "é".repeat(1_000_000).as_bytes());
    }

    #[test]
    fn packed_members_follow_each_other_and_a_cut_one_fails() {
        let two = [gz(b"one\n"), gz(b"two\n")].concat();
        assert_eq!(all(&two, "utf-8").unwrap(), b"one\ntwo\n");
        assert_eq!(all(&two[..two.len() - 3], "utf-8").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let zst = zstd::encode_all(&b"three"[..], 1).unwrap();
        assert_eq!(all(&zst, "utf-8").unwrap(), b"three");
        assert!(all(&zst[..zst.len() - 2], "utf-8").is_err());
    }
}
