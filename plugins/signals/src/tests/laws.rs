//! What holds for any input.

use super::{Form, Tc, fixture, gpp, int, write};
use crate::{Gpp, Malformed, Policy, Section, Signals, TcString, UsPrivacy, VendorSet};
use proptest::{collection::btree_set, option, prelude::*};
use std::time::{Duration, Instant};

fn ids() -> impl Strategy<Value = Vec<u16>> {
    let near = btree_set(1..200_u16, 0..60);
    let far = btree_set(1..=u16::MAX, 0..20);
    prop_oneof![near, far].prop_map(|set| set.into_iter().collect())
}

fn purposes() -> impl Strategy<Value = Vec<u8>> {
    btree_set(1..=24_u8, 0..24).prop_map(|set| set.into_iter().collect())
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Bits), Just(Form::Singles), Just(Form::Ranges)]
}

fn tc() -> impl Strategy<Value = Tc> {
    let sets = (ids(), ids(), option::of(ids()), option::of(ids()), form());
    let restrictions = prop::collection::vec((1..=11_u8, 0..4_u8, ids()), 0..4);
    let publisher = option::of((purposes(), 0..64_u8));
    let rest = (3..6_u8, any::<bool>(), any::<bool>(), purposes(), purposes());
    (sets, restrictions, publisher, rest).prop_map(|(sets, restrictions, publisher, rest)| {
        let (vendors, vendors_interest, disclosed, allowed, form) = sets;
        let (policy, service_specific, treatment, consent, interest) = rest;
        Tc {
            policy,
            service_specific,
            treatment,
            consent,
            interest,
            vendors,
            vendors_interest,
            restrictions,
            disclosed,
            allowed,
            publisher,
            form,
            ..Tc::default()
        }
    })
}

fn same(found: VendorSet<'_>, wanted: &[u16]) {
    assert_eq!(found.ids(), wanted);
    for id in wanted.iter().flat_map(|id| [*id, id.saturating_sub(1), id.saturating_add(1)]) {
        assert_eq!(found.contains(id), wanted.contains(&id), "{id}");
    }
}

