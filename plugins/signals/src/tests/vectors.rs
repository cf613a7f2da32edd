//! Every vector that the IAB's own encoders wrote.

use super::{fixture, gpp, int, write};
use crate::{GoogleConsent, Gpp, RestrictionType, Section, TcString, UsPrivacy, UsSection, VendorSet, gpc};
use serde_json::{Map, Value, json};

fn letters(two: [u8; 2]) -> String {
    two.map(char::from).iter().collect()
}

/// `2026-03-01T00:00:00.000Z`.
fn moment(ds: u64) -> String {
    let millis = i64::try_from(ds * 100).unwrap();
    format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap())
}

fn restrictions(tc: &TcString) -> Value {
    let kind = |kind| match kind {
        RestrictionType::NotAllowed => 0,
        RestrictionType::RequireConsent => 1,
        RestrictionType::RequireLegitimateInterest => 2,
        RestrictionType::Undefined => 3,
    };
    tc.restrictions()
        .map(|r| json!({ "purpose": r.purpose, "type": kind(r.kind), "vendors": r.vendors.ids() }))
        .collect()
}

#[test]
fn tc_strings() {
    let Some(fixture) = fixture("tcf_v2.json") else { return };
    let vectors = fixture["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 30);
    for vector in vectors {
        let tc = TcString::parse(vector["tc_string"].as_str().unwrap()).unwrap();
        let found = json!({
            "version": 2, "created": moment(tc.created_ds), "last_updated": moment(tc.last_updated_ds),
            "cmp_id": tc.cmp_id, "cmp_version": tc.cmp_version, "consent_screen": tc.consent_screen,
            "consent_language": letters(tc.consent_language), "vendor_list_version": tc.vendor_list_version,
            "policy_version": tc.policy_version, "service_specific": tc.service_specific,
            "non_standard_texts": tc.non_standard_texts, "purpose_one_treatment": tc.purpose_one_treatment,
            "publisher_country": letters(tc.publisher_country), "purposes_consent": tc.purposes_consent.ids(),
            "purposes_li": tc.purposes_li.ids(), "special_features": tc.special_features.ids(),
            "vendors_consent": tc.vendors_consent().ids(), "vendors_li": tc.vendors_li().ids(),
            "publisher_restrictions": restrictions(&tc),
            "vendors_disclosed": tc.vendors_disclosed().map(|set| set.ids()),
            "publisher_tc": tc.publisher_tc.map(|_| "present"),
        });
        assert_eq!(found, vector["expect"], "{}", vector["name"]);
    }
}

fn listed(flags: crate::Flags, count: u8) -> Vec<bool> {
    (1..=count).map(|id| flags.has(id)).collect()
}

/// Fields of section 2 under the names of the GPP's JavaScript interface.
fn tcf_fields(tc: &TcString) -> Value {
    // That interface says an empty list where the segment is not there.
    let ids = |set: Option<VendorSet<'_>>| set.map(|set| set.ids()).unwrap_or_default();
    json!({
        "Version": 2, "Created": moment(tc.created_ds), "LastUpdated": moment(tc.last_updated_ds), "CmpId": tc.cmp_id,
        "CmpVersion": tc.cmp_version, "ConsentScreen": tc.consent_screen, "ConsentLanguage": letters(tc.consent_language),
        "VendorListVersion": tc.vendor_list_version, "PolicyVersion": tc.policy_version,
        "IsServiceSpecific": tc.service_specific, "UseNonStandardStacks": tc.non_standard_texts,
        "SpecialFeatureOptins": listed(tc.special_features, 12), "PurposeConsents": listed(tc.purposes_consent, 24),
        "PurposeLegitimateInterests": listed(tc.purposes_li, 24), "PurposeOneTreatment": tc.purpose_one_treatment,
        "PublisherCountryCode": letters(tc.publisher_country), "VendorConsents": tc.vendors_consent().ids(),
        "VendorLegitimateInterests": tc.vendors_li().ids(), "PublisherRestrictions": restrictions(tc),
        "VendorsAllowed": ids(tc.vendors_allowed()), "VendorsDisclosed": ids(tc.vendors_disclosed()),
        "VendorsAllowedSegmentType": 2, "VendorsDisclosedSegmentType": 1, "PublisherPurposesSegmentType": 3,
        "PublisherConsents": tc.publisher_tc.map(|p| listed(p.purposes_consent, 24)),
        "PublisherLegitimateInterests": tc.publisher_tc.map(|p| listed(p.purposes_li, 24)),
        "NumCustomPurposes": tc.publisher_tc.map(|p| p.custom_purposes),
        "PublisherCustomConsents": tc.publisher_tc.map(|p| p.custom_consent.ids()),
        "PublisherCustomLegitimateInterests": tc.publisher_tc.map(|p| p.custom_li.ids()),
    })
}

fn us_fields(section: &UsSection) -> Map<String, Value> {
    let mut fields = Map::from_iter([("Version".into(), json!(section.version()))]);
    for (field, answers) in section.fields() {
        let value = if let [one] = answers { json!(one) } else { json!(answers) };
        fields.insert(format!("{field:?}"), value);
    }
    if let Some(on) = section.gpc() {
        fields.extend([("GpcSegmentType".into(), json!(1)), ("Gpc".into(), json!(on))]);
    }
    fields
}

fn us_privacy_fields(said: UsPrivacy) -> Value {
    let answer = |answer| match answer {
        Some(true) => "Y",
        Some(false) => "N",
        None => "-",
    };
    json!({ "Version": 1, "Notice": answer(said.notice), "OptOutSale": answer(said.opt_out_sale),
        "LspaCovered": answer(said.lspa_covered) })
}

#[test]
fn gpp_strings() {
    let Some(fixture) = fixture("gpp.json") else { return };
    let vectors = fixture["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 40);
    for vector in vectors {
        let read = Gpp::parse(vector["gpp_string"].as_str().unwrap()).unwrap();
        let ids: Vec<u16> = read.sections().iter().map(|(id, _)| *id).collect();
        assert_eq!(json!(ids), vector["section_ids"]);
        for (id, text) in read.sections() {
            let (name, found) = match Section::parse(*id, text).unwrap().unwrap() {
                Section::Tcf(tc) => ("tcfeuv2", tcf_fields(&tc)),
                Section::UsPrivacy(said) => ("uspv1", us_privacy_fields(said)),
                Section::Us(section) => (section.name(), us_fields(&section).into()),
            };
            let wanted = vector["sections"][name].as_object().unwrap();
            // A wrapped TC string comes with two fields only; of all others every field must be there.
            if name != "tcfeuv2" {
                assert_eq!(found.as_object().unwrap(), wanted, "{}", vector["name"]);
            }
            for (field, value) in wanted {
                assert_eq!(&found[field], value, "{}: {field}", vector["name"]);
            }
        }
    }
}

#[test]
fn gpc_headers() {
    let Some(fixture) = fixture("consent_headers.json") else { return };
    let cases = fixture["sec_gpc"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let lines: Vec<&str> =
            case["headers"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(gpc(lines.iter().copied()), case["gpc"].as_bool().unwrap(), "{case}");
    }
    assert!(gpc(["0, 1"]), "lines that a proxy joined");
}

#[test]
fn google_consent_modes() {
    let Some(fixture) = fixture("consent_headers.json") else { return };
    let cases = fixture["google_gcs"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let found = GoogleConsent::parse(case["gcs"].as_str().unwrap()).unwrap();
        assert_eq!(json!(found.ad_storage), case["ad_storage"], "{case}");
        assert_eq!(json!(found.analytics_storage), case["analytics_storage"], "{case}");
    }
}

/// The answers of a section as its page lists them: two bits each, after the version.
fn us(id: u16, text: &str) -> Map<String, Value> {
    us_fields(&UsSection::parse(id, text).unwrap().unwrap())
}

#[test]
fn sections_24_to_27() {
    // Sections/US-States/IN: MspaVersion 1, then 1 for all nine answers; sensitive data 2 1 0 2 1 0 2 1.
    let answers = int(1, 6) + &"01".repeat(9);
    let sensitive = write("1001001001001001");
    for (id, name) in [(25, "usin"), (26, "usky"), (27, "usri")] {
        let text = format!("{}.{sensitive}", write(&answers));
        let found = us(id, &text);
        assert_eq!(UsSection::parse(id, &text).unwrap().unwrap().name(), name);
        assert_eq!(found["MspaMode"], 1);
        assert_eq!(found["KnownChildSensitiveDataConsents"], 1);
        assert_eq!(found["SensitiveDataProcessing"], json!([2, 1, 0, 2, 1, 0, 2, 1]));
        assert_eq!(found.len(), 11);
        // The "Section Header" of the specification in front, which encoders leave out.
        let header = write(&(int(id.into(), 6) + &int(1, 6) + &int(0, 12)));
        assert_eq!(us(id, &format!("{header}.{text}")), found);
        assert!(!us(id, &write(&answers)).contains_key("SensitiveDataProcessing"));
    }
    // Sections/US-States/MD: eight answers, none on children, and GPC.
    let found = us(24, &format!("{}.{}", write(&(int(1, 6) + &"01".repeat(8))), write("011")));
    assert_eq!((&found["TargetedAdvertisingOptOut"], &found["Gpc"]), (&json!(1), &json!(true)));
    assert_eq!(found.len(), 11);
}

#[test]
fn the_national_section_has_two_widths() {
    // Version 1.0 (December 2022): 12 sensitive categories, 2 groups of children. Version 2.0 (October 2024): 16 and 3.
    let answers = |sensitive, children| "00".repeat(9) + &"01".repeat(sensitive + children) + &"00".repeat(4);
    for (version, sensitive, children) in [(1, 12, 2), (2, 12, 2), (2, 16, 3), (1, 16, 3)] {
        let found = us(7, &write(&(int(version, 6) + &answers(sensitive, children))));
        assert_eq!(found["SensitiveDataProcessing"].as_array().unwrap().len(), sensitive);
        assert_eq!(found["KnownChildSensitiveDataConsents"].as_array().unwrap().len(), children);
        assert_eq!(found["PersonalDataConsents"], 0);
    }
}

#[test]
fn a_header_may_name_a_range_and_what_is_not_read() {
    // Header example 3 of the specification: 5 and 6 as a group.
    let read = Gpp::parse("DBABjw~BAAA~1YNN").unwrap();
    assert_eq!(read.sections(), [(5, "BAAA"), (6, "1YNN")]);
    assert!(Section::parse(5, "BAAA").unwrap().is_none());
    let text = gpp(&[(2, "C"), (900, "?")]);
    assert_eq!(Gpp::parse(&text).unwrap().sections()[1].0, 900);
}
