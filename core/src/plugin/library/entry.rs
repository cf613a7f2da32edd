//! From a linked library to its root module, with its types compared before any of them is used.

use super::Refusal;
use kindred_plugin_api::abi::{
    abi_stable::{
        StableAbi,
        abi_stability::abi_checking::check_layout_compatibility,
        library::{AbiHeaderRef, LibHeader, LibraryError, ROOT_MODULE_LOADER_NAME_WITH_NUL},
    },
    raw::RootRef,
};
use libloading::os::unix::Library;

/// The root of a library.
///
/// `RootModule::load_from_file` is not used: it answers the first library for every later path.
pub(super) fn root(library: Library) -> Result<RootRef, Refusal> {
    // SAFETY: every library that exports this name exports a `LibHeader` under it, whose first field is the
    // `AbiHeader`; `upgrade` compares its magic string and version before anything behind it is read.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
        .map(|symbol| *symbol)
        .map_err(|_| Refusal::NoEntry)?;
    // What the header refers to lives in the library: it stays for ever.
    std::mem::forget(library);
    let header = header.upgrade().map_err(refusal)?;
    if header.layout().is_none() {
        return Err(Refusal::OtherLayout {
            detail: "the library carries no description of its types".into(),
        });
    }
    match header.init_root_module::<RootRef>() {
        Err(LibraryError::AbiInstability(differences)) => older(header, &differences.to_string()),
        other => other.map_err(refusal),
    }
}

/// A library of an older minor version has fewer trailing fields and methods than this host, which stock abi_stable
/// refuses. With the sides exchanged the same check says whether that is the only difference; what is missing then
/// reads as `None` or takes the trait's default.
fn older(header: &'static LibHeader, differences: &str) -> Result<RootRef, Refusal> {
    let differs = |_| Refusal::OtherLayout { detail: differences.to_owned() };
    let theirs = header.layout().ok_or(()).map_err(differs)?;
    check_layout_compatibility(theirs, RootRef::LAYOUT).map_err(|_| differs(()))?;
    // SAFETY: the layouts were compared a line above. Minor versions only ever append, so one side is a prefix of
    // the other everywhere.
    unsafe { header.init_root_module_with_unchecked_layout::<RootRef>() }.map_err(refusal)
}

fn refusal(error: LibraryError) -> Refusal {
    let detail = error.to_string();
    match error {
        LibraryError::IncompatibleVersionNumber { actual_version, .. } => {
            Refusal::OtherMajor { found: format!("{}.{}", actual_version.major, actual_version.minor) }
        }
        LibraryError::AbiInstability(_) => Refusal::OtherLayout { detail },
        LibraryError::InvalidAbiHeader(_) | LibraryError::InvalidCAbi { .. } => {
            Refusal::OtherHeader { detail }
        }
        _ => Refusal::Start(detail.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}
