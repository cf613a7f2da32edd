//! Words for messages: lists of names, and the name that was probably meant.

/// The name closest to `name`, when it is close.
pub(crate) fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let far = (name.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&name, &other.to_lowercase()), other))
        .filter(|&(distance, other)| distance <= far && distance < other.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, other)| other)
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    joined(&names, "and")
}

/// `a, b and c`.
pub(crate) fn joined<T: AsRef<str>>(words: &[T], last: &str) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// Help for an unknown name: the near one, when there is one, and all of them.
pub(crate) fn instead(name: &str, what: &str, names: &[&str]) -> String {
    let all = format!("{what}: {}", quoted(names.iter().copied()));
    match near(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_near() {
        assert_eq!(near("partyy", ["config", "party"]), Some("party"));
        assert_eq!(near("minimum-audience", ["minimum_audience"]), Some("minimum_audience"));
        assert_eq!(near("x", ["y"]), None);
        assert_eq!(near("path", ["config", "consent"]), None);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(quoted(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(instead("b", "names", &[]), "names: none");
    }
}
