//! Lines for the operator on standard error. They hold names and counts, never an identifier or a row.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Prints a line.
pub type Printer = Arc<dyn Fn(&str) + Send + Sync>;

static PRINTER: Mutex<Option<Printer>> = Mutex::new(None);

const DEBUG: &str = "debug";

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
    let level = match level {
        1 => "error",
        2 => "warning",
        _ if verbose() => "info",
        _ => return,
    };
    line(level, Some(instance), message);
}

/// An error that the host gets over.
pub fn error(message: &str) {
    line("error", None, message);
}

/// A warning of the host.
pub fn warn(message: &str) {
    line("warning", None, message);
}

/// Something that happens rarely and that an operator wants to know.
pub fn info(message: &str) {
    line("info", None, message);
}

/// A detail of the host.
pub fn debug(message: &str) {
    if verbose() {
        line(DEBUG, None, message);
    }
}

/// Lets somebody else print, who keeps a progress line below; none gives it back.
pub fn set_printer(printer: Option<Printer>) {
    *PRINTER.lock().unwrap_or_else(PoisonError::into_inner) = printer;
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line: `time`, `level`, `message`, and `instance` where a plugin speaks.
    Json,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Changes how lines look from now on.
pub fn set_format(format: Format) {
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

fn line(level: &str, instance: Option<&str>, message: &str) {
    let text = if JSON.load(Ordering::Relaxed) {
        let time = crate::step::text(crate::clock::now_us());
        let mut line = serde_json::json!({"time": time, "level": level, "message": message});
        if let Some(instance) = instance {
            line["instance"] = instance.into();
        }
        line.to_string()
    } else {
        let instance = instance.map(|name| format!("{name}: ")).unwrap_or_default();
        let level = if level == DEBUG { String::new() } else { format!("{level}: ") };
        format!("{level}{instance}{message}")
    };
    let printer = PRINTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match printer {
        Some(print) => print(&text),
        None => eprintln!("{text}"),
    }
}
