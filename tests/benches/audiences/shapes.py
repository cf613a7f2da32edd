"""Variants of the twelve audiences of pipeline.toml: from one seed the rule, the same in SQL, and the same on Polars.

Each shape draws its numbers and names from a generator and answers a `Variant`. The SQL is written as one would write it for the
engine, not translated from the rule: one statement a segment that answers with `profile_id`. The data end with the year
2025, so `ts >= since(w)` is the window of '… days'.
"""

import dataclasses
import datetime
import random
from typing import Callable

NOW = datetime.datetime(2026, 1, 1)
LONGEST = 90  # days, which the data span
CATEGORIES = "electronics travel fashion home sports beauty grocery toys auto books garden health news music movies".split()
COUNTRIES = ["US", "DE", "FR", "GB", "IT", "ES", "NL", "PL", "BR", "JP", "SE", "AT"]
EVENTS = ["page_view", "impression", "click", "product_view", "search", "add_to_cart", "purchase", "login"]


@dataclasses.dataclass
class Variant:
    """One segment: `sql` takes an `Sql`, `polars` a module of tables and answers a lazy frame of `profile_id`."""

    rule: str
    sql: Callable
    polars: Callable


class Sql:
    """What differs between the dialects duckdb, clickhouse and datafusion."""

    def __init__(self, dialect, events="events", crm="crm"):
        self.dialect, self.events, self.crm = dialect, events, crm
        self.day = "toDate(ts, 'UTC')" if dialect == "clickhouse" else "CAST(ts AS DATE)"
        self.distinct = "uniqExact({})".format if dialect == "clickhouse" else "count(DISTINCT {})".format

    def since(self, days):
        text = str(NOW - datetime.timedelta(days))
        return f"toDateTime64('{text}', 3, 'UTC')" if self.dialect == "clickhouse" else f"TIMESTAMP '{text}'"

    def span(self, days):
        # Not a difference of times against an interval, which DataFusion 55 answers wrongly.
        return f"INTERVAL {days} DAY" if self.dialect == "clickhouse" else f"INTERVAL '{days} days'"

    def latest(self, condition):
        how = "maxOrNullIf(ts, {})" if self.dialect == "clickhouse" else "max(CASE WHEN {} THEN ts END)"
        return how.format(condition)


def number(condition):
    """How many rows of a group a condition holds for."""
    return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def active(r):
    days, event = r.randint(1, LONGEST), r.choice([None, *EVENTS])
    predicate = f"event = '{event}'" if event else "TRUE"
    where = f"event_type = '{event}' AND " if event else ""
    return Variant(
        f"did({predicate}, '{days} days')",
        lambda q: f"SELECT DISTINCT profile_id FROM {q.events} WHERE {where}ts >= {q.since(days)}",
        lambda p: p.ids(p.events.filter(p.since(days) & (p.is_(event) if event else True)).unique("profile_id")),
    )


def viewers(r):
    days, event = r.randint(3, LONGEST), r.choice(["product_view", "page_view", "search"])
    category, least = r.choice(CATEGORIES), r.randint(1, 6)
    return Variant(
        f"count(event = '{event}' AND category = '{category}', '{days} days') >= {least}",
        lambda q: f"""SELECT profile_id FROM {q.events} WHERE event_type = '{event}' AND category = '{category}'
            AND ts >= {q.since(days)} GROUP BY profile_id HAVING count(*) >= {least}""",
        lambda p: p.ids(
            p.events.filter(p.is_(event) & (p.c("category") == category) & p.since(days))
            .group_by("profile_id")
            .len()
            .filter(p.c("len") >= least)
        ),
    )


def abandoned(r):
    days, event = r.randint(1, 30), r.choice(["add_to_cart", "product_view"])
    return Variant(
        f"did(event = '{event}', '{days} days') AND "
        f"(NOT did(event = 'purchase') OR days_since(event = 'purchase') > days_since(event = '{event}'))",
        lambda q: f"""SELECT profile_id FROM (SELECT profile_id, {q.latest(f"event_type = '{event}'")} AS cart,
            {q.latest("event_type = 'purchase'")} AS bought FROM {q.events}
            WHERE ts >= {q.since(days)} AND event_type IN ('{event}', 'purchase') GROUP BY profile_id) t
            WHERE cart IS NOT NULL AND (bought IS NULL OR bought < cart)""",
        lambda p: p.ids(
            p.events.filter(p.since(days) & p.in_(event, "purchase"))
            .group_by("profile_id")
            .agg(cart=p.c("ts").filter(p.is_(event)).max(), bought=p.c("ts").filter(p.is_("purchase")).max())
            .filter(p.c("cart").is_not_null() & (p.c("bought").is_null() | (p.c("bought") < p.c("cart"))))
        ),
    )


