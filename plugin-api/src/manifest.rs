//! Who a plugin is. The same bytes stand in the library's `.kindred_manifest` section, so that the host can read
//! them without running any of its code.

use serde::{Deserialize, Serialize};

/// Major and minor version of the boundary.
pub const ABI: &str = "1.4";

/// The four kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Brings rows in.
    Source,
    /// Changes or adds columns.
    Enrichment,
    /// Says which profiles belong to which segments.
    Segmentation,
    /// Takes audiences out.
    Destination,
}

impl Kind {
    /// Lowercase noun.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Enrichment => "enrichment",
            Self::Segmentation => "segmentation",
            Self::Destination => "destination",
        }
    }
}

/// What a plugin says of itself, known at compile time. Build it with [`manifest!`](crate::manifest!).
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// Name in pipeline files: lowercase words joined by `-`.
    pub name: &'static str,
    /// Version of the plugin, not of the boundary.
    pub version: &'static str,
    /// One sentence for `kindred plugin list`.
    pub summary: &'static str,
    /// What the host may rely on: `idempotent`, `transactional`, `ordered`, `stateful`, `network`, `secrets`,
    /// `model` (needs `observe` and `fit`), `nests` (its segments may refer to each other),
    /// `narrow` (whole numbers of events may come in fewer than 64 bits, signed or not, and text in codes of one or two
    /// bytes, as [`crate::columns::coded_narrow`] says), `adds` (a model of which several instances may each be shown a part
    /// of everybody), `recalls` (a model that is fitted and evaluated in one pass over the events).
    pub capabilities: &'static [&'static str],
}

/// A [`Manifest`] with the version of the calling crate:
/// `manifest!("trim", "trims white space", ["idempotent"])`.
#[macro_export]
macro_rules! manifest {
    ($name:literal, $summary:literal $(, [$($capability:literal),*])? $(,)?) => {
        $crate::Manifest {
            name: $name,
            version: env!("CARGO_PKG_VERSION"),
            summary: $summary,
            capabilities: &[$($($capability),*)?],
        }
    };
}

/// A manifest as it was read back, from a library's section or a running plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadManifest {
    /// Name in pipeline files.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// What it does.
    pub summary: String,
    /// Which of the four.
    pub kind: Kind,
    /// What the host may rely on.
    pub capabilities: Vec<String>,
    /// Boundary version it was built for.
    pub abi: String,
    /// `unwind` or `abort`.
    pub panic: String,
}

impl ReadManifest {
    /// True when the plugin has this capability.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }
}

/// JSON text of fixed room, written at compile time.
#[derive(Clone, Copy)]
pub struct Section<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// Room for one plugin's manifest.
pub const ROOM: usize = 1024;

impl<const N: usize> Section<N> {
    /// Empty.
    #[allow(clippy::new_without_default, reason = "a const constructor, which Default cannot be")]
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            assert!(text[i] != b'"' && text[i] != b'\\' && text[i] >= b' ', "a manifest's text is plain");
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn quote(mut self) -> Self {
        self.bytes[self.len] = b'"';
        self.len += 1;
        self
    }

    const fn pair(self, key: &str, value: &str) -> Self {
        self.quote().text(key).quote().text(":").quote().text(value).quote()
    }

    /// Adds one plugin's manifest and a newline.
    pub const fn plugin(self, manifest: &Manifest, kind: Kind) -> Self {
        let panic = if cfg!(panic = "unwind") { "unwind" } else { "abort" };
        let mut out = self
            .text("{")
            .pair("name", manifest.name)
            .text(",")
            .pair("version", manifest.version)
            .text(",")
            .pair("summary", manifest.summary)
            .text(",")
            .pair("kind", kind.name())
            .text(",")
            .pair("abi", ABI)
            .text(",")
            .pair("panic", panic)
            .text(",")
            .quote()
            .text("capabilities")
            .quote()
            .text(":[");
        let mut i = 0;
        while i < manifest.capabilities.len() {
            if i > 0 {
                out = out.text(",");
            }
            out = out.quote().text(manifest.capabilities[i]).quote();
            i += 1;
        }
        out = out.text("]}");
        out.bytes[out.len] = b'\n';
        out.len += 1;
        out
    }

    /// All the room, zeros behind the text.
    pub const fn bytes(self) -> [u8; N] {
        self.bytes
    }

    /// The text.
    pub fn to_text(self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.len]).trim_end().to_owned()
    }
}
