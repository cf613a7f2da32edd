//! The `dsp-export` destination: audiences as files, in the formats that advertising platforms take.
//!
//! ```toml
//! [destinations.dsp]
//! plugin = "dsp-export"
//! segments = ["vip"]
//! [destinations.dsp.config]
//! format = "xandr"
//! path = "out/"
//! identifier = "cookie"
//! segments = { vip = { id = 10000, expiration_minutes = 1440 } }
//! ```
//!
//! A delivery becomes one or more numbered files and, last of all, `DELIVERY.manifest.json`: a reader that waits for
//! the manifest never sees half of one. Files are written beside their place, synced, renamed, and the folder synced.
//! The same delivery again gives the same bytes; with its manifest in place it writes nothing and gives the same answer.
//!
//! | format | what | source |
//! |---|---|---|
//! | `xandr` | one line a user with its segments, removal by expiration −1 | Xandr, "Legacy BSS file format" |
//! | `adobe-aam` | `.sync` for a delta, `.overwrite` for all | Adobe Audience Manager, "Inbound data file contents" |
//! | `csv`, `jsonl` | segment, operation, identifier | RFC 4180, JSON Lines |

use kindred_plugin_api::prelude::*;
use std::path::{Path, PathBuf};

mod adobe;
mod config;
mod device;
mod encoder;
mod files;
mod generic;
mod manifest;
mod members;
mod rows;
mod xandr;

pub use config::{Config, Format, SegmentIds};
use encoder::Encoder;
use manifest::Exported;
use rows::Incoming;

/// Writes audiences to files for advertising platforms.
pub struct DspExport {
    config: Config,
    context: Context,
    dir: PathBuf,
    encoder: Box<dyn Encoder + Send>,
    delivery: Option<(Delivery, Incoming, Option<Exported>)>,
}

impl Destination for DspExport {
    const MANIFEST: Manifest =
        manifest!("dsp-export", "writes audiences to files that advertising platforms take", ["idempotent"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    fn check(config: &Config, context: &Context) -> Result<()> {
        let dir = context.path(&config.path);
        if dir.exists() && !dir.is_dir() {
            let problem = Problem::new("/path", format!("`{}` is no folder", dir.display()));
            return Err(Fault::config(vec![problem.help("name a folder; it is made when it is not there")]));
        }
        Ok(())
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let dir = context.path(&config.path);
        files::make_dir(&dir)?;
        Ok(Self { encoder: encoder::of(&config), config, context, dir, delivery: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<()> {
        rows::bind(&input)
    }

    fn begin(&mut self, delivery: &Delivery) -> Result<()> {
        self.delivery = None;
        if delivery.id.is_empty() || !delivery.id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Fault::permanent("delivery-id", "delivery id is not hexadecimal digits"));
        }
        files::clear(&self.dir, self.context.instance())?;
        let exported = manifest::read(&self.dir, &delivery.id)?;
        let incoming = Incoming::new(exported.is_none());
        if exported.is_none() {
            for segment in &delivery.segments {
                encoder::target(&self.config, self.encoder.as_ref(), &segment.segment)?;
            }
        }
        self.delivery = Some((delivery.clone(), incoming, exported));
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let Some((_, incoming, _)) = &mut self.delivery else { return Err(out_of_order("write")) };
        incoming.take(&batch, &self.config.identifier, self.encoder.as_ref())
    }

    fn flush(&mut self) -> Result<Flushed> {
        let Some((delivery, mut incoming, exported)) = self.delivery.take() else {
            return Err(out_of_order("flush"));
        };
        if incoming.skipped > 0 {
            let namespace = &self.config.identifier;
            self.context.warn(&format!(
                "left out {} unusable `{namespace}` of rows that have others",
                incoming.skipped
            ));
        }
        let exported = match exported {
            Some(exported) => exported,
            None => self.export(&delivery, &mut incoming).inspect_err(|_| {
                // A full disk stays full while temporary files lie on it.
                let _ = files::clear(&self.dir, self.context.instance());
            })?,
        };
        let mut receipts: Vec<String> = exported.files.iter().map(|file| self.receipt(&file.name)).collect();
        receipts.push(self.receipt(&manifest::name(&delivery.id)));
        Ok(Flushed { rows: incoming.rows, rejects: incoming.rejects, receipts })
    }
}

register!(destination DspExport);

impl DspExport {
    fn export(&self, delivery: &Delivery, incoming: &mut Incoming) -> Result<Exported> {
        let encoder = self.encoder.as_ref();
        let targets =
            incoming.members.segments().iter().map(|name| encoder::target(&self.config, encoder, name));
        let targets = targets.collect::<Result<Vec<_>>>()?;
        let layout = files::Layout {
            dir: self.dir.clone(),
            stem: files::stem(self.context.instance(), &delivery.id),
            gzip: self.config.gzipped(),
            max_bytes: self.config.max_bytes(),
            header: encoder.header(),
        };
        let mut parts = files::Parts::new(layout);
        for (number, (id, members)) in incoming.members.users().enumerate() {
            if number % 65_536 == 65_535 && self.context.cancelled() {
                return Err(Fault::new(FaultKind::Cancelled, "cancelled", "stopped while writing"));
            }
            encoder.user(id, &encoder::changes(members, &targets), delivery.mode, &mut parts)?;
        }
        let written = parts.finish(encoder.writes_empty())?;
        let names = self.names(delivery, &written)?;
        files::publish(&self.dir, &written, &names)?;
        let exported =
            Exported::new(&self.config, self.context.instance(), delivery, incoming, &written, names);
        manifest::write(&self.dir, self.context.instance(), &exported)?;
        Ok(exported)
    }

    /// Names for the files. Where a name says no more than a second, it may be taken by another delivery; then the
    /// next second is used. A file with the same bytes is the one that an earlier try left.
    fn names(&self, delivery: &Delivery, written: &[files::Written]) -> Result<Vec<String>> {
        let mut later_s = 0;
        loop {
            let part = |index: usize| (written.len() > 1).then_some(index + 1);
            let name = |index| self.encoder.name(delivery, part(index), later_s, self.config.gzipped());
            let names: Vec<String> = (0..written.len()).map(name).collect();
            if self.encoder.names_are_own() || files::free(&self.dir, written, &names)? {
                return Ok(names);
            }
            later_s += 1;
        }
    }

    fn receipt(&self, name: &str) -> String {
        Path::new(&self.config.path).join(name).display().to_string()
    }
}

fn out_of_order(call: &str) -> Fault {
    Fault::permanent("order", format!("{call} before begin"))
}

#[cfg(test)]
mod tests;
