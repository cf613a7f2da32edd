//! Adobe Audience Manager's inbound data files: `USER<tab>d_sid=TRAIT,d_unsid=TRAIT`.
//!
//! Source: Adobe Experience League, Audience Manager, "Inbound data file contents" and "Name and size requirements for
//! inbound data files". `.sync` adds and removes; `.overwrite` replaces what the data source said before, so a removal
//! there would be ignored and is left out.

use crate::{
    config::{Config, at},
    device::Device,
    encoder::{Change, Encoder, Target, strict},
    files::Parts,
};
use kindred_plugin_api::prelude::{Delivery, Mode, Problem, Result};
use std::borrow::Cow;

/// Most bytes in one line, its end included.
const MAX_LINE_BYTES: usize = 102_400;
/// Most lines of one user in a file.
const MAX_LINES_A_USER: usize = 200;

/// The format, with what the options say.
pub(crate) struct Adobe {
    namespace: String,
    dpid: u32,
    device: Option<Device>,
}

impl Adobe {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            namespace: config.identifier.clone(),
            dpid: config.dpid.unwrap_or_default(),
            device: config.device,
        }
    }
}

impl Encoder for Adobe {
    fn identifier<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, String> {
        match self.device {
            Some(device) => device.identifier(raw, &self.namespace),
            None => strict(raw, &[]),
        }
    }

    fn segment(&self, target: &Target) -> Result<(), String> {
        match target.ids.id {
            Some(_) => Ok(()),
            None => Err(format!("no trait id; set {}", at(&target.name, "id"))),
        }
    }

    fn user(&self, id: &str, changes: &[Change<'_>], mode: Mode, out: &mut Parts) -> Result<()> {
        let (mut line, mut lines) = (String::new(), 0);
        for change in changes.iter().filter(|change| mode == Mode::Delta || !change.remove) {
            let key = if change.remove { "d_unsid" } else { "d_sid" };
            let item = format!("{key}={}", change.target.ids.id.unwrap_or_default());
            if line.len() + item.len() + 2 > MAX_LINE_BYTES {
                out.line(&std::mem::take(&mut line))?;
                lines += 1;
                if lines % MAX_LINES_A_USER == 0 {
                    out.split()?;
                }
            }
            if line.is_empty() {
                line = format!("{id}\t{item}");
            } else {
                line.push(',');
                line.push_str(&item);
            }
        }
        if line.is_empty() { Ok(()) } else { out.line(&line) }
    }

    fn extension(&self) -> &'static str {
        "sync"
    }

    fn names_are_own(&self) -> bool {
        false
    }

    /// `ftp_dpm_DPID[_DPID]_SECONDS.sync[.PART][.gz]`; for device ids the first DPID is that of all such devices and
    /// the second is yours.
    fn name(&self, delivery: &Delivery, part: Option<usize>, later_s: i64, gzip: bool) -> String {
        let source = match self.device.and_then(Device::adobe) {
            Some(devices) => format!("{devices}_{}", self.dpid),
            None => self.dpid.to_string(),
        };
        let seconds = delivery.created_us.div_euclid(1_000_000) + later_s;
        let extension = match delivery.mode {
            Mode::Delta => "sync",
            Mode::Full => "overwrite",
        };
        let part = part.map_or(String::new(), |part| format!(".{part}"));
        format!("ftp_dpm_{source}_{seconds:010}.{extension}{part}{}", if gzip { ".gz" } else { "" })
    }
}

/// What is wrong with the options of this format.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.dpid.is_none() {
        problems
            .push(Problem::new("", "no `dpid`").help("set the id of your data source at Audience Manager"));
    }
    if config.device.is_some_and(|device| device.adobe().is_none()) {
        problems
            .push(Problem::new("/device", "no such device at Audience Manager").help("allowed: idfa, aaid"));
    }
    let lacking = config.segments.iter().filter(|(_, ids)| ids.id.is_none());
    problems.extend(
        lacking.map(|(name, _)| Problem::new(at(name, "id"), format!("segment `{name}` has no trait id"))),
    );
    problems
}
