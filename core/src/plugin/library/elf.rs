//! What a library says of itself in its file, read without running it.

use super::Refusal;
use kindred_plugin_api::{ReadManifest, abi::abi_stable::library::ROOT_MODULE_LOADER_NAME};
use object::{
    Endianness, FileKind, Object, ObjectSection, ObjectSymbol,
    elf::{
        EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_DYN, FileHeader64, SHT_NOBITS,
    },
    read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader},
};

/// Section of the manifests: JSON, one a line, zeros behind.
const SECTION: &str = ".kindred_manifest";

/// A library that fits this host, whole.
pub(super) fn parse(bytes: &[u8]) -> Result<ElfFile64<'_>, Refusal> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => {
            return Err(Refusal::OtherArchitecture { found: "32 bits".into(), host: std::env::consts::ARCH });
        }
        Ok(other) => return Err(Refusal::NotALibrary(format!("it is a file of kind {other:?}"))),
        Err(_) if bytes.starts_with(b"\x7fELF") => return Err(cut("its header is not all there")),
        Err(_) => return Err(Refusal::NotALibrary("it does not start with an ELF header".into())),
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(|e| cut(&e.to_string()))?;
    fits(header)?;
    whole(header, bytes)?;
    ElfFile64::parse(bytes).map_err(|e| cut(&e.to_string()))
}

fn cut(why: &str) -> Refusal {
    Refusal::Truncated(why.to_lowercase())
}

/// Kind of file and machine.
fn fits(header: &FileHeader64<Endianness>) -> Result<(), Refusal> {
    let endian = header.endian().map_err(|e| Refusal::NotALibrary(e.to_string()))?;
    let (machine, host) = (header.e_machine(endian), std::env::consts::ARCH);
    let found = match machine {
        EM_X86_64 => "x86_64",
        EM_AARCH64 => "aarch64",
        EM_RISCV => "riscv64",
        EM_PPC64 => "powerpc64",
        EM_S390 => "s390x",
        EM_386 => "x86",
        EM_ARM => "arm",
        _ => "",
    };
    let little = header.is_little_endian() == cfg!(target_endian = "little");
    if found != host || !little {
        let found = if found.is_empty() { format!("machine {machine:?}") } else { found.to_owned() };
        let found = if little { found } else { format!("{found} of the other byte order") };
        return Err(Refusal::OtherArchitecture { found, host });
    }
    if header.e_type(endian) != ET_DYN {
        return Err(Refusal::NotALibrary("it is an ELF file, but not a shared object".into()));
    }
    Ok(())
}

/// Every segment and section ends inside the file. The linker maps segments without looking, and the first touch
/// behind the end of the file is a SIGBUS.
fn whole(header: &FileHeader64<Endianness>, bytes: &[u8]) -> Result<(), Refusal> {
    let endian = header.endian().map_err(|e| cut(&e.to_string()))?;
    let segments = header.program_headers(endian, bytes).map_err(|e| cut(&e.to_string()))?;
    let sections = header.section_headers(endian, bytes).map_err(|e| cut(&e.to_string()))?;
    let of_segments = segments.iter().map(|s| s.p_offset(endian).checked_add(s.p_filesz(endian)));
    let of_sections = sections
        .iter()
        .filter(|s| s.sh_type(endian) != SHT_NOBITS)
        .map(|s| s.sh_offset(endian).checked_add(s.sh_size(endian)));
    let length = bytes.len() as u64;
    for end in of_segments.chain(of_sections) {
        match end {
            Some(end) if end <= length => {}
            Some(end) => return Err(cut(&format!("it has {length} bytes, its headers speak of {end}"))),
            None => return Err(cut("its headers speak of more bytes than a file can have")),
        }
    }
    if segments.is_empty() {
        return Err(Refusal::NotALibrary("it has nothing to load".into()));
    }
    Ok(())
}

/// What the manifest section says; at least one plugin, no name twice.
pub(super) fn manifests(file: &ElfFile64<'_>) -> Result<Vec<ReadManifest>, Refusal> {
    let section = file.section_by_name(SECTION).ok_or(Refusal::NotAPlugin)?;
    let bytes = section.data().map_err(|e| cut(&e.to_string()))?;
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Manifest("it is not UTF-8".into()))?;
    let mut found: Vec<ReadManifest> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let manifest: ReadManifest = serde_json::from_str(line)
            .map_err(|e| Refusal::Manifest(format!("line {}: {e}", found.len() + 1)))?;
        if found.iter().any(|other| other.name == manifest.name) {
            return Err(Refusal::Manifest(format!("it names `{}` twice", manifest.name)));
        }
        found.push(manifest);
    }
    if found.is_empty() {
        return Err(Refusal::Manifest("it is empty".into()));
    }
    Ok(found)
}

/// Whether the entry symbol is among the exported ones.
pub(super) fn has_entry(file: &ElfFile64<'_>) -> Result<(), Refusal> {
    let entry = file.dynamic_symbols().any(|s| s.is_definition() && s.name() == Ok(ROOT_MODULE_LOADER_NAME));
    if entry { Ok(()) } else { Err(Refusal::NoEntry) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_told_from_what_is_cut_short() {
        assert!(matches!(parse(b""), Err(Refusal::NotALibrary(_))));
        assert!(matches!(parse(b"hello, this is text and not a library"), Err(Refusal::NotALibrary(_))));
        assert!(matches!(parse(b"\x7fELF\x02\x01\x01"), Err(Refusal::Truncated(_))));
    }

    #[test]
    fn this_test_is_whole_but_no_plugin() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = parse(&bytes).unwrap();
        assert_eq!(manifests(&file), Err(Refusal::NotAPlugin));
        assert_eq!(has_entry(&file), Err(Refusal::NoEntry));
    }

    #[test]
    fn a_library_for_another_machine_is_named() {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes[18..20].copy_from_slice(&EM_S390.0.to_le_bytes());
        let Err(Refusal::OtherArchitecture { found, .. }) = parse(&bytes) else { panic!("not refused") };
        assert_eq!(found, "s390x");
    }
}
