//! An encoder of the tests' own, from the tables of the standards, and the published vectors.

use serde_json::Value;

mod decisions;
mod laws;
mod vectors;

/// A fixture beside the repository; says so when it is not there.
pub(crate) fn fixture(name: &str) -> Option<Value> {
    let path = format!("{}/../../../shared/fixtures/consent/{name}", env!("CARGO_MANIFEST_DIR"));
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            eprintln!("SKIPPED: no consent vectors at {path}: {error}");
            None
        }
    }
}

/// Zeros and ones as base64url, padded to six.
pub(crate) fn write(bits: &str) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let padded = format!("{bits}{}", "0".repeat(bits.len().next_multiple_of(6) - bits.len()));
    let value = |six: &[u8]| usize::from_str_radix(std::str::from_utf8(six).unwrap(), 2).unwrap();
    padded.as_bytes().chunks(6).map(|six| char::from(alphabet[value(six)])).collect()
}

/// A number in so many bits.
pub(crate) fn int(number: u64, bits: usize) -> String {
    format!("{number:0bits$b}")
}

/// Fibonacci coding as the specification words it: largest number first, remainder, 1 at the end.
pub(crate) fn fibonacci(mut number: u32) -> String {
    let mut numbers = vec![1, 2];
    while numbers[numbers.len() - 1] <= number {
        numbers.push(numbers[numbers.len() - 1] + numbers[numbers.len() - 2]);
    }
    let mut places = vec![false; numbers.len()];
    for (place, weight) in numbers.iter().enumerate().rev() {
        places[place] = *weight <= number;
        number -= if places[place] { *weight } else { 0 };
    }
    let last = places.iter().rposition(|place| *place).unwrap();
    let code: String = places[..=last].iter().map(|place| if *place { '1' } else { '0' }).collect();
    code + "1"
}

/// Flags of ids from 1.
fn flags(ids: &[u8], count: u8) -> String {
    (1..=count).map(|id| if ids.contains(&id) { '1' } else { '0' }).collect()
}

/// How a set of vendors is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Bits,
    /// Single ids.
    Singles,
    /// Runs as ranges.
    Ranges,
}

/// A set of vendors, sorted ids; with its maximum in front, or as entries alone.
fn vendors(ids: &[u16], form: Form) -> String {
    let max = ids.last().copied().unwrap_or(0);
    let head = int(max.into(), 16);
    match form {
        Form::Bits => {
            let bit = |id| if ids.binary_search(&id).is_ok() { '1' } else { '0' };
            head + "0" + &(1..=max).map(bit).collect::<String>()
        }
        form => head + "1" + &entries(ids, form),
    }
}

fn entries(ids: &[u16], form: Form) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *id && matches!(form, Form::Ranges) => *end = *id,
            _ => runs.push((*id, *id)),
        }
    }
    let run = |(start, end): &(u16, u16)| match start == end {
        true => format!("0{}", int((*start).into(), 16)),
        false => format!("1{}{}", int((*start).into(), 16), int((*end).into(), 16)),
    };
    int(runs.len() as u64, 12) + &runs.iter().map(run).collect::<String>()
}

/// A TC string to be written.
#[derive(Clone, Debug)]
pub(crate) struct Tc {
    pub policy: u8,
    pub service_specific: bool,
    pub treatment: bool,
    pub country: [u8; 2],
    pub consent: Vec<u8>,
    pub interest: Vec<u8>,
    pub vendors: Vec<u16>,
    pub vendors_interest: Vec<u16>,
    pub restrictions: Vec<(u8, u8, Vec<u16>)>,
    pub disclosed: Option<Vec<u16>>,
    pub allowed: Option<Vec<u16>>,
    pub publisher: Option<(Vec<u8>, u8)>,
    pub form: Form,
}

impl Default for Tc {
    fn default() -> Self {
        Self {
            policy: 5,
            service_specific: true,
            treatment: false,
            country: *b"AA",
            consent: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            interest: vec![2, 7, 8, 9, 10, 11],
            vendors: vec![21],
            vendors_interest: vec![21],
            restrictions: Vec::new(),
            disclosed: None,
            allowed: None,
            publisher: None,
            form: Form::Bits,
        }
    }
}

impl Tc {
    pub(crate) fn text(&self) -> String {
        let letters = |two: [u8; 2]| two.map(|letter| int((letter - b'A').into(), 6)).concat();
        let day = int(17_723_232_000, 36); // 2026-03-01
        let mut core = int(2, 6) + &day + &day + &int(300, 12) + &int(2, 12) + &int(1, 6) + &letters(*b"EN");
        core += &(int(48, 12) + &int(self.policy.into(), 6) + &int(self.service_specific.into(), 1) + "0");
        core += &(flags(&[1], 12) + &flags(&self.consent, 24) + &flags(&self.interest, 24));
        core += &(int(self.treatment.into(), 1) + &letters(self.country));
        core += &(vendors(&self.vendors, self.form) + &vendors(&self.vendors_interest, self.form));
        core += &int(self.restrictions.len() as u64, 12);
        for (purpose, kind, ids) in &self.restrictions {
            core += &(int((*purpose).into(), 6) + &int((*kind).into(), 2) + &entries(ids, Form::Ranges));
        }
        let mut text = write(&core);
        // In no particular order, as the standard allows.
        if let Some((consent, custom)) = &self.publisher {
            let own =
                int(u64::from(*custom), 6) + &"1".repeat((*custom).into()) + &"0".repeat((*custom).into());
            text += &(".".to_owned() + &write(&(int(3, 3) + &flags(consent, 24) + &flags(&[2], 24) + &own)));
        }
        for (kind, set) in [(2, &self.allowed), (1, &self.disclosed)] {
            if let Some(set) = set {
                text += &(".".to_owned() + &write(&(int(kind, 3) + &vendors(set, self.form))));
            }
        }
        text
    }
}

/// A GPP string of these sections.
pub(crate) fn gpp(sections: &[(u32, &str)]) -> String {
    let mut last = 0;
    let mut bits = int(3, 6) + &int(1, 6) + &int(sections.len() as u64, 12);
    for (id, _) in sections {
        bits += &("0".to_owned() + &fibonacci(id - last));
        last = *id;
    }
    let texts: String = sections.iter().map(|(_, text)| format!("~{text}")).collect();
    write(&bits) + &texts
}
