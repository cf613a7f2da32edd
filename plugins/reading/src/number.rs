//! Numbers as people write them: `1.234,56`. Strict about groups, because a wrong mark must not make another number.

/// Marks in a number; the default is what programs write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    pub(crate) decimal: Option<char>,
    pub(crate) thousands: Option<char>,
}

impl NumberFormat {
    /// A whole number.
    pub(crate) fn integer(self, text: &str) -> Option<i64> {
        let text = text.trim();
        if self == Self::default() { text.parse().ok() } else { self.canonical(text)?.parse().ok() }
    }

    /// A finite number; not a whole one that has more digits than the decimal would keep.
    pub(crate) fn decimal(self, text: &str) -> Option<f64> {
        let text = text.trim();
        // Rust also reads words such as `inf` and `nan`.
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        let number = if self == Self::default() {
            text.parse::<f64>().ok().filter(|_| digits(text))
        } else {
            return self.canonical(text).and_then(|text| Self::default().decimal(&text));
        };
        let whole = text.bytes().all(|b| b.is_ascii_digit() || b"+-".contains(&b));
        let kept = |number: f64| !whole || text.parse::<i128>().is_ok_and(|exact| number as i128 == exact);
        number.filter(|number| number.is_finite() && kept(*number))
    }

    /// The same number with a point and no groups.
    fn canonical(self, text: &str) -> Option<String> {
        let (whole, fraction) = match text.split_once(self.decimal.unwrap_or('.')) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let mut plain = if whole.starts_with('-') { String::from("-") } else { String::new() };
        let groups: Vec<&str> = match self.thousands {
            Some(mark) => digits.split(mark).collect(),
            None => vec![digits],
        };
        let rest = groups.iter().skip(1).all(|group| group.len() == 3);
        let first = groups.len() == 1 || (1..=3).contains(&groups[0].len());
        let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !rest || !first || !groups.iter().all(|group| numeric(group)) || !fraction.is_none_or(numeric) {
            return None;
        }
        plain.extend(groups);
        if let Some(fraction) = fraction {
            plain.push('.');
            plain.push_str(fraction);
        }
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: NumberFormat = NumberFormat { decimal: Some(','), thousands: Some('.') };

    #[test]
    fn plain_numbers() {
        let plain = NumberFormat::default();
        assert_eq!(plain.decimal(" 1.5e3 "), Some(1500.0));
        assert_eq!(plain.integer("-9223372036854775808"), Some(i64::MIN));
        for text in ["nan", "inf", "1e999", "1,5", "", "0x10", "infinity"] {
            assert_eq!(plain.decimal(text), None, "{text}");
        }
        // A decimal has 53 bits for digits; a whole number that needs more would become another.
        assert_eq!(plain.decimal("9007199254740992"), Some(9_007_199_254_740_992.0));
        assert_eq!(plain.decimal("9007199254740993"), None);
        assert_eq!(plain.decimal("-36893488147419103233"), None);
        assert_eq!(GERMAN.decimal("9.007.199.254.740.993"), None);
        for text in ["9223372036854775808", "1.0", "1 2"] {
            assert_eq!(plain.integer(text), None, "{text}");
        }
    }

    #[test]
    fn marks_that_do_not_fit_are_no_number() {
        assert_eq!(GERMAN.decimal("1.234,56"), Some(1234.56));
        assert_eq!(GERMAN.decimal("-1234,5"), Some(-1234.5));
        assert_eq!(GERMAN.integer("1.234.567"), Some(1_234_567));
        for text in ["12.5", "1.23,4", "1,2,3", ".234", "1.2345", "1,5.6", ""] {
            assert_eq!(GERMAN.decimal(text), None, "{text}");
        }
    }
}
