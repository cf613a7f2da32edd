//! Lines for the operator on standard error. They hold names and counts, never an identifier or a row.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Prints a line.
pub type Printer = Arc<dyn Fn(&str) + Send + Sync>;

static PRINTER: Mutex<Option<Printer>> = Mutex::new(None);

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Shows details from now on.
pub fn set_verbose(on: bool) {
    VERBOSE.store(on, Ordering::Relaxed);
}

/// Whether details are shown.
pub fn verbose() -> bool {
    VERBOSE.load(Ordering::Relaxed)
}

/// A line from a plugin instance; level 1 error, 2 warning, 3 information, 4 debug.
pub fn plugin(level: u8, instance: &str, message: &str) {
    let word = match level {
        1 => "error",
        2 => "warning",
        _ if verbose() => "info",
        _ => return,
    };
    line(&format!("{word}: {instance}: {message}"));
}

/// A warning of the host.
pub fn warn(message: &str) {
    line(&format!("warning: {message}"));
}

/// A detail of the host.
pub fn debug(message: &str) {
    if verbose() {
        line(message);
    }
}

/// Lets somebody else print, who keeps a progress line below; none gives it back.
pub fn set_printer(printer: Option<Printer>) {
    *PRINTER.lock().unwrap_or_else(PoisonError::into_inner) = printer;
}

fn line(text: &str) {
    let printer = PRINTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match printer {
        Some(print) => print(text),
        None => eprintln!("{text}"),
    }
}
