"""Rules as SQL on DuckDB, written from docs/rules.md.

A translated expression is a pair of SQL and type: int, float, text, time, bool, age (microseconds since an event) or
null. Integers are HUGEINT in SQL, so that nothing overflows before it is looked at; decimals are DOUBLE. Each call over
events becomes a grouped subquery that is joined to the profiles, which keeps every condition a plain one.
"""

import windows
from parse import parse

MACROS = """
CREATE MACRO fit(x) AS CASE WHEN x BETWEEN -9223372036854775808 AND 9223372036854775807 THEN x END;
CREATE MACRO number(x) AS CASE WHEN NOT isnan(x) THEN x END;
CREATE MACRO decimal_of(x) AS x::BIGINT::DOUBLE;
CREATE MACRO ratio(a, b) AS CASE WHEN b <> 0 THEN a / b END;
-- -1, 0 or 1, exactly: no integer is made a decimal.
CREATE MACRO order_of(i, f) AS CASE
    WHEN i IS NULL OR f IS NULL THEN NULL
    WHEN f > 1e30 THEN -1 WHEN f < -1e30 THEN 1
    WHEN i <> TRY_CAST(floor(f) AS HUGEINT) THEN CASE WHEN i < TRY_CAST(floor(f) AS HUGEINT) THEN -1 ELSE 1 END
    WHEN f > floor(f) THEN -1 ELSE 0 END;
CREATE MACRO shown(t, zone) AS timezone(zone, timezone('UTC', t));
"""

MIRROR = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def quote(text):
    """As a literal."""
    return "'" + text.replace("'", "''") + "'"


