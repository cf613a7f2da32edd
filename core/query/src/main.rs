//! The `kindred-query` binary: `kindred query` and SQL segments call it; it can be called by hand, too.

use clap::Parser;
use kindred_query::{Arguments, here, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(&Arguments::parse(), here)
}
