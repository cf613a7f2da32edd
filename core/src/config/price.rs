//! What bought data costs: exact to the millionth, because it is money.

use super::{file::PriceTable, problem::Problem, tree::Node};

/// Millionths of a unit.
const MICRO: u64 = 1_000_000;
/// The largest amount, in millionths: far beyond any price, and far below where a sum could overflow.
const MOST: u64 = 1_000_000_000 * MICRO;

/// The price of a thousand delivered members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Millionths of the currency's unit.
    pub micros: u64,
    /// Three letters of ISO 4217.
    pub currency: String,
}

impl Price {
    /// What some delivered members cost, as digits: at least two behind the point, and as many as there are.
    pub fn of(&self, members: u64) -> String {
        // Thousandths of a millionth.
        let all = u128::from(self.micros) * u128::from(members);
        let unit = u128::from(MICRO) * 1000;
        let digits = format!("{:09}", all % unit);
        let digits = digits.trim_end_matches('0');
        format!("{}.{digits:0<2}", all / unit)
    }
}

/// What the table says; none with a problem.
pub(super) fn read(
    source: &str,
    table: PriceTable,
    node: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Price> {
    let place = node.get("price_per_thousand").unwrap_or(node);
    let path = format!("sources.{source}.price_per_thousand");
    let micros = micros(&table.amount);
    if micros.is_none() {
        let message = format!("`{path}.amount` is not an amount of money");
        let help = "write digits with at most six behind the point, up to a thousand million: `2.50`";
        problems.push(Problem::at(&place.span_of("amount"), message).found("not an amount").help(help));
    }
    let currency = table.currency;
    let is_currency = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    if !is_currency {
        let message = format!("`{path}.currency` is not a currency");
        let help = "write the three letters of ISO 4217: `EUR`";
        problems.push(Problem::at(&place.span_of("currency"), message).found("not a currency").help(help));
    }
    micros.filter(|_| is_currency).map(|micros| Price { micros, currency })
}

fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').map_or((text, ""), |(whole, part)| (whole, part));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let dangling = text.ends_with('.');
    if whole.is_empty() || dangling || part.len() > 6 || !digits(whole) || !digits(part) {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    let micros = whole.parse::<u64>().ok()?.checked_mul(MICRO)?.checked_add(part)?;
    (micros <= MOST).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        for (text, expected) in [("2.50", 2_500_000), ("0", 0), ("12", 12_000_000), ("0.000001", 1)] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "+1",
            "1,5",
            "1e3",
            "1.0000001",
            "99999999999999999999",
            "1000000001",
            " 1",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
        let price = |micros| Price { micros, currency: "EUR".into() };
        assert_eq!(price(2_500_000).of(1_234), "3.085");
        assert_eq!(price(2_500_000).of(1_000), "2.50");
        assert_eq!(price(1).of(1), "0.000000001");
        assert_eq!(price(2_500_000).of(0), "0.00");
    }

    proptest! {
        /// No digit is lost, whatever the amount and however many were delivered.
        #[test]
        fn a_cost_is_exact(micros in 0..MOST, members in any::<u32>()) {
            let text = Price { micros, currency: "EUR".into() }.of(members.into());
            let (whole, part) = text.split_once('.').unwrap();
            let found = whole.parse::<u128>().unwrap() * 1_000_000_000 + format!("{part:0<9}").parse::<u128>().unwrap();
            prop_assert_eq!(found, u128::from(micros) * u128::from(members));
        }
    }
}
