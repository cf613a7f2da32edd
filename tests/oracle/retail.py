"""The audiences of examples/retail by SQL on DuckDB, independent of Kindred's own evaluator.

    python retail.py DATA_FOLDER > answers.json

Prints {"facts": {...}, "segments": {name: [household ids, sorted as text]}} for `as_of` = the latest event time.
Every query is written by hand from the meaning of the rule in examples/retail/pipeline.toml:

- a window of '90 days' is (as_of - 90 x 24 h, as_of], with a second bound '180 days', '60 days' it is
  (as_of - 180 x 24 h, as_of - 60 x 24 h]; without a window it is everything up to as_of;
- NULL is SQL's: a sum, average or difference over no events is NULL, a comparison with NULL is unknown, and unknown
  is not a member; counts over no events are 0;
- times without a zone are UTC; dates are midnight.
"""

import json
import pathlib
import sys

import duckdb

EVENTS = """
CREATE TABLE events AS
SELECT t.household_id::VARCHAR AS household, t.transaction_timestamp AS ts, 'purchase' AS event,
       t.sales_value AS amount, t.quantity, t.coupon_disc AS coupon_discount, t.basket_id AS basket,
       t.store_id AS store, p.product_category AS category, p.department, p.brand
FROM read_parquet('{data}/transactions.parquet') t
LEFT JOIN read_parquet('{data}/products.parquet') p USING (product_id)
UNION ALL BY NAME
SELECT c.household_id::VARCHAR AS household, d.start_date::TIMESTAMP AS ts, 'impression' AS event
FROM read_csv('{data}/campaigns.csv') c JOIN read_csv('{data}/campaign_descriptions.csv') d USING (campaign_id)
UNION ALL BY NAME
SELECT household_id::VARCHAR AS household, redemption_date::TIMESTAMP AS ts, 'conversion' AS event
FROM read_csv('{data}/coupon_redemptions.csv');

CREATE TABLE crm AS SELECT * RENAME (household_id AS household)
FROM read_csv('{data}/demographics.csv', all_varchar = true);

CREATE TABLE profiles AS SELECT household FROM events UNION SELECT household FROM crm;

SET VARIABLE as_of = (SELECT max(ts) FROM events);

CREATE MACRO since(days) AS getvariable('as_of') - to_hours(24 * days);

CREATE VIEW purchases AS SELECT * FROM events WHERE event = 'purchase' AND ts <= getvariable('as_of');
"""

FACTS = """
SELECT (SELECT count(*) FROM purchases) AS rows,
       (SELECT round(sum(amount), 2) FROM purchases) AS sales,
       (SELECT count(*) FROM purchases WHERE quantity = 0) AS zero_quantity,
       (SELECT count(*) FROM events WHERE event = 'impression') AS impressions,
       (SELECT count(*) FROM events WHERE event = 'conversion') AS conversions,
       (SELECT count(*) FROM profiles) AS profiles,
       (SELECT count(*) FROM crm) AS crm,
       strftime(getvariable('as_of'), '%Y-%m-%dT%H:%M:%SZ') AS as_of
"""