def spenders(r):
    days, orders, cents = r.randint(7, LONGEST), r.randint(1, 4), r.randrange(5_000, 80_000, 2_500)
    return Variant(
        f"count(event = 'purchase', '{days} days') >= {orders} "
        f"AND sum(price, event = 'purchase', '{days} days') >= {cents}",
        lambda q: f"""SELECT profile_id FROM {q.events} WHERE event_type = 'purchase' AND ts >= {q.since(days)}
            GROUP BY profile_id HAVING count(*) >= {orders} AND sum(price) >= {cents}""",
        lambda p: p.ids(
            p.events.filter(p.is_("purchase") & p.since(days))
            .group_by("profile_id")
            .agg(spent=p.c("price").sum(), orders=p.len())
            .filter((p.c("orders") >= orders) & (p.c("spent") >= cents))
        ),
    )


def top(r):
    days, percent = r.randint(7, LONGEST), r.randint(1, 25)
    spent = "SELECT profile_id, sum(price) AS spent FROM {} WHERE event_type = 'purchase' AND ts >= {} GROUP BY profile_id"
    return Variant(
        f"percentile(sum(price, event = 'purchase', '{days} days')) >= {100 - percent}",
        lambda q: f"""SELECT profile_id FROM (SELECT profile_id, rank() OVER (ORDER BY spent) - 1 AS below,
            count(*) OVER () AS n FROM ({spent.format(q.events, q.since(days))}) s) t
            WHERE below * 100 >= n * {100 - percent}""",
        lambda p: p.ids(
            p.events.filter(p.is_("purchase") & p.since(days))
            .group_by("profile_id")
            .agg(spent=p.c("price").sum())
            .filter((p.c("spent").rank("min").cast(p.int64) - 1) * 100 >= p.len().cast(p.int64) * (100 - percent))
        ),
    )


def funnel(r):
    first, days = r.choice(["click", "product_view", "search", "email_open"]), r.randint(1, 14)
    last = r.choice(["purchase", "add_to_cart", "checkout"])
    latest = "OVER (PARTITION BY profile_id ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    return Variant(
        f"sequence(event = '{first}' THEN event = '{last}' WITHIN '{days} days')",
        lambda q: f"""SELECT DISTINCT profile_id FROM (SELECT profile_id, ts, event_type,
            {q.latest(f"event_type = '{first}'")} {latest} AS before FROM {q.events}
            WHERE event_type IN ('{first}', '{last}')) t
            WHERE event_type = '{last}' AND before IS NOT NULL AND ts <= before + {q.span(days)}""",
        lambda p: p.ids(
            p.events.filter(p.in_(first, last))
            .select("profile_id", "ts", "event_type")
            .sort("profile_id", "ts")
            .with_columns(before=p.when(p.is_(first)).then(p.c("ts")).forward_fill().over("profile_id"))
            .filter(p.is_(last) & (p.c("ts") - p.c("before") <= p.duration(days=days)))
            .unique("profile_id")
        ),
    )


def responders(r):
    event, campaign, days = r.choice(["click", "impression", "email_open"]), r.randint(1, 60), r.randint(3, 60)
    countries, low, opted = r.sample(COUNTRIES, r.randint(1, 4)), r.randint(18, 60), r.random() < 0.5
    high, listed = low + r.randint(5, 30), ", ".join(f"'{country}'" for country in countries)
    word = "" if opted else "NOT "
    return Variant(
        f"did(event = '{event}' AND campaign_id = {campaign}, '{days} days') AND attr('crm.country') IN ({listed}) "
        f"AND attr('crm.age') BETWEEN {low} AND {high} AND {word}attr('crm.email_opt_in')",
        lambda q: f"""SELECT DISTINCT e.profile_id AS profile_id FROM {q.events} e
            JOIN {q.crm} c ON e.profile_id = c.profile_id WHERE e.event_type = '{event}'
            AND e.campaign_id = {campaign} AND e.ts >= {q.since(days)} AND c.country IN ({listed})
            AND c.age BETWEEN {low} AND {high} AND {word}c.email_opt_in""",
        lambda p: p.ids(
            p.events.filter(p.is_(event) & (p.c("campaign_id") == campaign) & p.since(days))
            .join(
                p.crm.filter(
                    p.c("country").is_in(countries)
                    & p.c("age").is_between(low, high)
                    & (p.c("email_opt_in") if opted else ~p.c("email_opt_in"))
                ),
                on="profile_id",
                how="semi",
            )
            .unique("profile_id")
        ),
    )


