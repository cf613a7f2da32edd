//! What is allowed, case by case.

use super::{Tc, fixture, gpp, int, write};
use crate::{Consent, Denies, Malformed, NoSignal, Policy, Signals};

fn ours() -> Policy {
    Policy { vendor: Some(21), ..Policy::default() }
}

fn tcf(policy: &Policy, tc: &Tc) -> &'static str {
    policy.decide(&Signals { tcf: Some(&tc.text()), ..Signals::default() }).text()
}

fn said(policy: &Policy, gpp: &str) -> (&'static str, String) {
    let consent = policy.decide(&Signals { gpp: Some(gpp), ..Signals::default() });
    (consent.text(), consent.version)
}

#[test]
fn purposes_open_stages() {
    for (consent, text) in [
        (vec![], "denied"),
        (vec![3, 4], "denied"),
        (vec![1], "collect"),
        (vec![1, 2, 4], "collect"),
        (vec![1, 3], "collect segment"),
        (vec![1, 3, 4], "granted"),
    ] {
        assert_eq!(tcf(&ours(), &Tc { consent: consent.clone(), ..Tc::default() }), text, "{consent:?}");
    }
    // A later stage never without the earlier ones, however the lists are written.
    let odd = Policy { activate: vec![2], ..ours() };
    assert_eq!(tcf(&odd, &Tc { consent: vec![1, 2], ..Tc::default() }), "collect");
}

#[test]
fn the_vendor_needs_the_consent_too() {
    let other = Tc { vendors: vec![20, 22], ..Tc::default() };
    assert_eq!(tcf(&ours(), &other), "denied");
    assert_eq!(tcf(&Policy::default(), &other), "granted");
}

#[test]
fn legitimate_interest_only_where_the_policy_says_so() {
    let tc = Tc { consent: vec![1, 3, 4], interest: vec![7], ..Tc::default() };
    let measured = Policy { activate: vec![1, 3, 4, 7], ..ours() };
    assert_eq!(tcf(&measured, &tc), "collect segment");
    let interested = Policy { legitimate_interest: vec![7], ..measured };
    assert_eq!(tcf(&interested, &tc), "granted");
    assert_eq!(tcf(&interested, &Tc { vendors_interest: vec![], ..tc.clone() }), "collect segment");
    assert_eq!(tcf(&interested, &Tc { interest: vec![], ..tc }), "collect segment");
}

#[test]
fn restrictions_of_the_publisher_hold() {
    let policy = Policy { activate: vec![1, 3, 4, 7], legitimate_interest: vec![7], ..ours() };
    let with = |consent: &[u8], interest: &[u8], restriction: (u8, u8, Vec<u16>)| {
        tcf(
            &policy,
            &Tc {
                consent: consent.to_vec(),
                interest: interest.to_vec(),
                restrictions: vec![restriction],
                ..Tc::default()
            },
        )
    };
    let (both, all): (&[u8], &[u8]) = (&[1, 3, 4], &[1, 3, 4, 7]);
    assert_eq!(with(all, &[7], (3, 0, vec![21])), "collect");
    assert_eq!(with(all, &[7], (3, 3, vec![21])), "collect", "an undefined type forbids");
    assert_eq!(with(all, &[7], (3, 0, vec![20, 22])), "granted", "others are restricted");
    assert_eq!(with(both, &[7], (7, 1, vec![20, 21, 22])), "collect segment", "interest is not enough");
    assert_eq!(with(all, &[], (7, 1, vec![21])), "granted");
    assert_eq!(with(all, &[], (7, 2, vec![21])), "collect segment", "consent is not enough");
    assert_eq!(with(both, &[7], (7, 2, vec![21])), "granted");
    assert_eq!(with(all, &[7], (1, 2, vec![21])), "denied", "purpose 1 has no legitimate interest");
}

#[test]
fn disclosure_is_asked_from_policy_5_on() {
    let told = |policy, disclosed| tcf(&ours(), &Tc { policy, disclosed, ..Tc::default() });
    assert_eq!(told(5, Some(vec![21])), "granted");
    assert_eq!(told(5, Some(vec![20])), "denied");
    assert_eq!(told(4, Some(vec![20])), "granted");
    assert_eq!(told(5, None), "granted");
    let strict = Policy { require_disclosed: true, ..ours() };
    assert_eq!(tcf(&strict, &Tc::default()), "denied");
    assert_eq!(tcf(&strict, &Tc { policy: 4, ..Tc::default() }), "granted");
}

