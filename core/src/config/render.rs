//! Problems on a terminal: the line of the file, a label under what was found, and a help line.

use super::problem::{Problem, Problems, position};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};
use std::{fmt, io::IsTerminal};

/// Columns that long messages are wrapped at.
const WIDTH: usize = 110;

impl Problems {
    /// For standard error: in colour when that is a terminal and `NO_COLOR` is not set.
    pub fn report(&self) -> String {
        self.render(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// All problems, one below the other, and their number.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
        let mut out = String::new();
        for problem in &self.list {
            let shown = Shown { all: self, problem };
            if handler.render_report(&mut out, &shown).is_err() {
                out.push_str(&problem.message);
            }
            out.push('\n');
        }
        let count = self.list.len();
        out + &format!("{}: {count} problem{}\n", self.file.display(), if count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}

/// One problem, as miette wants it.
struct Shown<'a> {
    all: &'a Problems,
    problem: &'a Problem,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problem.span.is_none() {
            write!(f, "{}: ", self.all.file.display())?;
        }
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.problem.span.is_some().then_some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(self.problem.found.clone(), span))))
    }
}

/// The file, with columns in characters: miette's own count is in bytes.
impl SourceCode for Shown<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = &self.all.text;
        let part = text.read_span(span, before, after)?;
        let (_, column) = position(text, text.floor_char_boundary(part.span().offset()));
        Ok(Box::new(MietteSpanContents::new_named(
            self.all.file.display().to_string(),
            part.data(),
            *part.span(),
            part.line(),
            column - 1,
            part.line_count(),
        )))
    }
}