class Rule:
    """One rule being translated. `columns` and `attributes` are types by name."""

    def __init__(self, text, columns, attributes):
        self.columns, self.attributes = columns, attributes
        self.joins, self.ctes, self.segments = [], [], set()
        self.condition = self.truth(parse(text), None)

    def query(self):
        """A statement that answers with the ids of the members."""
        ctes = f"WITH {', '.join(self.ctes)} " if self.ctes else ""
        return f"{ctes}SELECT p.id FROM profiles p {' '.join(self.joins)} WHERE p.consents AND ({self.condition})"

    def truth(self, tree, event):
        sql, kind = self.expression(tree, event)
        assert kind in ("bool", "null"), f"{kind} as a condition: {tree}"
        return f"({sql})" if kind == "bool" else "NULL::BOOLEAN"

    def expression(self, tree, event):
        """SQL and type of a tree; `event` is the alias of the event that it is about, none for the profile."""
        return getattr(self, f"on_{tree[0]}")(event, *tree[1:])

    def on_int(self, _event, value):
        return f"{value}::HUGEINT", "int"

    def on_float(self, _event, value):
        return f"{quote(value)}::DOUBLE", "float"

    def on_text(self, _event, value):
        return quote(value), "text"

    def on_time(self, _event, value):
        return windows.moment(value), "time"

    def on_bool(self, _event, value):
        return str(value).upper(), "bool"

    def on_null(self, _event):
        return "NULL", "null"

    def on_column(self, event, name):
        if name == "event_time":
            return f"{event}.ts", "time"
        return f'{event}."{name}"', self.columns[name]

    def on_and(self, event, left, right):
        return f"{self.truth(left, event)} AND {self.truth(right, event)}", "bool"

    def on_or(self, event, left, right):
        return f"{self.truth(left, event)} OR {self.truth(right, event)}", "bool"

    def on_not(self, event, inner):
        return f"NOT {self.truth(inner, event)}", "bool"

    def on_is(self, event, inner, what):
        if what == "NULL":
            return f"({self.expression(inner, event)[0]}) IS NULL", "bool"
        wanted = {"TRUE": "TRUE", "FALSE": "FALSE", "UNKNOWN": "NULL"}[what]
        return f"{self.truth(inner, event)} IS NOT DISTINCT FROM {wanted}", "bool"

    def on_op(self, event, op, left, right):
        return self.compare(op, self.expression(left, event), self.expression(right, event)), "bool"

    def compare(self, op, left, right):
        (a, left_kind), (b, right_kind) = left, right
        kinds = {left_kind, right_kind}
        if "null" in kinds:
            return "NULL::BOOLEAN"
        if kinds == {"time", "text"}:
            a, b = (windows.moment(x[1:-1]) if kind == "text" else x for x, kind in (left, right))
        elif kinds == {"age", "int"} or kinds == {"age", "float"}:
            left, right = (days(x) if x[1] == "age" else x for x in (left, right))
            return self.compare(op, left, right)
        elif (left_kind, right_kind) == ("int", "float"):
            return f"order_of({a}, {b}) {op} 0"
        elif (left_kind, right_kind) == ("float", "int"):
            return f"order_of({b}, {a}) {MIRROR[op]} 0"
        else:
            assert left_kind == right_kind, f"{left} against {right}"
        return f"({a}) {op} ({b})"

    def on_in(self, event, of, items):
        of = self.expression(of, event)
        return " OR ".join(f"({self.compare('=', of, self.expression(item, event))})" for item in items), "bool"

    def on_between(self, event, of, low, high):
        of, low, high = (self.expression(x, event) for x in (of, low, high))
        return f"({self.compare('>=', of, low)}) AND ({self.compare('<=', of, high)})", "bool"

    def on_like(self, event, of, pattern, escape):
        escape = f" ESCAPE {quote(escape[1])}" if escape else ""
        return f"({self.expression(of, event)[0]})::VARCHAR LIKE {quote(pattern[1])}{escape}", "bool"

    def on_minus(self, event, inner):
        return self.on_math(event, "-", ("int", 0), inner)

    def on_math(self, event, sign, left, right):
        left, right = self.expression(left, event), self.expression(right, event)
        if "null" in (left[1], right[1]):
            return "NULL", "null"
        if left[1] == right[1] == "int" and sign != "/":
            return f"fit(({left[0]}) {sign} ({right[0]}))", "int"
        left, right = decimal(left), decimal(right)
        return f"number(ratio({left}, {right}))" if sign == "/" else f"number(({left}) {sign} ({right}))", "float"

    def on_case(self, event, of, branches, otherwise):
        if of is not None:
            of = self.expression(of, event)
            whens = [self.compare("=", of, self.expression(when, event)) for when, _ in branches]
        else:
            whens = [self.truth(when, event) for when, _ in branches]
        thens = [self.expression(then, event) for _, then in [*branches, (None, otherwise)]]
        kinds = {kind for _, kind in thens} - {"null"}
        if kinds == {"int", "float"}:
            thens, kinds = [(decimal(then), "float") if then[1] == "int" else then for then in thens], {"float"}
        assert len(kinds) <= 1, f"a choice between {kinds}"
        arms = " ".join(f"WHEN {when} THEN {then}" for when, (then, _) in zip(whens, thens))
        return (f"CASE {arms} ELSE {thens[-1][0]} END", kinds.pop()) if kinds else ("NULL", "null")

    def on_call(self, event, name, arguments):
        assert event is None, f"{name} inside of a predicate"
        return getattr(self, f"call_{name}")(*arguments)

    # ── Calls about the profile ───────────────────────────────────────────────────────────────────────────────────

    def call_attr(self, name):
        return f'p."{name[1]}"', self.attributes[name[1]]

    def call_consent(self):
        return "CASE WHEN p.consents THEN 'granted' ELSE 'denied' END", "text"

    def call_has_identifier(self, namespace):
        return f"(p.id IN (SELECT id FROM identifiers WHERE namespace = {quote(namespace[1])}))", "bool"

    def call_in_segment(self, name):
        self.segments.add(name[1])
        return f'(p.id IN (SELECT id FROM "in {name[1]}"))', "bool"

    # ── Calls over the events of a profile ────────────────────────────────────────────────────────────────────────

    def joined(self, select, source, more=""):
        """A subquery of `profile` and `v`, one row a profile; answers what its value is called."""
        alias = f"c{len(self.joins)}"
        self.joins.append(f"LEFT JOIN (SELECT {select} FROM {source} {more}) {alias} ON {alias}.profile = p.id")
        return f"{alias}.v"

    def aggregate(self, what, predicate, frame, more=""):
        where = f"WHERE {windows.inside('e', frame)} AND {self.truth(predicate, 'e')} {more}"
        return self.joined(f"e.profile, {what} AS v", "events e", f"{where} GROUP BY e.profile")

    def counted(self, what, predicate, frame, more=""):
        return f"coalesce({self.aggregate(what, predicate, frame, more)}, 0)::HUGEINT", "int"

    def call_count(self, predicate, *frame):
        return self.counted("count(*)", predicate, frame)

    def call_did(self, predicate, *frame):
        return f"{self.counted('count(*)', predicate, frame)[0]} > 0", "bool"

    def call_count_distinct(self, of, predicate, *frame):
        return self.counted(f"count(DISTINCT {self.expression(of, 'e')[0]})", predicate, frame)

    def call_count_distinct_days(self, predicate, *frame):
        frame, zone = windows.zone_of_days(frame)
        return self.counted(f"count(DISTINCT shown(e.ts, {quote(zone)})::DATE)", predicate, frame)

    def call_rate(self, part, whole, *frame):
        part, whole = (decimal(self.call_count(x, *frame)) for x in (part, whole))
        return f"ratio({part}, {whole})", "float"

    def call_sum(self, of, predicate, *frame):
        sql, kind = self.expression(of, "e")
        total = self.aggregate(f"sum({sql})", predicate, frame)
        return (f"fit({total})", kind) if kind == "int" else (total, kind)

    def call_avg(self, of, predicate, *frame):
        sql, kind = self.expression(of, "e")
        return (self.aggregate(f"sum({sql})::DOUBLE / count({sql})", predicate, frame), "float" if kind != "null" else kind)

    def picked(self, how, of, predicate, frame):
        sql, kind = self.expression(of, "e")
        return self.aggregate(how.format(sql), predicate, frame, f"AND ({sql}) IS NOT NULL"), kind

    def call_min(self, of, predicate, *frame):
        return self.picked("min({})", of, predicate, frame)

    def call_max(self, of, predicate, *frame):
        return self.picked("max({})", of, predicate, frame)

    def call_first(self, of, predicate, *frame):
        return self.picked("first({} ORDER BY e.n)", of, predicate, frame)

    def call_last(self, of, predicate, *frame):
        return self.picked("last({} ORDER BY e.n)", of, predicate, frame)

    def call_days_since(self, predicate):
        return self.aggregate("epoch_us(getvariable('as_of')) - epoch_us(max(e.ts))", predicate, ()), "age"

    def call_interest(self, name, *more):
        frame = [x for x in more if x[0] == "text"]
        predicate = next((x for x in more if x[0] != "text"), ("bool", True))
        below = f"AND e.interest_path LIKE '%/{name[1].removeprefix('IAB ')}/%'"
        return f"{self.counted('count(*)', predicate, frame, below)[0]} > 0", "bool"

    def call_sequence(self, steps, *frame):
        _, predicates, within = steps
        aliases = [f"e{index}" for index in range(len(predicates))]
        where = [f"{aliases[-1]}.ts - {aliases[0]}.ts <= {windows.span(within)}"]
        for alias, predicate in zip(aliases, predicates):
            where += [windows.inside(alias, frame), self.truth(predicate, alias)]
        for one, next_one in zip(aliases, aliases[1:]):
            where += [f"{one}.profile = {next_one}.profile", f"{one}.n < {next_one}.n"]
        tables = ", ".join(f"events {alias}" for alias in aliases)
        found = self.joined(f"DISTINCT {aliases[0]}.profile, TRUE AS v", tables, f"WHERE {' AND '.join(where)}")
        return f"{found} IS NOT NULL", "bool"

    # ── Calls over everybody ──────────────────────────────────────────────────────────────────────────────────────

    def everybody(self, value):
        """A relation of `profile` and `v`: the value of each profile that has one."""
        outer, self.joins = self.joins, []
        sql, kind = self.expression(value, None)
        inner, self.joins = self.joins, outer
        name = f"a{len(self.ctes)}"
        self.ctes.append(f"{name} AS (SELECT p.id AS profile, {sql} AS v FROM profiles p {' '.join(inner)})")
        return f"(SELECT * FROM {name} WHERE v IS NOT NULL) {name}", kind

    def call_percentile(self, value):
        source, _ = self.everybody(value)
        place = "100::DOUBLE * (rank() OVER (ORDER BY v) - 1) / count(*) OVER ()"
        return self.joined(f"profile, {place} AS v", source), "float"

    def call_total(self, value):
        source, kind = self.everybody(value)
        total = f"(SELECT sum(v) FROM {source})"
        return (f"fit({total})", kind) if kind == "int" else (total, kind)


def decimal(expression):
    """SQL of a number as DOUBLE."""
    sql, kind = expression
    return f"decimal_of({sql})" if kind == "int" else f"({sql})"


def days(age):
    """The same in days, a decimal."""
    return f"(({age[0]})::DOUBLE / 86400000000::DOUBLE)", "float"