/// All that may be done with a text.
fn read_all(text: &str) {
    if let Ok(tc) = TcString::parse(text) {
        tc.restrictions().take(3).for_each(|found| assert!(found.vendors.ids().len() <= 65_535));
        assert!(tc.vendors_consent().ids().len() <= 65_535);
    }
    let _ = UsPrivacy::parse(text);
    let _ = Gpp::parse(text);
    for id in 0..30 {
        let _ = Section::parse(id, text).map(|section| format!("{section:?}"));
    }
    let policy = Policy { vendor: Some(21), ..Policy::default() };
    for signals in [
        Signals { tcf: Some(text), ..Signals::default() },
        Signals { gpp: Some(text), ..Signals::default() },
        Signals { us_privacy: Some(text), ..Signals::default() },
    ] {
        let consent = policy.decide(&signals);
        assert!(consent.activate <= consent.segment && consent.segment <= consent.collect);
        if let Err(why) = policy.evaluate(&signals) {
            assert_eq!((consent.text(), consent.version.as_str()), ("denied", "malformed"));
            assert!(text.trim().len() < 8 || !why.to_string().contains(text.trim()));
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(tc in tc()) {
        let text = tc.text();
        let read = TcString::parse(&text).unwrap();
        prop_assert_eq!(read.purposes_consent.ids(), tc.consent);
        prop_assert_eq!(read.purposes_li.ids(), tc.interest);
        prop_assert_eq!((read.policy_version, read.service_specific), (tc.policy, tc.service_specific));
        prop_assert_eq!((read.purpose_one_treatment, read.publisher_country), (tc.treatment, tc.country));
        same(read.vendors_consent(), &tc.vendors);
        same(read.vendors_li(), &tc.vendors_interest);
        for (found, wanted) in [(read.vendors_disclosed(), tc.disclosed), (read.vendors_allowed(), tc.allowed)] {
            prop_assert_eq!(found.is_some(), wanted.is_some());
            found.into_iter().zip(wanted).for_each(|(found, wanted)| same(found, &wanted));
        }
        prop_assert_eq!(read.restrictions().count(), tc.restrictions.len());
        for (found, (purpose, kind, ids)) in read.restrictions().zip(&tc.restrictions) {
            prop_assert_eq!((found.purpose, found.kind as u8), (*purpose, *kind));
            same(found.vendors, ids);
        }
        if let (Some(found), Some((consent, custom))) = (read.publisher_tc, &tc.publisher) {
            prop_assert_eq!(found.purposes_consent.ids(), consent.clone());
            prop_assert_eq!(found.custom_consent.ids(), (1..=*custom).collect::<Vec<_>>());
            prop_assert_eq!(found.custom_li.ids(), Vec::<u8>::new());
        }
    }

    /// A string that was cut is never read as one that allows more.
    #[test]
    fn a_cut_string_denies(tc in tc(), part in 0.0..1.0_f64) {
        let text = tc.text();
        let core = text.split('.').next().unwrap();
        // The padding of the last character may be all that is gone with it, so two go.
        let cut = &core[..((core.len() - 2) as f64 * part) as usize];
        prop_assume!(!cut.is_empty());
        prop_assert!(TcString::parse(cut).is_err());
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,60}|[A-Za-z0-9_.~-]{0,120}|[BCD][A-Za-z0-9_-]{30,90}([.~][A-Za-z0-9_-]{1,20})?") {
        read_all(&text);
    }

    #[test]
    fn any_bits_are_survived(bits in "[01]{0,900}", id in 1..30_u32) {
        let text = write(&bits);
        read_all(&text);
        read_all(&format!("{}{text}", write(&int(2, 6))));
        read_all(&gpp(&[(id, &text)]));
    }

    #[test]
    fn a_changed_character_is_survived(tc in tc(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut text: Vec<char> = tc.text().chars().collect();
        let at = at.index(text.len());
        text[at] = with;
        read_all(&text.into_iter().collect::<String>());
    }

    /// Another signal never allows more.
    #[test]
    fn the_strictest_wins(tc in tc(), gpc: bool, us in "1[YN-]{3}", gcs in "G1[01]{2}", children in 0..3_u8, sale in 0..3_u8) {
        let tcf = tc.text();
        let (sale, children) = (int(sale.into(), 2), int(children.into(), 2));
        let zeros = |answers| "00".repeat(answers);
        let national = [int(2, 6), zeros(6), sale, zeros(18), children, zeros(6)].concat();
        let national = write(&national);
        let both = gpp(&[(2, &tcf), (7, &national)]);
        let vendor = tc.vendors.first().copied();
        let policy = Policy { vendor, minimum_policy: 3, legitimate_interest: vec![7], ..Policy::default() };
        let all = Signals { tcf: Some(&tcf), gpp: Some(&both), us_privacy: Some(&us), gcs: Some(&gcs), gpc };
        let whole = policy.decide(&all);
        prop_assert_ne!(&whole.version, "malformed");
        let single = [
            Signals { tcf: all.tcf, ..Signals::default() },
            Signals { gpp: all.gpp, ..Signals::default() },
            Signals { us_privacy: all.us_privacy, ..Signals::default() },
            Signals { gcs: all.gcs, ..Signals::default() },
            Signals { tcf: all.tcf, gpc, ..Signals::default() },
        ];
        let least = single.map(|signals| policy.decide(&signals));
        for stage in crate::Stage::ALL {
            prop_assert_eq!(whole.allows(stage), least.iter().all(|consent| consent.allows(stage)));
        }
    }
}

#[test]
fn every_fixture_survives_a_flip_of_each_bit() {
    let Some(fixture) = fixture("gpp.json") else { return };
    for vector in fixture["vectors"].as_array().unwrap() {
        let text = vector["gpp_string"].as_str().unwrap();
        for at in (0..text.len()).step_by(if text.len() > 200 { 29 } else { 1 }) {
            for with in ["A", "_", ".", "~", "", "é"] {
                read_all(&format!("{}{with}{}", &text[..at], &text[at + 1..]));
            }
        }
    }
}

#[test]
fn claims_of_millions_cost_nothing() {
    let begun = Instant::now();
    // 4,095 restrictions of 40 ranges over all vendors each: 10 billion ids, were they unpacked.
    let range = "1".to_owned() + &int(1, 16) + &int(65_535, 16);
    let one = int(1, 6) + &int(0, 2) + &int(40, 12) + &range.repeat(40);
    let plain = Tc { vendors: vec![], vendors_interest: vec![], ..Tc::default() }.text();
    let empty = "0".repeat(17 + 17 + 12);
    // The core of a string without vendors, up to the country: 213 bits.
    let mut bits: String = plain.bytes().map(|c| int(six(c), 6)).collect();
    bits.truncate(213);
    let head = write(&(bits.clone() + &empty));
    assert!(TcString::parse(&head).is_ok());
    let hostile = write(&(bits + &"0".repeat(34) + &int(4_095, 12) + &one.repeat(4_095)));
    let tc = TcString::parse(&hostile).unwrap();
    assert_eq!(tc.restrictions().count(), 4_095);
    assert_eq!(tc.restrictions().last().unwrap().vendors.ids().len(), 65_535);
    let policy = Policy { vendor: Some(65_535), ..Policy::default() };
    assert_eq!(policy.decide(&Signals { tcf: Some(&hostile), ..Signals::default() }).text(), "denied");
    // A header of 4,095 groups that never end.
    let header = int(3, 6)
        + &int(1, 6)
        + &int(4_095, 12)
        + &("1".to_owned() + "11" + "00000000000000000011").repeat(4_095);
    assert_eq!(Gpp::parse(&format!("{}~C", write(&header))).unwrap_err(), Malformed::Sections(1));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn six(character: u8) -> u64 {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    alphabet.find(char::from(character)).unwrap() as u64
}
