//! System calls that fail, injected by strace into the writer.

use crate::child::{command, numbers};
use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

struct Run {
    output: String,
    trace: String,
    folder: tempfile::TempDir,
}

/// Runs the child under strace; none, with a line that says so, where that is not possible. With `CI=true` that is a failure.
fn run(inject: &[&str]) -> Option<Run> {
    let able = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        return crate::missing("strace, installed and allowed to trace,");
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut start =
        vec!["strace", "-f", "-o", trace.to_str().unwrap(), "-e", "trace=fdatasync,pwrite64,ftruncate"];
    inject.iter().for_each(|inject| start.extend(["-e", inject]));
    let spool = folder.path().join("spool");
    let output = command(&start, &spool, 1, Duration::from_secs(2)).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    Some(Run { output, trace: fs::read_to_string(&trace).unwrap(), folder })
}

/// Whether what was acknowledged, and nothing that was refused as full, is in the folder.
fn check(folder: &Path, run: &Run) {
    let spool = kindred_plugin_api::spool::Spool::open(crate::small(&folder.join("spool"))).unwrap();
    let there: BTreeSet<_> =
        crate::all(&spool, None).iter().map(|r| crate::child::number(&r.payload)).collect();
    let acked = numbers(&run.output, "acked ");
    assert!(acked.iter().all(|number| there.contains(number)));
}

#[test]
fn nothing_is_acknowledged_after_an_error_of_the_disk() {
    for inject in [
        &["inject=fdatasync:error=EIO:when=9"][..],
        &["inject=pwrite64:error=EIO:when=9"],
        &["inject=fdatasync:error=ENOSPC:when=9"],
        &["inject=pwrite64:error=ENOSPC:when=9", "inject=ftruncate:error=EIO:when=1"],
    ] {
        let Some(run) = run(inject) else { return };
        assert!(run.trace.contains("(INJECTED)"), "{inject:?}\n{}", run.trace);
        let refused = run.output.find("refused ").expect("refused");
        assert!(numbers(&run.output[..refused], "acked ").len() > 3, "{inject:?}: {}", run.output);
        assert!(!run.output[refused..].contains("acked "), "{inject:?}: {}", run.output);
        assert!(run.output.contains("health poisoned"), "{inject:?}: {}", run.output);
        // Nothing is tried again: the call that failed is the last one that touched the file.
        let injected = run.trace.rfind("(INJECTED)").unwrap();
        assert!(!run.trace[injected..].contains("fdatasync("), "{inject:?}: {}", run.trace);
        assert!(!run.trace[injected..].contains("pwrite64("), "{inject:?}: {}", run.trace);
        check(run.folder.path(), &run);
    }
}

#[test]
fn no_room_passes() {
    let Some(run) = run(&["inject=pwrite64:error=ENOSPC:when=9"]) else { return };
    assert!(run.trace.contains("(INJECTED)"), "{}", run.trace);
    let refused = run.output.find("refused ").expect("refused");
    assert!(run.output[refused..].contains("acked "), "{}", run.output);
    assert!(run.output.contains("health good"), "{}", run.output);
    check(run.folder.path(), &run);
}
