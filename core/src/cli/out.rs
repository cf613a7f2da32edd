//! Standard output, which may be a pipe whose reader has seen enough.

use std::{fmt::Arguments, io::Write};

/// Prints a line; ends quietly when nobody reads any more.
pub(super) fn line(text: Arguments<'_>) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// `println!` that survives `| head`.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}
pub(super) use say;
