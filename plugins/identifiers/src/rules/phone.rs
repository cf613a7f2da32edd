//! Phone numbers in E.164, by libphonenumber's rules.

use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, enums::Region};

/// `+`, country code, national number: `+4915112345678`. A number without `+` is read as dialled in `region`.
///
/// The number must have a possible length; whether its range is in use is not asked, since ranges open every month.
///
/// Source: ITU-T E.164; UID2 documentation, "Normalization and Encoding", section "Phone Number Normalization"; parsing
/// as libphonenumber's `parse`.
///
/// # Errors
/// No number, no country, or an impossible length.
pub fn e164(raw: &str, region: Option<&str>) -> Result<String, String> {
    let number = PHONE_NUMBER_UTIL.parse(raw, region.and_then(country)).map_err(why)?;
    if !PHONE_NUMBER_UTIL.is_possible_number(&number) {
        return Err("phone number of a length that its country does not have".to_owned());
    }
    Ok(number.format_as(PhoneNumberFormat::E164).into_owned())
}

/// True for the countries that phone numbers can be read in: two letters of ISO 3166-1, in either case.
pub fn is_region(region: &str) -> bool {
    country(region).is_some()
}

fn country(region: &str) -> Option<Region> {
    region
        .to_ascii_uppercase()
        .parse()
        .ok()
        .filter(|&r| PHONE_NUMBER_UTIL.get_country_code_for_region(r).is_some())
}

/// The parser's reason in words of ours: its own may hold the value.
fn why(error: ParseError) -> String {
    match error {
        ParseError::InvalidCountryCode => {
            "phone number without a known country code; set `region` for national numbers"
        }
        ParseError::TooShortNsn | ParseError::TooShortAfterIdd => "phone number too short",
        ParseError::TooLongNsn => "phone number too long",
        _ => "no phone number",
    }
    .to_owned()
}
