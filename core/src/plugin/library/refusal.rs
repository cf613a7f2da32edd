//! Why a library is not loaded: one line each, and what to do about it.

use kindred_plugin_api::manifest::ABI;
use std::path::PathBuf;

/// A library that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("library `{}` {refusal}", .path.display())]
pub struct LoadError {
    /// As given.
    pub path: PathBuf,
    /// Why.
    pub refusal: Refusal,
}

/// What was wrong, in the order of the checks; reads on behind "library `…`".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Missing, a directory, or not readable.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Other bytes than `kindred.lock` vouches for.
    #[error("is not the one that kindred.lock pins: its sha256 is {found}, pinned is {pinned}")]
    WrongPin {
        /// In the lock.
        pinned: String,
        /// Of the file.
        found: String,
    },
    /// A text file, an archive, an empty file.
    #[error("is not a dynamic library: {0}")]
    NotALibrary(String),
    /// Shorter than its own headers say; loading it would kill the process.
    #[error("is cut short: {0}")]
    Truncated(String),
    /// For other machines.
    #[error("is built for {found}, this host is {host}")]
    OtherArchitecture {
        /// Of the library.
        found: String,
        /// Of this binary.
        host: &'static str,
    },
    /// A dynamic library without a `.kindred_manifest` section.
    #[error("is not a Kindred plugin: it has no `.kindred_manifest` section")]
    NotAPlugin,
    /// The section, or a running plugin's answer, cannot be read.
    #[error("has a manifest that cannot be read: {0}")]
    Manifest(String),
    /// Built for a boundary of another major version.
    #[error("is built for version {found} of the plugin boundary, this host has {}", ABI)]
    OtherMajor {
        /// Of the library.
        found: String,
    },
    /// A panic would end the host.
    #[error("would take the host down with it: {0} is built with panic = \"abort\"")]
    AbortsOnPanic(String),
    /// No entry symbol; the last refusal that needs none of the library's code.
    #[error("exports no entry point of a Kindred plugin")]
    NoEntry,
    /// The dynamic linker's answer: an undefined symbol, a missing dependency.
    #[error("cannot be linked: {0}")]
    Linker(String),
    /// Another release of abi_stable, or another C ABI.
    #[error("is built with an incompatible release of abi_stable")]
    OtherHeader {
        /// For `--verbose`.
        detail: String,
    },
    /// The types that cross differ.
    #[error("has types at the boundary that differ from this host's ({})", ABI)]
    OtherLayout {
        /// For `--verbose`: every difference, several kilobytes.
        detail: String,
    },
    /// Its root could not be made.
    #[error("failed to start: {0}")]
    Start(String),
    /// The section says one thing, the running code another.
    #[error("says it holds {section}, but holds {running}")]
    ManifestsDiffer {
        /// From the section.
        section: String,
        /// From the running plugins.
        running: String,
    },
}

impl LoadError {
    /// The long text behind the line, for `--verbose`.
    pub fn detail(&self) -> Option<&str> {
        match &self.refusal {
            Refusal::OtherLayout { detail } | Refusal::OtherHeader { detail } => Some(detail),
            _ => None,
        }
    }

    /// What the operator can do.
    pub fn help(&self) -> Option<String> {
        Some(match &self.refusal {
            Refusal::WrongPin { .. } => "if the change is meant, run `kindred plugin lock` again".into(),
            Refusal::Truncated(_) => "copy it again".into(),
            Refusal::NotAPlugin | Refusal::NoEntry => {
                "a plugin's library calls `kindred_plugin_api::export!` in a crate of type cdylib".into()
            }
            Refusal::OtherMajor { .. } | Refusal::OtherHeader { .. } | Refusal::OtherLayout { .. } => {
                format!("build it with kindred-plugin-api {ABI}")
            }
            Refusal::ManifestsDiffer { .. } => {
                "`export!` and `register!` must name the same plugins, each in both".into()
            }
            Refusal::AbortsOnPanic(_) => "build it with panic = \"unwind\", which is the default".into(),
            _ => return None,
        })
    }
}