def lapsed(r):
    before, after = r.choice(["purchase", "add_to_cart", "checkout"]), r.choice(["page_view", "search", "login"])
    days = r.randint(7, 60)
    return Variant(
        f"did(event = '{before}') AND NOT did(event = '{before}', '{days} days') AND did(event = '{after}', '{days} days')",
        lambda q: f"""SELECT profile_id FROM {q.events} WHERE event_type IN ('{before}', '{after}') GROUP BY profile_id
            HAVING {number(f"event_type = '{before}' AND ts < {q.since(days)}")} >= 1
            AND {number(f"event_type = '{before}' AND ts >= {q.since(days)}")} = 0
            AND {number(f"event_type = '{after}' AND ts >= {q.since(days)}")} >= 1""",
        lambda p: p.ids(
            p.events.filter(p.in_(before, after))
            .group_by("profile_id")
            .agg(
                old=(p.is_(before) & ~p.since(days)).any(),
                new=(p.is_(before) & p.since(days)).any(),
                still=(p.is_(after) & p.since(days)).any(),
            )
            .filter(p.c("old") & ~p.c("new") & p.c("still"))
        ),
    )


def intent(r):
    category, long, short, least = r.choice(CATEGORIES), r.randint(7, 60), r.randint(1, 6), r.randint(2, 6)
    tier, country = r.choice(["gold", "silver", "platinum"]), r.choice(COUNTRIES)
    views, search = "event_type IN ('page_view', 'product_view')", "event_type = 'search'"
    return Variant(
        f"(count(category = '{category}' AND event IN ('page_view', 'product_view'), '{long} days') >= {least} "
        f"OR did(category = '{category}' AND event = 'search', '{short} days')) "
        f"AND NOT did(category = '{category}' AND event = 'purchase', '{long} days') "
        f"AND NOT (attr('crm.loyalty_tier') = '{tier}' AND attr('crm.country') = '{country}') IS TRUE",
        lambda q: f"""SELECT t.profile_id AS profile_id FROM (SELECT profile_id, {number(views)} AS views,
            {number(f"{search} AND ts >= {q.since(short)}")} AS searches, {number("event_type = 'purchase'")} AS bought
            FROM {q.events} WHERE category = '{category}' AND ts >= {q.since(long)} GROUP BY profile_id) t
            LEFT JOIN {q.crm} c ON t.profile_id = c.profile_id WHERE (views >= {least} OR searches >= 1) AND bought = 0
            AND NOT (coalesce(c.loyalty_tier, '') = '{tier}' AND coalesce(c.country, '') = '{country}')""",
        lambda p: p.ids(
            p.events.filter((p.c("category") == category) & p.since(long))
            .group_by("profile_id")
            .agg(
                views=p.in_("page_view", "product_view").cast(p.int64).sum(),
                searched=(p.is_("search") & p.since(short)).any(),
                bought=p.is_("purchase").any(),
            )
            .filter(((p.c("views") >= least) | p.c("searched")) & ~p.c("bought"))
            .join(
                p.crm.filter((p.c("loyalty_tier") == tier) & (p.c("country") == country)), on="profile_id", how="anti"
            )
        ),
    )


def overexposed(r):
    campaign, days, least = r.randint(1, 60), r.randint(3, 45), r.randint(2, 5)
    return Variant(
        f"count(event = 'impression' AND campaign_id = {campaign}, '{days} days') >= {least} "
        f"AND NOT did(event = 'click' AND campaign_id = {campaign}, '{days} days')",
        lambda q: f"""SELECT profile_id FROM {q.events} WHERE campaign_id = {campaign} AND ts >= {q.since(days)}
            AND event_type IN ('impression', 'click') GROUP BY profile_id
            HAVING {number("event_type = 'impression'")} >= {least} AND {number("event_type = 'click'")} = 0""",
        lambda p: p.ids(
            p.events.filter((p.c("campaign_id") == campaign) & p.since(days) & p.in_("impression", "click"))
            .group_by("profile_id")
            .agg(seen=p.is_("impression").cast(p.int64).sum(), clicked=p.is_("click").any())
            .filter((p.c("seen") >= least) & ~p.c("clicked"))
        ),
    )


