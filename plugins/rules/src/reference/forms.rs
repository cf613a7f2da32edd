//! Everything that is no function.

use super::{Entry, Example};

const VISITS: &[&[&str]] = &[&[
    "2025-11-05 event=view",
    "2025-12-31T22:59:59Z event=view",
    "2025-12-31T23:00:00Z event=purchase price=20.0",
    "2026-01-01 event=view",
    "2026-01-30 event=purchase",
]];

/// Windows, conditions and what values are made with.
pub const FORMS: &[Entry] = &[
    Entry {
        name: "rolling window",
        signature: "'30 days' or '60 days', '30 days'",
        meaning: "Up to now, or up to some time ago: the older bound comes first. Units are seconds, minutes, hours, days \
                  and weeks.",
        time: "`(as_of − older, as_of − newer]`; a day has 24 hours, whatever clocks do. From one second to 100 years.",
        null: "",
        example: Example { rule: "count(TRUE, '60 days', '30 days') = 3", profiles: VISITS, holds: true },
    },
    Entry {
        name: "calendar window",
        signature: "'this month' or 'previous quarter in Europe/Berlin'",
        meaning: "The calendar day, week (from Monday, as in ISO 8601), month, quarter or year with `as_of`, or the whole one \
                  before it. Clocks are those of the zone, UTC if none is named; zones are those of the IANA database that \
                  comes with the plugin.",
        time: "From the first moment of the period, included, to the first of the next, excluded, and never beyond `as_of`. \
               A day on which clocks are moved has 23 or 25 hours.",
        null: "",
        example: Example {
            rule: "count(TRUE, 'this month') = 2 AND count(TRUE, 'this month in Europe/Berlin') = 3",
            profiles: VISITS,
            holds: true,
        },
    },
    Entry {
        name: "absolute window",
        signature: "'2026-01-01', '2026-02-01'",
        meaning: "From a date or time, included, to another, excluded. They are in UTC unless they have an offset \
                  (`'2026-01-01T00:00:00+02:00'`) or a zone (`'2026-01-01 in Europe/Berlin'`).",
        time: "Events after `as_of` do not count yet. All stored events are read, however old.",
        null: "",
        example: Example {
            rule: "count(TRUE, '2025-12-01', '2026-01-01') = 2",
            profiles: VISITS,
            holds: true,
        },
    },
    Entry {
        name: "comparison",
        signature: "= <> < <= > >=",
        meaning: "Numbers are compared exactly, integers with decimals too; text byte by byte, so case counts; times with \
                  times and with literals such as '2026-01-31' (UTC) or '2026-01-31T12:00:00+02:00'; booleans with = and <> \
                  only.",
        time: "",
        null: "Comparing with null is unknown.",
        example: Example { rule: "attr('crm.age') <> 30", profiles: &[&[]], holds: false },
    },
    Entry {
        name: "logic",
        signature: "AND OR NOT",
        meaning: "SQL's, with unknown: a segment holds only where its rule is true.",
        time: "",
        null: "`unknown AND FALSE` is false, `unknown OR TRUE` true, else what has an unknown part is unknown.",
        example: Example { rule: "NOT attr('crm.age') = 30 OR TRUE", profiles: &[&[]], holds: true },
    },
    Entry {
        name: "list",
        signature: "[NOT] IN (…)",
        meaning: "Equal to one of a list.",
        time: "",
        null: "Unknown where the value is null, or nothing is equal and the list has a null.",
        example: Example {
            rule: "attr('crm.country') NOT IN ('DE', 'AT')",
            profiles: &[&["attr crm.country=FR"]],
            holds: true,
        },
    },
    Entry {
        name: "range",
        signature: "[NOT] BETWEEN low AND high",
        meaning: "At least the one and at most the other.",
        time: "",
        null: "As `>= AND <=`.",
        example: Example {
            rule: "attr('crm.age') BETWEEN 18 AND 30",
            profiles: &[&["attr crm.age=30"]],
            holds: true,
        },
    },
    Entry {
        name: "pattern",
        signature: "[NOT] LIKE '…' [ESCAPE '!']",
        meaning: "`%` stands for any characters, `_` for one; case counts; nothing escapes unless ESCAPE names it.",
        time: "",
        null: "Unknown where the value is null.",
        example: Example {
            rule: "last(event, event LIKE 'pur%') = 'purchase'",
            profiles: VISITS,
            holds: true,
        },
    },
    Entry {
        name: "test",
        signature: "IS [NOT] NULL, IS [NOT] TRUE, IS [NOT] FALSE, IS [NOT] UNKNOWN",
        meaning: "Never unknown themselves.",
        time: "",
        null: "",
        example: Example { rule: "sum(price, event = 'view') IS NULL", profiles: VISITS, holds: true },
    },
    Entry {
        name: "arithmetic",
        signature: "+ - * /",
        meaning: "Integers of 64 bits and decimals. `/` always gives a decimal: 7 / 2 = 3.5.",
        time: "",
        null: "A division by zero, an integer beyond 64 bits, and what is not a number are null; so is what is calculated \
               with null.",
        example: Example { rule: "7 / 2 = 3.5 AND 1 / 0 IS NULL", profiles: &[&[]], holds: true },
    },
    Entry {
        name: "choice",
        signature: "CASE WHEN condition THEN value [WHEN …] [ELSE value] END or CASE value WHEN value THEN value … END",
        meaning: "The first value whose condition is true, over profiles and over events. All values have one type; integers \
                  and decimals make decimals.",
        time: "",
        null: "Null where no condition is true and there is no ELSE. `CASE NULL WHEN NULL` is not equal.",
        example: Example {
            rule: "sum(CASE event WHEN 'purchase' THEN 10 WHEN 'view' THEN 1 END, TRUE) = 23",
            profiles: VISITS,
            holds: true,
        },
    },
];
