//! Xandr's Batch Segment Service, legacy text format: `USER,SEGMENT:EXPIRATION;SEGMENT:EXPIRATION^DEVICE`.
//!
//! Source: Microsoft Learn, Xandr Digital Platform API, "Legacy BSS file format". What is uploaded is added to what is
//! there; a removal is said with expiration −1 or, without that field, behind the fourth separator. So a full delivery
//! adds everyone and removes nobody that its rows do not name.

use crate::{
    config::{Config, at},
    device::Device,
    encoder::{Change, Encoder, Target, strict},
    files::Parts,
};
use kindred_plugin_api::prelude::{Deserialize, JsonSchema, Mode, Problem, Result};
use std::{borrow::Cow, fmt::Write};

/// Most segments in one line.
const MAX_SEGMENTS: usize = 1800;
/// 180 days.
const MAX_EXPIRATION_MINUTES: u32 = 180 * 24 * 60;
/// Most that an id or value may be.
const MAX_NUMBER: u32 = 2_147_483_647;
/// Characters that Xandr does not allow as separators.
const BARRED: &str = "[](){}$\\/|?*+-";

/// One field of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Field {
    /// Number of the segment.
    SegId,
    /// Code of the segment, unique within a member.
    SegCode,
    /// Member that the segment belongs to.
    MemberId,
    /// Since when the user is in or out, in seconds since 1970.
    Timestamp,
    /// Value of the segment.
    Value,
    /// Minutes until the user is dropped; −1 removes.
    Expiration,
}

/// Separators, one character each; a tab is `"\t"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Separators {
    /// Behind the user's id (SEPARATOR1). Default `,`.
    pub(crate) user: char,
    /// Between segments (SEPARATOR2). Default `;`.
    pub(crate) segment: char,
    /// Between the fields of a segment (SEPARATOR3). Default `:`.
    pub(crate) field: char,
    /// Between segments to add and to remove, where no field is EXPIRATION (SEPARATOR4). Default: a tab.
    pub(crate) remove: char,
    /// Before the number of the device's kind (SEPARATOR5). Default `^`.
    pub(crate) device: char,
    /// One segment a line, with no separator between segments. Default false.
    pub(crate) one_a_line: bool,
}

impl Default for Separators {
    fn default() -> Self {
        Self { user: ',', segment: ';', field: ':', remove: '\t', device: '^', one_a_line: false }
    }
}

impl Separators {
    /// Those that stand inside a line, by name.
    fn used(&self) -> Vec<(&'static str, char)> {
        let mut used = vec![
            ("user", self.user),
            ("field", self.field),
            ("remove", self.remove),
            ("device", self.device),
        ];
        if !self.one_a_line {
            used.push(("segment", self.segment));
        }
        used
    }
}

/// The format, with what the options say.
pub(crate) struct Xandr {
    pub(crate) namespace: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) separators: Separators,
    pub(crate) device: Option<Device>,
    pub(crate) member_id: Option<u32>,
}

impl Xandr {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            namespace: config.identifier.clone(),
            fields: fields(config),
            separators: config.separators.clone().unwrap_or_default(),
            device: config.device,
            member_id: config.member_id,
        }
    }

    /// The line of one user with these changes, additions first.
    pub(crate) fn line(&self, id: &str, changes: &[Change<'_>]) -> String {
        let Separators { user, segment, remove, device, .. } = self.separators;
        let mut line = format!("{id}{user}");
        let mut split = self.fields.contains(&Field::Expiration);
        for (number, change) in changes.iter().enumerate() {
            if change.remove && !split {
                line.push(remove);
                split = true;
            } else if number > 0 {
                line.push(segment);
            }
            self.change(change, &mut line);
        }
        if let Some(kind) = self.device {
            let _ = write!(line, "{device}{}", kind.xandr());
        }
        line
    }

    fn change(&self, change: &Change<'_>, line: &mut String) {
        let ids = &change.target.ids;
        for (number, field) in self.fields.iter().enumerate() {
            if number > 0 {
                line.push(self.separators.field);
            }
            // Writing to a string cannot fail.
            let _ = match field {
                Field::SegId => write!(line, "{}", ids.id.unwrap_or_default()),
                Field::SegCode => write!(line, "{}", change.target.code()),
                Field::MemberId => write!(line, "{}", ids.member_id.or(self.member_id).unwrap_or_default()),
                Field::Timestamp => write!(line, "{}", change.since_s),
                Field::Value => write!(line, "{}", ids.value),
                Field::Expiration if change.remove => write!(line, "-1"),
                Field::Expiration => write!(line, "{}", ids.expiration_minutes),
            };
        }
    }

    fn separators(&self) -> Vec<char> {
        self.separators.used().into_iter().map(|(_, character)| character).collect()
    }
}

