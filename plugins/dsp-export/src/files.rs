//! Files that are not seen until they are whole: temporary beside their place, synced, renamed, the folder synced.

use flate2::{Compression, GzBuilder, write::GzEncoder};
use kindred_plugin_api::prelude::*;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// Where parts go and what they look like.
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    /// Beginning of the temporary names, from [`stem`].
    pub(crate) stem: String,
    pub(crate) gzip: bool,
    /// Most bytes of a part before compression; a single line may be longer.
    pub(crate) max_bytes: u64,
    /// First line of each part.
    pub(crate) header: Option<String>,
}

/// Lines that go to one part after the other.
pub(crate) struct Parts {
    layout: Layout,
    part: Option<Part>,
    written: Vec<Written>,
}

/// A part, whole and synced under its temporary name.
#[derive(Debug)]
pub(crate) struct Written {
    temporary: PathBuf,
    /// Lines, the header not counted.
    pub(crate) lines: u64,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Of the bytes on disk, hexadecimal.
    pub(crate) sha256: String,
}

impl Parts {
    /// No part yet.
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, part: None, written: Vec::new() }
    }

    /// Writes a line, in the next part when this one would grow too long.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        let bytes = line.len() as u64 + 1;
        if self
            .part
            .as_ref()
            .is_some_and(|part| part.lines > 0 && part.text_bytes + bytes > self.layout.max_bytes)
        {
            self.split()?;
        }
        let part = self.open()?;
        part.lines += 1;
        part.line(line)
    }

    /// The next line goes to a new part.
    pub(crate) fn split(&mut self) -> Result<()> {
        if let Some(part) = self.part.take() {
            self.written.push(part.finish()?);
        }
        Ok(())
    }

    /// Everything written; with `at_least_one`, there is a part even without a line.
    pub(crate) fn finish(mut self, at_least_one: bool) -> Result<Vec<Written>> {
        if at_least_one && self.written.is_empty() {
            self.open()?;
        }
        self.split()?;
        Ok(self.written)
    }

    fn open(&mut self) -> Result<&mut Part> {
        let part = match self.part.take() {
            Some(part) => part,
            None => Part::new(&self.layout, self.written.len() + 1)?,
        };
        Ok(self.part.insert(part))
    }
}

/// The part being written.
struct Part {
    out: Out,
    path: PathBuf,
    lines: u64,
    text_bytes: u64,
}

enum Out {
    Plain(Hashing),
    Gzip(Box<GzEncoder<Hashing>>),
}

/// A file that knows the hash of what went into it.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.file.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Part {
    fn new(layout: &Layout, number: usize) -> Result<Self> {
        let path = layout.dir.join(format!("{}.{number}.tmp", layout.stem));
        let file = File::create(&path).map_err(failed("write", &path))?;
        let sink = Hashing { file: BufWriter::with_capacity(1 << 16, file), hash: Sha256::new(), bytes: 0 };
        let out = match layout.gzip {
            // No time and no name in the header, so that the same lines give the same bytes.
            true => Out::Gzip(GzBuilder::new().mtime(0).write(sink, Compression::default()).into()),
            false => Out::Plain(sink),
        };
        let mut part = Self { out, path, lines: 0, text_bytes: 0 };
        if let Some(header) = &layout.header {
            part.line(header)?;
        }
        Ok(part)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.text_bytes += line.len() as u64 + 1;
        let out: &mut dyn Write = match &mut self.out {
            Out::Plain(out) => out,
            Out::Gzip(out) => out,
        };
        out.write_all(line.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(failed("write", &self.path))
    }

    fn finish(self) -> Result<Written> {
        let sink = match self.out {
            Out::Plain(out) => Ok(out),
            Out::Gzip(out) => out.finish(),
        };
        let sync = |mut out: Hashing| {
            out.flush()?;
            out.file.get_ref().sync_all()?;
            Ok((out.bytes, out.hash))
        };
        let (bytes, hash) = sink.and_then(sync).map_err(failed("write", &self.path))?;
        Ok(Written { temporary: self.path, lines: self.lines, bytes, sha256: hex(&hash.finalize()) })
    }
}

/// Beginning of the names of a delivery's temporary files: `.INSTANCE.DELIVERY`.
pub(crate) fn stem(instance: &str, delivery: &str) -> String {
    format!(".{}.{delivery}", instance.replace(['/', '\\'], "_"))
}

/// Makes the folder.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(failed("make", dir))
}

/// Removes the temporary files that an unfinished delivery of this instance left.
pub(crate) fn clear(dir: &Path, instance: &str) -> Result<()> {
    make_dir(dir)?;
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let entry = entry.map_err(failed("read", dir))?;
        if entry.file_name().to_str().is_some_and(|name| is_temporary(name, instance)) {
            fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// `.INSTANCE.DELIVERY.NUMBER.tmp`, of this instance and no other.
fn is_temporary(name: &str, instance: &str) -> bool {
    let rest = name.strip_prefix(&stem(instance, "")).and_then(|rest| rest.strip_suffix(".tmp"));
    let Some((delivery, number)) = rest.and_then(|rest| rest.split_once('.')) else { return false };
    delivery.bytes().all(|b| b.is_ascii_alphanumeric()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// True when each name is free, or has the bytes that would be written.
pub(crate) fn free(dir: &Path, written: &[Written], names: &[String]) -> Result<bool> {
    for (part, name) in written.iter().zip(names) {
        let path = dir.join(name);
        if path.exists() && sha256(&path).map_err(failed("read", &path))? != part.sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the parts in their places, durably.
pub(crate) fn publish(dir: &Path, written: &[Written], names: &[String]) -> Result<()> {
    for (part, name) in written.iter().zip(names) {
        let path = dir.join(name);
        fs::rename(&part.temporary, &path).map_err(failed("write", &path))?;
    }
    sync_dir(dir)
}

/// Puts a small file in its place, durably; `stem` begins its temporary name.
pub(crate) fn replace(dir: &Path, stem: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let (temporary, path) = (dir.join(format!("{stem}.0.tmp")), dir.join(name));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(failed("write", &path))?;
    sync_dir(dir)
}

/// The disk may have room again, the folder its rights: the host tries again.
pub(crate) fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Fault + 'a {
    move |error| Fault::transient("file", format!("cannot {what} `{}`: {error}", path.display()))
}

/// Only where a folder can be opened as a file.
fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))?;
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&hash.finalize())),
            taken => hash.update(&chunk[..taken]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