#[test]
fn purpose_one_may_be_left_out_where_the_operator_says_so() {
    let german = Tc { treatment: true, country: *b"DE", consent: vec![3, 4], ..Tc::default() };
    assert_eq!(tcf(&ours(), &german), "denied");
    let trusting = Policy { purpose_one_countries: vec!["DE".into()], ..ours() };
    assert_eq!(tcf(&trusting, &german), "granted");
    assert_eq!(tcf(&trusting, &Tc { country: *b"FR", ..german.clone() }), "denied");
    assert_eq!(tcf(&trusting, &Tc { treatment: false, ..german.clone() }), "denied");
    assert_eq!(tcf(&trusting, &Tc { restrictions: vec![(1, 0, vec![21])], ..german }), "denied");
}

#[test]
fn strings_that_are_invalid_by_now_allow_nothing() {
    assert_eq!(tcf(&ours(), &Tc { service_specific: false, ..Tc::default() }), "denied");
    let old = Tc { policy: 3, ..Tc::default() };
    assert_eq!(tcf(&ours(), &old), "denied");
    assert_eq!(tcf(&Policy { minimum_policy: 2, ..ours() }, &old), "granted");
}

/// A section of Virginia: notices, opt-outs, sensitive data, child, and the contract.
fn virginia(notices: u64, sale: u64, ads: u64, sensitive: u64, child: u64, provider: u64) -> String {
    let answers =
        [notices, notices, notices, sale, ads, sensitive, 0, 0, 0, 0, 0, 0, 0, child, 1, 1, provider];
    let bits = int(1, 6) + &answers.map(|answer| int(answer, 2)).concat();
    gpp(&[(9, &write(&bits))])
}

#[test]
fn an_opt_out_in_the_united_states_denies_activation() {
    let policy = Policy::default();
    let text = |string: &str| said(&policy, string).0;
    assert_eq!(said(&policy, &virginia(1, 2, 2, 0, 0, 2)), ("granted", "gpp usva".into()));
    assert_eq!(text(&virginia(0, 0, 0, 0, 0, 0)), "granted", "nothing of it applies");
    for denied in [
        virginia(1, 1, 2, 0, 0, 2),
        virginia(1, 2, 1, 0, 0, 2),
        virginia(1, 3, 2, 0, 0, 2),
        virginia(2, 0, 0, 0, 0, 2),
        virginia(1, 2, 2, 1, 0, 2),
        virginia(1, 2, 2, 0, 1, 2),
        virginia(1, 2, 2, 0, 0, 1),
    ] {
        assert_eq!(text(&denied), "collect segment");
    }
    assert_eq!(text(&virginia(1, 2, 2, 2, 2, 2)), "granted", "consent for both");
}

#[test]
fn options_move_what_an_opt_out_denies() {
    let sale = virginia(1, 1, 2, 0, 0, 2);
    let policy = |us_opt_out| Policy { us_opt_out, ..Policy::default() };
    assert_eq!(said(&policy(Denies::Segment), &sale).0, "collect");
    assert_eq!(said(&policy(Denies::Collect), &sale).0, "denied");
    let child = Policy { us_children: Denies::Collect, ..Policy::default() };
    assert_eq!(said(&child, &virginia(1, 2, 2, 0, 1, 2)).0, "denied");
    let plain = Policy { us_sensitive: Denies::Nothing, us_notice: false, ..Policy::default() };
    assert_eq!(said(&plain, &virginia(2, 2, 2, 1, 0, 2)).0, "granted");
}

#[test]
fn privacy_control_denies_activation_wherever_it_stands() {
    let answers = int(1, 6) + &"01".repeat(3) + &"10".repeat(2) + &"00".repeat(12);
    let with = |gpc: &str| gpp(&[(10, &(write(&answers) + gpc))]);
    assert_eq!(said(&Policy::default(), &with("")).0, "granted");
    assert_eq!(said(&Policy::default(), &with(&format!(".{}", write("010")))).0, "granted");
    assert_eq!(said(&Policy::default(), &with(&format!(".{}", write("011")))).0, "collect segment");
    let header = Policy::default().decide(&Signals { gpc: true, ..Signals::default() });
    assert_eq!((header.text(), header.version.as_str()), ("collect segment", "gpc"));
}

#[test]
fn consent_modes() {
    let consent = |gcs, no_signal| {
        let policy = Policy { no_signal, ..Policy::default() };
        policy.decide(&Signals { gcs: Some(gcs), ..Signals::default() })
    };
    let text = |gcs| consent(gcs, NoSignal::Granted).text().to_owned();
    assert_eq!(
        ["G111", "G101", "G110", "G100"].map(text),
        ["granted", "collect segment", "denied", "denied"]
    );
    assert_eq!(["G1-1", "G1-0", "G10-"].map(text), ["granted", "denied", "collect segment"]);
    assert_eq!(consent("G111", NoSignal::Denied).text(), "granted");
    // Nothing was said.
    assert_eq!(text("G1--"), "granted");
    assert_eq!(consent("G1--", NoSignal::Denied).text(), "denied");
    for bad in ["G2", "G211", "g111", "G1111", "G1x1", "111"] {
        assert_eq!(text(bad), "denied", "{bad}");
    }
}

