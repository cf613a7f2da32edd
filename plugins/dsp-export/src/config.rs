//! The options, and what types cannot say about them.

use crate::{device::Device, xandr};
use kindred_plugin_api::prelude::*;
use std::collections::BTreeMap;

/// Options of `dsp-export`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Format of the files.
    pub(crate) format: Format,
    /// Folder for the files; a relative path starts at the pipeline file. Made when it is not there.
    pub(crate) path: String,
    /// Namespace of the identifier to write: `cookie`, `maid`, `household`, `email_sha256`. Default `cookie`. A member
    /// with several is written with each; one with none goes to the dead letters.
    #[serde(default = "cookie")]
    pub(crate) identifier: String,
    /// What the platform calls each segment, by the segment's name.
    #[serde(default)]
    pub(crate) segments: BTreeMap<String, SegmentIds>,
    /// Compress with gzip. Default: true for `xandr`, else false.
    #[serde(default)]
    pub(crate) gzip: Option<bool>,
    /// Size of a file before compression at which the next one is begun, in bytes. Default and most: 500,000,000 for
    /// `xandr`, 3,000,000,000 for `adobe-aam`; no limit for the others.
    #[serde(default)]
    pub(crate) max_file_bytes: Option<u64>,
    /// `xandr`, `adobe-aam`: the identifiers are ids of such devices, not of browsers or of your own users.
    #[serde(default)]
    pub(crate) device: Option<Device>,
    /// `xandr`: your member id at Xandr, for the field `MEMBER_ID`; a segment may have its own.
    #[serde(default)]
    pub(crate) member_id: Option<u32>,
    /// `xandr`: fields of a segment, in the order agreed with Xandr. Default `SEG_ID, EXPIRATION`, or
    /// `SEG_CODE, EXPIRATION` when no segment here has an id; with `member_id`, `MEMBER_ID` goes first.
    #[serde(default)]
    pub(crate) fields: Option<Vec<xandr::Field>>,
    /// `xandr`: separators, as agreed with Xandr.
    #[serde(default)]
    pub(crate) separators: Option<xandr::Separators>,
    /// `adobe-aam`: id of your data source (DPID); needed.
    #[serde(default)]
    pub(crate) dpid: Option<u32>,
    /// `csv`: the file is for people with a spreadsheet. Any text may be an identifier, and a cell that a spreadsheet
    /// would take for a formula gets a `'` before it.
    #[serde(default)]
    pub(crate) human: bool,
}

/// Format of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Xandr Batch Segment Service, legacy text format.
    Xandr,
    /// Adobe Audience Manager inbound data files.
    AdobeAam,
    /// Comma-separated: segment, operation, identifier, with a header.
    Csv,
    /// One JSON object a line: segment, operation, identifier.
    Jsonl,
}

/// What the platform calls a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentIds {
    /// The platform's number of the segment (Xandr `SEG_ID`, Adobe trait SID).
    #[serde(default)]
    pub(crate) id: Option<u32>,
    /// The platform's code of the segment (Xandr `SEG_CODE`). Default: the segment's name.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// `xandr`: minutes after which a member is dropped without a removal. Default 0: the most, 180 days.
    #[serde(default)]
    pub(crate) expiration_minutes: u32,
    /// `xandr`: value for the field `VALUE`. Default 0.
    #[serde(default)]
    pub(crate) value: u32,
    /// `xandr`: member id that the segment belongs to, where it is not `member_id`.
    #[serde(default)]
    pub(crate) member_id: Option<u32>,
}

impl Config {
    /// True when the files are compressed.
    pub(crate) fn gzipped(&self) -> bool {
        self.gzip.unwrap_or(self.format == Format::Xandr)
    }

    /// Most bytes of a file before compression.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_file_bytes.unwrap_or(self.format.max_bytes())
    }

    /// Everything wrong with the options.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.misplaced();
        if self.path.is_empty() {
            problems.push(Problem::new("/path", "empty path").help("name a folder: \"out/\""));
        }
        if self.identifier.is_empty() {
            problems.push(Problem::new("/identifier", "empty namespace"));
        }
        let most = self.format.max_bytes();
        if self.max_file_bytes.is_some_and(|bytes| bytes == 0 || bytes > most) {
            problems
                .push(Problem::new("/max_file_bytes", "out of range").help(format!("allowed: 1 to {most}")));
        }
        match self.format {
            Format::Xandr => problems.extend(xandr::problems(self)),
            Format::AdobeAam => problems.extend(crate::adobe::problems(self)),
            Format::Csv | Format::Jsonl if ["segment", "operation"].contains(&self.identifier.as_str()) => {
                problems
                    .push(Problem::new("/identifier", format!("`{}` is another column", self.identifier)));
            }
            Format::Csv | Format::Jsonl => {}
        }
        problems
    }

    /// Options of one format under another.
    fn misplaced(&self) -> Vec<Problem> {
        use Format::{AdobeAam, Csv, Xandr};
        let segment = |has: fn(&SegmentIds) -> bool| self.segments.values().any(has);
        let options: [(&str, bool, &[Format]); 9] = [
            ("device", self.device.is_some(), &[Xandr, AdobeAam]),
            ("member_id", self.member_id.is_some(), &[Xandr]),
            ("fields", self.fields.is_some(), &[Xandr]),
            ("separators", self.separators.is_some(), &[Xandr]),
            ("dpid", self.dpid.is_some(), &[AdobeAam]),
            ("human", self.human, &[Csv]),
            ("segments/*/expiration_minutes", segment(|ids| ids.expiration_minutes > 0), &[Xandr]),
            ("segments/*/value", segment(|ids| ids.value > 0), &[Xandr]),
            ("segments/*/member_id", segment(|ids| ids.member_id.is_some()), &[Xandr]),
        ];
        let wrong = options.into_iter().filter(|(_, set, formats)| *set && !formats.contains(&self.format));
        let problem = |(name, _, formats): (&str, bool, &[Format])| {
            let path = name.split("/*").next().unwrap_or(name);
            let allowed: Vec<&str> = formats.iter().map(|format| format.name()).collect();
            let name = name.rsplit('/').next().unwrap_or(name);
            Problem::new(
                format!("/{path}"),
                format!("`{name}` means nothing to format `{}`", self.format.name()),
            )
            .help(format!("it is for format {}", allowed.join(" and ")))
        };
        wrong.map(problem).collect()
    }
}

impl Format {
    /// As in the options.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Xandr => "xandr",
            Self::AdobeAam => "adobe-aam",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// Xandr takes 0.5 GB a file; Adobe 5 GB, or 3 GB compressed, of which the smaller holds either way.
    const fn max_bytes(self) -> u64 {
        match self {
            Self::Xandr => 500_000_000,
            Self::AdobeAam => 3_000_000_000,
            Self::Csv | Self::Jsonl => u64::MAX,
        }
    }
}

/// Place of a segment's option, as a JSON pointer.
pub(crate) fn at(segment: &str, option: &str) -> String {
    format!("/segments/{}/{option}", segment.replace('~', "~0").replace('/', "~1"))
}

fn cookie() -> String {
    "cookie".to_owned()
}
