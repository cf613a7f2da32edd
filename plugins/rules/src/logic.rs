//! Truth with three values, 64 rows at a time.

use crate::bits::Bits;

/// SQL's truth: a row is true, false, or neither.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bools {
    pub(crate) yes: Bits,
    pub(crate) no: Bits,
}

impl Bools {
    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        if self.yes.get(row) { Some(true) } else { self.no.get(row).then_some(false) }
    }

    pub(crate) fn fill(&mut self, len: usize, value: Option<bool>) {
        self.yes.fill(len, value == Some(true));
        self.no.fill(len, value == Some(false));
    }

    pub(crate) fn copy(&mut self, other: &Self) {
        self.yes.copy(&other.yes);
        self.no.copy(&other.no);
    }

    /// False as soon as one side is.
    pub(crate) fn and(&mut self, other: &Self) {
        self.yes.and(&other.yes);
        self.no.or(&other.no);
    }

    /// True as soon as one side is.
    pub(crate) fn or(&mut self, other: &Self) {
        self.yes.or(&other.yes);
        self.no.and(&other.no);
    }

    /// `yes` has been set for all rows; those of `valid` that are not true are false, the others unknown.
    pub(crate) fn settle(&mut self, valid: &Bits) {
        self.yes.and(valid);
        self.no.copy(valid);
        self.no.and_not(&self.yes);
    }

    /// `yes` has been set for all rows; the others are false.
    pub(crate) fn settle_total(&mut self) {
        self.no.copy(&self.yes);
        self.no.invert();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::tests::bits;

    fn bools(values: &[Option<bool>]) -> Bools {
        let yes: Vec<bool> = values.iter().map(|v| *v == Some(true)).collect();
        let no: Vec<bool> = values.iter().map(|v| *v == Some(false)).collect();
        Bools { yes: bits(&yes), no: bits(&no) }
    }

    #[test]
    fn truth_tables_are_sqls() {
        let all = [Some(true), Some(false), None];
        let left: Vec<_> = all.iter().flat_map(|a| [*a; 3]).collect();
        let right: Vec<_> = [all; 3].concat();
        let (mut and, mut or) = (bools(&left), bools(&left));
        and.and(&bools(&right));
        or.or(&bools(&right));
        let (t, f, u) = (Some(true), Some(false), None);
        assert_eq!((0..9).map(|row| and.get(row)).collect::<Vec<_>>(), [t, f, u, f, f, f, u, f, u]);
        assert_eq!((0..9).map(|row| or.get(row)).collect::<Vec<_>>(), [t, t, t, t, f, u, t, u, u]);
    }
}