def devices(r):
    window, kinds, days = r.randint(7, 60), r.randint(2, 3), r.randint(2, 8)

    def sql(q):
        where = f"FROM {q.events} WHERE ts >= {q.since(window)} GROUP BY profile_id"
        kinds_seen, days_seen = f"{q.distinct('device')} >= {kinds}", f"{q.distinct(q.day)} >= {days}"
        if q.dialect != "datafusion":
            return f"SELECT profile_id {where} HAVING {kinds_seen} AND {days_seen}"
        # Two distinct counts side by side keep a map a group in DataFusion 55, beyond 24 GiB here.
        return f"""SELECT a.profile_id AS profile_id FROM (SELECT profile_id {where} HAVING {kinds_seen}) a
            JOIN (SELECT profile_id {where} HAVING {days_seen}) b ON a.profile_id = b.profile_id"""

    return Variant(
        f"count_distinct(device, TRUE, '{window} days') >= {kinds} "
        f"AND count_distinct_days(TRUE, '{window} days') >= {days}",
        sql,
        lambda p: p.ids(
            p.events.filter(p.since(window))
            .group_by("profile_id")
            .agg(kinds=p.c("device").n_unique(), days=p.c("ts").dt.date().n_unique())
            .filter((p.c("kinds") >= kinds) & (p.c("days") >= days))
        ),
    )


def engaged(r):
    window, days, opted = r.randint(7, 60), r.randint(2, 8), r.random() < 0.5
    word = "" if opted else "NOT "
    bought = "event_type = 'purchase'"

    def sql(q):
        seen = f"count(DISTINCT CASE WHEN ts >= {q.since(window)} THEN {q.day} END)"
        if q.dialect == "clickhouse":
            seen = f"uniqExactIf({q.day}, ts >= {q.since(window)})"
        return f"""SELECT t.profile_id AS profile_id FROM (SELECT profile_id, {seen} AS days,
            sum(CASE WHEN {bought} THEN price ELSE 0 END) AS spent, {number(bought)} AS orders FROM {q.events}
            WHERE ts >= {q.since(window)} OR {bought} GROUP BY profile_id) t
            JOIN {q.crm} c ON t.profile_id = c.profile_id
            CROSS JOIN (SELECT sum(price) AS spent, count(*) AS orders FROM {q.events} WHERE {bought}) g
            WHERE days >= {days} AND t.orders > 0 AND t.spent * g.orders >= g.spent * t.orders AND {word}c.email_opt_in"""

    return Variant(
        f"count_distinct_days(TRUE, '{window} days') >= {days} AND {word}attr('crm.email_opt_in') "
        "AND sum(price, event = 'purchase') * total(count(event = 'purchase')) "
        ">= total(sum(price, event = 'purchase')) * count(event = 'purchase')",
        sql,
        lambda p: p.ids(
            p.events.filter(p.since(window) | p.is_("purchase"))
            .group_by("profile_id")
            .agg(
                days=p.c("ts").filter(p.since(window)).dt.date().n_unique(),
                spent=p.c("price").filter(p.is_("purchase")).sum(),
                orders=p.is_("purchase").cast(p.int64).sum(),
            )
            .join(p.events.filter(p.is_("purchase")).select(all_spent=p.c("price").sum(), all=p.len()), how="cross")
            .filter((p.c("days") >= days) & (p.c("orders") > 0))
            .filter(p.c("spent") * p.c("all").cast(p.int64) >= p.c("all_spent") * p.c("orders"))
            .join(p.crm.filter(p.c("email_opt_in") == opted), on="profile_id", how="semi")
        ),
    )


SHAPES = [active, viewers, abandoned, spenders, top, funnel, responders, lapsed, intent, overexposed, devices, engaged]


def variants(count, seed=7):
    """The first variants of a seed, by name; more of them never change those before."""
    made = {}
    for index in range(count):
        shape = SHAPES[index % len(SHAPES)]
        made[f"{shape.__name__}_{index}"] = shape(random.Random(f"{seed} {index}"))
    return made