#[test]
fn us_privacy_strings() {
    let text = |us_privacy| {
        Policy::default().decide(&Signals { us_privacy: Some(us_privacy), ..Signals::default() }).text()
    };
    assert_eq!(
        [text("1YNN"), text("1---"), text("1YYN"), text("1yy-"), text("1NNN")],
        ["granted", "granted", "collect segment", "collect segment", "collect segment"]
    );
    assert_eq!([text("2YNN"), text("1YN"), text("1YNX"), text("1YNNN")], ["denied"; 4]);
    assert_eq!(said(&Policy::default(), "DBABTA~1YYN"), ("collect segment", "gpp usprivacy".into()));
}

#[test]
fn no_signal_is_what_the_policy_says() {
    let granted = Policy { no_signal: NoSignal::Granted, ..Policy::default() };
    let none = Signals { tcf: Some(" "), gpp: Some(""), ..Signals::default() };
    assert_eq!(
        Policy::default().decide(&none),
        Consent { collect: false, segment: false, activate: false, version: "none".into() }
    );
    assert_eq!(granted.decide(&none).text(), "granted");
    // A section that is not read says nothing that is known.
    let later = gpp(&[(9, &write(&(int(1, 6) + &"00".repeat(17)))), (60, "B")]);
    assert_eq!(said(&Policy::default(), &later), ("denied", "gpp usva other".into()));
    assert_eq!(said(&granted, &later).0, "granted");
    assert_eq!(said(&granted, "DBAA").0, "granted");
}

#[test]
fn one_malformed_signal_denies_all() {
    let granted = Policy { no_signal: NoSignal::Granted, ..ours() };
    let tcf = Tc::default().text();
    let signals = Signals { tcf: Some(&tcf), gpp: Some("DBABRg~BVU"), ..Signals::default() };
    assert_eq!(granted.decide(&signals), Consent::malformed());
    assert_eq!(granted.evaluate(&signals), Err(Malformed::Short("core segment")));
    assert_eq!(granted.decide(&Signals { tcf: Some("${GDPR_CONSENT_21}"), ..signals }), Consent::malformed());
}

#[test]
fn a_column_that_is_there_counts_too() {
    let all = || Consent::up_to(3, "none");
    let texts =
        ["granted", "denied", "collect", "collect segment", "collect segment activate", "segment", "", "yes"];
    let found = texts.map(|text| all().and(text).text());
    assert_eq!(
        found,
        ["granted", "denied", "collect", "collect segment", "granted", "denied", "denied", "denied"]
    );
    assert_eq!(Consent::up_to(1, "none").and("granted").text(), "collect");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let policy: Policy = serde_json::from_str(
        r#"{ "vendor": 0, "collect": [], "segment": [25], "legitimate_interest": [7, 3], "purpose_one_countries": ["de"],
            "us_opt_out": "nothing" }"#,
    )
    .unwrap();
    let at: Vec<String> = policy.problems().into_iter().map(|(at, _)| at).collect();
    assert_eq!(
        at,
        [
            "/vendor",
            "/collect",
            "/segment/0",
            "/legitimate_interest/1",
            "/purpose_one_countries/0",
            "/us_opt_out"
        ]
    );
    assert_eq!(Policy::default().problems(), []);
    assert!(serde_json::from_str::<Policy>(r#"{ "purposes": [1] }"#).is_err());
}

#[test]
fn vectors_are_decided() {
    let Some(fixture) = fixture("tcf_v2.json") else { return };
    let decided = |name: &str| {
        let vectors = fixture["vectors"].as_array().unwrap();
        let vector = vectors.iter().find(|vector| vector["name"] == name).unwrap();
        let consent = ours().decide(&Signals { tcf: vector["tc_string"].as_str(), ..Signals::default() });
        (consent.text(), consent.version)
    };
    let version = |policy| format!("tcf2 policy{policy} list7 cmp300 2026-03-01");
    for (name, text, policy) in [
        ("all-yes-few-vendors/policy5/disclosed", "granted", 5),
        ("all-no/policy5/disclosed", "denied", 5),
        ("p1-vendor21/policy5/disclosed", "collect", 5),
        ("p1-3-4-vendor21/policy4", "granted", 4),
        ("profile-without-p1/policy4/disclosed", "denied", 4),
        ("vendors-no-purposes/policy4", "denied", 4),
        ("all-purposes-no-vendors/policy4", "denied", 4),
        ("restrict-p3-not-allowed-v21/policy4", "collect", 4),
        ("non-service-specific/policy4", "denied", 4),
        ("purpose1-treatment-DE/policy5/disclosed", "denied", 5),
    ] {
        assert_eq!(decided(name), (text, version(policy)), "{name}");
    }
}