impl Encoder for Xandr {
    fn identifier<'a>(&self, raw: &'a str) -> Result<Cow<'a, str>, String> {
        match self.device {
            Some(device) => {
                strict(raw, &self.separators()).and_then(|_| device.identifier(raw, &self.namespace))
            }
            None => strict(raw, &self.separators()),
        }
    }

    fn segment(&self, target: &Target) -> Result<(), String> {
        if self.fields.contains(&Field::SegId) && target.ids.id.is_none() {
            return Err(format!("no id; set {}", at(&target.name, "id")));
        }
        if self.fields.contains(&Field::SegCode) {
            strict(target.code(), &self.separators()).map_err(|_| {
                format!("code `{}` cannot be written; set {}", target.code(), at(&target.name, "code"))
            })?;
        }
        if self.fields.contains(&Field::MemberId) && target.ids.member_id.or(self.member_id).is_none() {
            return Err("no member id; set /member_id".to_owned());
        }
        Ok(())
    }

    fn user(&self, id: &str, changes: &[Change<'_>], _mode: Mode, out: &mut Parts) -> Result<()> {
        let a_line = if self.separators.one_a_line { 1 } else { MAX_SEGMENTS };
        changes.chunks(a_line).try_for_each(|changes| out.line(&self.line(id, changes)))
    }

    fn extension(&self) -> &'static str {
        "txt"
    }
}

/// What is wrong with the options of this format.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = field_problems(&fields(config), config);
    let separators = config.separators.clone().unwrap_or_default();
    let used = separators.used();
    for (number, &(name, character)) in used.iter().enumerate() {
        let at = format!("/separators/{name}");
        if BARRED.contains(character)
            || character.is_ascii_alphanumeric()
            || !matches!(character, '\t' | ' '..='~')
        {
            let problem = Problem::new(&at, format!("{character:?} cannot separate"));
            problems.push(
                problem.help(format!("allowed: ASCII signs and tab, but no letters, digits or {BARRED}")),
            );
        }
        // With one segment a line, user and fields may be told apart by their place.
        let twin = used[..number].iter().find(|(_, other)| *other == character);
        if let Some((other, _)) = twin.filter(|_| !separators.one_a_line) {
            problems.push(Problem::new(&at, format!("{character:?} separates `{other}` too")));
        }
    }
    for (name, ids) in &config.segments {
        if ids.expiration_minutes > MAX_EXPIRATION_MINUTES {
            let problem =
                Problem::new(at(name, "expiration_minutes"), format!("{} minutes", ids.expiration_minutes));
            problems.push(problem.help(format!("allowed: 0 to {MAX_EXPIRATION_MINUTES} (180 days)")));
        }
        for (option, number) in [("id", ids.id.unwrap_or(1)), ("value", ids.value)] {
            if number > MAX_NUMBER || (option == "id" && number == 0) {
                let problem = Problem::new(at(name, option), format!("{number} is out of range"));
                problems.push(problem.help(format!("allowed: up to {MAX_NUMBER}")));
            }
        }
    }
    problems
}

fn field_problems(fields: &[Field], config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if fields.contains(&Field::SegId) == fields.contains(&Field::SegCode) {
        problems
            .push(Problem::new("/fields", "the segment must be named once").help("one of: SEG_ID, SEG_CODE"));
    }
    if fields.iter().enumerate().any(|(number, field)| fields[..number].contains(field)) {
        problems.push(Problem::new("/fields", "a field twice"));
    }
    let one_a_line = config.separators.as_ref().is_some_and(|separators| separators.one_a_line);
    if one_a_line && !fields.contains(&Field::Expiration) {
        let problem = Problem::new("/fields", "with one segment a line a removal cannot be told");
        problems.push(problem.help("add EXPIRATION"));
    }
    problems
}

fn fields(config: &Config) -> Vec<Field> {
    config.fields.clone().unwrap_or_else(|| {
        let by_id = config.segments.values().any(|ids| ids.id.is_some());
        let segment = if by_id { Field::SegId } else { Field::SegCode };
        let member = config.member_id.map(|_| Field::MemberId);
        member.into_iter().chain([segment, Field::Expiration]).collect()
    })
}
