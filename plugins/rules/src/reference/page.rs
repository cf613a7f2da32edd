//! The reference page.

use super::{Entry, FORMS, FUNCTIONS};
use std::fmt::Write;

const PREFACE: &str = include_str!("preface.md");

/// The text of `docs/rules.md`.
pub fn page() -> String {
    let mut page = PREFACE.trim_end().to_owned() + "\n\n## Functions\n\n| call | value |\n|---|---|\n";
    // Writing to text cannot fail.
    for Entry { signature, meaning, .. } in FUNCTIONS {
        let call = signature.split(", with").next().unwrap_or_default();
        let gist = meaning.split_once(". ").map_or(meaning.trim_end_matches('.'), |(gist, _)| gist);
        let _ = writeln!(page, "| `{call}` | {gist} |");
    }
    for entry in FUNCTIONS {
        section(&mut page, entry);
    }
    page += "\n## Windows, conditions, values\n";
    for entry in FORMS {
        section(&mut page, entry);
    }
    page
}

fn section(page: &mut String, entry: &Entry) {
    let Entry { name, signature, meaning, time, null, example } = entry;
    let _ = write!(page, "\n### {name}\n\n`{signature}`\n\n{meaning}\n");
    for (title, text) in [("Time", time), ("Null", null)] {
        if !text.is_empty() {
            let _ = write!(page, "\n- *{title}:* {text}");
        }
    }
    if !time.is_empty() || !null.is_empty() {
        page.push('\n');
    }
    let answer = if example.holds { "true" } else { "not true" };
    let _ = write!(page, "\n```sql\n{}\n```\n\nis {answer} of ", example.rule);
    match example.profiles {
        [[]] => page.push_str("a profile with nothing.\n"),
        profiles => {
            let _ = write!(page, "\n\n```text\n{}\n```\n", profiles[0].join("\n"));
            if profiles.len() > 1 {
                let others: Vec<String> = profiles[1..].iter().map(|lines| lines.join("\n")).collect();
                let _ = write!(page, "\namong others with\n\n```text\n{}\n```\n", others.join("\n\n"));
            }
        }
    }
}
