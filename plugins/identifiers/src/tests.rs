//! The rules against documented rows, a handful here and all of them in `shared/fixtures/identity`.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// The fixture beside the repository; says so when it is not there.
fn vectors() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/identity/vectors.json");
    match std::fs::read(path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            eprintln!("SKIPPED: no identity vectors at {path}: {error}");
            None
        }
    }
}

fn rows<'a>(vectors: &'a Value, pointer: &str) -> &'a [Value] {
    let rows = vectors.pointer(pointer).and_then(Value::as_array).unwrap();
    assert!(!rows.is_empty(), "{pointer} is empty");
    rows
}

fn with(kind: Kind, hash: Hash, raw: &str) -> Result<String, String> {
    apply(&Rule::new(kind, hash), raw)
}

#[test]
fn uid2_rows() {
    let Some(vectors) = vectors() else { return };
    for row in rows(&vectors, "/uid2_docs") {
        let input = row["input"].as_str().unwrap();
        for (hash, want) in
            [(Hash::None, "normalized"), (Hash::Sha256, "sha256_hex"), (Hash::Sha256Base64, "sha256_base64")]
        {
            assert_eq!(with(Kind::Email, hash, input).as_deref(), Ok(row[want].as_str().unwrap()), "{row}");
        }
    }
}

#[test]
fn phone_rows() {
    let Some(vectors) = vectors() else { return };
    for row in rows(&vectors, "/phone_e164") {
        let rule = Rule::new(Kind::Phone, Hash::None).region(row["region"].as_str().unwrap());
        assert_eq!(rule.validate(), Ok(()), "{row}");
        assert_eq!(
            apply(&rule, row["input"].as_str().unwrap()).as_deref(),
            Ok(row["e164"].as_str().unwrap())
        );
    }
}

#[test]
fn maid_rows() {
    let Some(vectors) = vectors() else { return };
    for row in rows(&vectors, "/maid/valid") {
        let id = row.as_str().unwrap();
        assert_eq!(with(Kind::Maid, Hash::None, id).as_deref(), Ok(id));
        assert_eq!(with(Kind::Idfa, Hash::None, id), Ok(id.to_uppercase()));
        assert_eq!(with(Kind::Aaid, Hash::None, id), Ok(id.to_lowercase()));
    }
    for row in rows(&vectors, "/maid/invalid").iter().chain(rows(&vectors, "/maid/opted_out")) {
        for kind in [Kind::Maid, Kind::Idfa, Kind::Aaid] {
            assert!(with(kind, Hash::None, row.as_str().unwrap()).is_err(), "{kind:?} {row}");
        }
    }
}

#[test]
fn meta_rows() {
    let Some(vectors) = vectors() else { return };
    for row in rows(&vectors, "/meta_fields") {
        let kind = match row["field"].as_str().unwrap() {
            "ph" => Kind::PhoneMeta,
            "ct" => Kind::CityMeta,
            other => panic!("no rule for Meta's field {other}"),
        };
        for (hash, column) in [(Hash::None, "normalized"), (Hash::Sha256, "sha256")] {
            assert_eq!(
                with(kind, hash, row["input"].as_str().unwrap()).ok().as_deref(),
                row[column].as_str(),
                "{row}"
            );
        }
    }
}

#[test]
fn a_handful_without_the_fixture() {
    let cases = [
        (Kind::Email, " MyEmail@example.com ", "myemail@example.com"),
        (Kind::Email, "JaneSaoirse+Work@example.com", "janesaoirse+work@example.com"),
        (Kind::Email, "JANE.SAOIRSE+x@gmail.com", "janesaoirse@gmail.com"),
        (Kind::Email, "jane.saoirse@googlemail.com", "jane.saoirse@googlemail.com"),
        (Kind::EmailGoogle, "Jane. Saoirse@Gmail.com", "jane.saoirse@gmail.com"),
        (Kind::Phone, "tel:+593-99-123-4567", "+593991234567"),
        (Kind::PhoneMeta, "+1 (616) 954-78 88", "16169547888"),
        (Kind::CityMeta, "St. Louis 2", "stlouis"),
        (Kind::Plain, "  4711 ", "4711"),
    ];
    for (kind, raw, want) in cases {
        assert_eq!(with(kind, Hash::None, raw).as_deref(), Ok(want));
    }
    let abroad = Rule::new(Kind::Phone, Hash::None).region("rw");
    assert_eq!(apply(&abroad, "250 123 456").as_deref(), Ok("+250250123456"));
}

#[test]
fn hashes_of_the_published_test_value() {
    // "abc": FIPS 180-4 (SHA), RFC 1321 appendix A.5 (MD5).
    assert_eq!(Hash::Sha256.of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(Hash::Sha1.of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(Hash::Md5.of("abc"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(Hash::Sha256Base64.of("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

#[test]
fn refusals_do_not_hold_the_value() {
    let refused = [
        (Kind::Email, "jane.example.com"),
        (Kind::Email, "ja ne@example.com"),
        (Kind::Email, "jane@@example.com"),
        (Kind::Email, "jane@example"),
        (Kind::Email, "...+x@gmail.com"),
        (Kind::Phone, "0301234567"),
        (Kind::Phone, "+1201555"),
        (Kind::Phone, "jane"),
        (Kind::Phone, "+999 1234567"),
        (Kind::Maid, "Ea7583cd-a667-48bc-b806-42ecb2b48606"),
        (Kind::Plain, "  "),
    ];
    for (kind, raw) in refused {
        let why = with(kind, Hash::Sha256, raw).unwrap_err();
        assert!(!why.contains(raw.trim()) || raw.trim().is_empty(), "{why}");
    }
}

#[test]
fn regions_are_checked() {
    assert_eq!(Rule::new(Kind::Phone, Hash::None).region("de").validate(), Ok(()));
    assert!(Rule::new(Kind::Phone, Hash::None).region("Germany").validate().is_err());
    assert!(Rule::new(Kind::Email, Hash::None).region("DE").validate().is_err());
}

fn kinds() -> impl Strategy<Value = Kind> {
    use Kind::*;
    prop::sample::select(vec![Email, EmailGoogle, Phone, PhoneMeta, CityMeta, Maid, Idfa, Aaid, Plain])
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(kind in kinds(), raw in ".{0,40}|[ 0-9+().-]{5,20}|[a-zA-Z.+]{1,9}@(gmail|x).com") {
        let rule = Rule::new(kind, Hash::None).region("DE");
        if let Ok(once) = apply(&rule, &raw) {
            prop_assert_eq!(apply(&rule, &once), Ok(once));
        }
    }
}
