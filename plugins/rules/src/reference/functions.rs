//! Every function.

use super::{Entry, Example};

const ROLLS: &str = "Events in the window; without one all events up to `as_of`.";
const SKIPS: &str = "Events where the expression is null are skipped; null when none is left.";
const ORDERS: &[&[&str]] = &[&[
    "2025-12-20 event=purchase price=100.0 quantity=1",
    "2026-01-10 event=view category=coats",
    "2026-01-20 event=purchase price=20.0 quantity=2",
    "2026-01-30 event=purchase price=5.0 quantity=4",
]];

/// Every function, in the order of the reference page.
pub const FUNCTIONS: &[Entry] = &[
    Entry {
        name: "count",
        signature: "count(predicate [, window]), with TRUE as predicate for any event",
        meaning: "How many events the predicate is true of.",
        time: ROLLS,
        null: "Never null; 0 without events. A predicate that is unknown does not count.",
        example: Example { rule: "count(event = 'purchase', '30 days') = 2", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "did",
        signature: "did(predicate [, window])",
        meaning: "Whether there is such an event.",
        time: ROLLS,
        null: "Never unknown; false without events.",
        example: Example { rule: "did(event = 'view', '7 days')", profiles: ORDERS, holds: false },
    },
    Entry {
        name: "sum",
        signature: "sum(expression, predicate [, window])",
        meaning: "The sum of an expression over the columns of each event. Decimals are summed with compensation, in the \
                  order of events.",
        time: ROLLS,
        null: "Events where the expression is null are skipped; null, not 0, when none is left, and where an integer sum \
               does not fit 64 bits.",
        example: Example {
            rule: "sum(price * quantity, event = 'purchase', '30 days') = 60",
            profiles: ORDERS,
            holds: true,
        },
    },
    Entry {
        name: "min",
        signature: "min(expression, predicate [, window])",
        meaning: "The least value: of numbers, text or times.",
        time: ROLLS,
        null: SKIPS,
        example: Example { rule: "min(price, event = 'purchase') = 5", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "max",
        signature: "max(expression, predicate [, window])",
        meaning: "The greatest value: of numbers, text or times.",
        time: ROLLS,
        null: SKIPS,
        example: Example {
            rule: "max(price, event = 'purchase', '30 days') > 20",
            profiles: ORDERS,
            holds: false,
        },
    },
    Entry {
        name: "avg",
        signature: "avg(expression, predicate [, window])",
        meaning: "The mean, a decimal.",
        time: ROLLS,
        null: SKIPS,
        example: Example {
            rule: "avg(price, event = 'purchase', '30 days') = 12.5",
            profiles: ORDERS,
            holds: true,
        },
    },
    Entry {
        name: "first",
        signature: "first(expression, predicate [, window])",
        meaning: "The value at the earliest event that has one.",
        time: ROLLS,
        null: SKIPS,
        example: Example { rule: "first(event, TRUE) = 'purchase'", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "last",
        signature: "last(expression, predicate [, window])",
        meaning: "The value at the latest event that has one: the last value known.",
        time: ROLLS,
        null: SKIPS,
        example: Example { rule: "last(category, TRUE) = 'coats'", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "count_distinct",
        signature: "count_distinct(expression, predicate [, window])",
        meaning: "How many different values there are.",
        time: ROLLS,
        null: "Events where the expression is null are skipped; 0 when none is left.",
        example: Example { rule: "count_distinct(event, TRUE) = 2", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "count_distinct_days",
        signature: "count_distinct_days(predicate [, window] [, 'in Europe/Berlin'])",
        meaning: "On how many calendar days there are such events.",
        time: "Days are those of the zone named last, else of the zone of a calendar window, else of UTC.",
        null: "Never null; 0 without events.",
        example: Example {
            rule: "count_distinct_days(event = 'login', '30 days', 'in Europe/Berlin') = 2",
            profiles: &[&[
                "2026-01-10T22:30:00Z event=login",
                "2026-01-10T23:30:00Z event=login",
                "2026-01-11T08:00:00Z event=login",
            ]],
            holds: true,
        },
    },
    Entry {
        name: "days_since",
        signature: "days_since(predicate)",
        meaning: "Days, whole and fractional, from the last such event to `as_of`. It is compared with numbers or with \
                  another `days_since` and not calculated with, so that the moment at which a comparison turns is known.",
        time: "A day has 24 hours.",
        null: "Null without such an event.",
        example: Example { rule: "days_since(event = 'view') > 20.5", profiles: ORDERS, holds: true },
    },
    Entry {
        name: "rate",
        signature: "rate(predicate, predicate [, window])",
        meaning: "How many events the first predicate is true of for each that the second is true of: \
                  `count(a) / count(b)`, a decimal.",
        time: ROLLS,
        null: "Null where the second predicate is true of no event.",
        example: Example {
            rule: "rate(event = 'click', event = 'impression', '30 days') = 0.25",
            profiles: &[&[
                "2026-01-10 event=impression",
                "2026-01-11 event=impression",
                "2026-01-11 event=click",
                "2026-01-12 event=impression",
                "2026-01-13 event=impression",
            ]],
            holds: true,
        },
    },
    Entry {
        name: "sequence",
        signature: "sequence(predicate THEN predicate [THEN …] WITHIN '3 days' [, window])",
        meaning: "Whether events come after each other, one for each step and in their order, the last at most that long \
                  after the first. Other events may lie between them; one event is never two steps. SQL tools that do not \
                  know THEN may write `sequence(a, b, within => '3 days')`.",
        time: "All steps lie in the window. Events of the same moment are in the order of what they hold, however they \
               arrived.",
        null: "Never unknown.",
        example: Example {
            rule: "sequence(event = 'view' THEN event = 'cart' THEN event = 'purchase' WITHIN '2 days')",
            profiles: &[&[
                "2026-01-10 event=view",
                "2026-01-20 event=view",
                "2026-01-20 event=cart",
                "2026-01-21 event=search",
                "2026-01-22 event=purchase",
            ]],
            holds: true,
        },
    },
    Entry {
        name: "interest",
        signature: "interest('IAB 483' [, predicate] [, window])",
        meaning: "Whether there is an event whose category is the one with this id, or lies below it in the taxonomy. Reads \
                  the column `interest_path`, which the enrichment `taxonomy` makes; whether the taxonomy has the id is \
                  not checked.",
        time: ROLLS,
        null: "Never unknown; an event without a category does not count.",
        example: Example {
            rule: "interest('IAB 408', event = 'view', '30 days')",
            profiles: &[&["2026-01-20 event=view interest_path=/206/406/408/410/"]],
            holds: true,
        },
    },
    Entry {
        name: "attr",
        signature: "attr('source.name')",
        meaning: "An attribute of the profile.",
        time: "The value as of now; attributes have no history.",
        null: "Null where the profile has no such attribute.",
        example: Example {
            rule: "attr('crm.country') IN ('DE', 'AT')",
            profiles: &[&["attr crm.country=AT"]],
            holds: true,
        },
    },
    Entry {
        name: "has_identifier",
        signature: "has_identifier('namespace')",
        meaning: "Whether the profile has an identifier of this kind: `cookie`, `maid`, `email_sha256`.",
        time: "As of now.",
        null: "Never unknown.",
        example: Example {
            rule: "has_identifier('maid')",
            profiles: &[&["identifier cookie"]],
            holds: false,
        },
    },
    Entry {
        name: "consent",
        signature: "consent()",
        meaning: "`granted` or `denied`. Purposes are not told apart.",
        time: "As of now.",
        null: "Never null.",
        example: Example { rule: "consent() = 'granted'", profiles: &[&["consent denied"]], holds: false },
    },
    Entry {
        name: "in_segment",
        signature: "in_segment('segment')",
        meaning: "Whether the profile is in another segment, of whatever plugin. Circles are refused.",
        time: "At the same `as_of`.",
        null: "Never unknown: who is not known to be in it is not.",
        example: Example {
            rule: "NOT in_segment('suppressed')",
            profiles: &[&["segment suppressed"]],
            holds: false,
        },
    },
    Entry {
        name: "percentile",
        signature: "percentile(value)",
        meaning: "The place of the profile's value among all profiles that have one, from 0 to 100: \
                  `100 × profiles with a smaller value ÷ profiles with a value`. It is compared with numbers only. \
                  `percentile(…) >= 99` is the top 1 %: never more than 1 % of the profiles with a value, and who ties is \
                  in or out together.",
        time: "Everybody is looked at when the sources are drained and something changed or a window moved.",
        null: "Unknown where the value is null, and as long as not everybody was looked at.",
        example: Example {
            rule: "percentile(sum(price, event = 'purchase', '90 days')) >= 50",
            profiles: &[
                &["2026-01-20 event=purchase price=20.0"],
                &["2026-01-21 event=purchase price=10.0"],
                &["2026-01-21 event=view"],
            ],
            holds: true,
        },
    },
    Entry {
        name: "total",
        signature: "total(value)",
        meaning: "The sum of a value over all profiles; `total(1)` is how many there are.",
        time: "As for `percentile`.",
        null: "Profiles where the value is null are skipped; null when none is left, and as long as not everybody was \
               looked at.",
        example: Example {
            rule: "count(event = 'view') > total(count(event = 'view')) / total(1)",
            profiles: &[&["2026-01-20 event=view", "2026-01-21 event=view"], &["2026-01-20 event=view"]],
            holds: true,
        },
    },
];