# In an order in which each may read those above it.
SEGMENTS = {
    "redeemers": """
        SELECT DISTINCT household FROM events WHERE event = 'conversion' AND ts <= getvariable('as_of')
    """,
    "high-spenders": """
        SELECT household FROM purchases WHERE ts > since(90) GROUP BY household HAVING sum(amount) >= 750
    """,
    "lapsed-heavy-buyers": """
        SELECT household
        FROM (SELECT household,
                     sum(amount) FILTER (ts <= since(60)) AS before,
                     sum(amount) FILTER (ts > since(60)) AS lately
              FROM purchases WHERE ts > since(180) GROUP BY household)
        WHERE before >= 600 AND (lately IS NULL OR lately < 0.25::DOUBLE * before)
    """,
    "pizza-regulars": """
        SELECT household FROM purchases WHERE category = 'FROZEN PIZZA' GROUP BY household
        HAVING max(ts) >= since(21) AND count(*) FILTER (ts > since(90)) >= 3
    """,
    "families": """
        SELECT household FROM crm WHERE kids_count IN ('1', '2', '3+')
        UNION
        SELECT household FROM purchases
        WHERE category IN ('BABY FOODS', 'BABY HBC', 'DIAPERS & DISPOSABLES') AND ts > since(180)
        GROUP BY household HAVING count(*) >= 3
    """,
    "private-label-lovers": """
        SELECT household FROM purchases WHERE ts > since(90) GROUP BY household
        HAVING count(*) >= 30 AND count(*) FILTER (brand = 'Private') >= 0.35::DOUBLE * count(*)
    """,
    "pet-owners": """
        SELECT household FROM purchases
        WHERE category IN ('CAT FOOD', 'CAT LITTER', 'DOG FOODS') AND ts > since(180)
        GROUP BY household HAVING count(*) >= 3
    """,
    "wine-drinkers": """
        SELECT household FROM purchases WHERE category LIKE '%WINE%' AND ts > since(364)
        GROUP BY household HAVING count(DISTINCT basket) >= 2
    """,
    "one-store": """
        SELECT household FROM purchases WHERE ts > since(180) GROUP BY household
        HAVING count(DISTINCT store) = 1 AND count(DISTINCT basket) >= 10
    """,
    "moved-store": """
        SELECT household
        FROM (SELECT household, basket, store, max(ts) AS ts FROM purchases WHERE ts > since(180) GROUP BY ALL)
        GROUP BY household HAVING arg_min(store, ts) <> arg_max(store, ts)
    """,
    "premium-baskets": """
        SELECT household FROM crm
        JOIN (SELECT household, avg(amount) AS line, max(amount) AS dearest FROM purchases
              WHERE department <> 'FUEL' AND ts > since(180) GROUP BY household) USING (household)
        WHERE line >= 3 AND dearest >= 15 AND income NOT IN ('Under 15K', '15-24K')
    """,
    "spending-families": """
        SELECT household FROM high_spenders INTERSECT SELECT household FROM families
    """,
    "targeted-not-redeemed": """
        SELECT household FROM events WHERE event = 'impression' AND ts > since(120) AND ts <= getvariable('as_of')
        EXCEPT SELECT household FROM redeemers
    """,
}

# Sums of decimal amounts are compared with round numbers: an engine that adds in another order may be off by less
# than this, and no household may lie so near.
NEAR = 1e-6
NEAREST = """
SELECT min(gap) FROM (
    SELECT abs(sum(amount) FILTER (ts > since(90)) - 750) AS gap FROM purchases GROUP BY household
    UNION ALL
    SELECT abs(sum(amount) FILTER (ts > since(180) AND ts <= since(60)) - 600) FROM purchases GROUP BY household
    UNION ALL
    SELECT abs(sum(amount) FILTER (ts > since(60)) - 0.25 * sum(amount) FILTER (ts > since(180) AND ts <= since(60)))
    FROM purchases GROUP BY household
    UNION ALL
    SELECT abs(avg(amount) - 3) FROM purchases WHERE department <> 'FUEL' AND ts > since(180) GROUP BY household)
"""

# First and last say nothing where two shops were visited in the same second.
TIES = """
SELECT count(*) FROM (SELECT 1 FROM purchases GROUP BY household, ts HAVING count(DISTINCT store) > 1)
"""


def prepare(connection, data):
    """Loads the folder; everything else is SQL on these tables."""
    connection.execute(EVENTS.format(data=str(data).replace("'", "''")))


def members(connection):
    """The household ids of every segment."""
    found = {}
    for name, query in SEGMENTS.items():
        table = name.replace("-", "_")
        connection.execute(f'CREATE TEMP TABLE "{table}" AS {query}')
        rows = connection.execute(f'SELECT household FROM "{table}"').fetchall()
        found[name] = sorted(household for (household,) in rows)
    return found


def answers(data):
    """Facts and segments of a data folder."""
    connection = duckdb.connect()
    prepare(connection, data)
    row = connection.execute(FACTS)
    facts = dict(zip([column[0] for column in row.description], row.fetchall()[0]))
    (nearest,) = connection.execute(NEAREST).fetchall()[0]
    (ties,) = connection.execute(TIES).fetchall()[0]
    if nearest < NEAR or ties:
        sys.exit(f"these data do not decide the segments: nearest to a bound {nearest}, {ties} shops at one time")
    return {"facts": facts, "segments": members(connection)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    json.dump(answers(pathlib.Path(sys.argv[1])), sys.stdout, indent=1)
    print()
