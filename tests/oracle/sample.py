"""Cuts the sample in examples/retail/data out of the full Complete Journey data.

    python sample.py FULL_FOLDER OUT_FOLDER

300 of the 2,469 households, chosen by a hash of their number, so that the same input gives the same sample:

- 100 of those who redeemed a coupon (153 in all; at random there would be 19 of 300);
- 60 of the others whose spending fell to less than a quarter in the last 60 days, for the same reason;
- 140 of the rest.

Files, columns and types are those of the full data, so that one pipeline file reads both; of products.parquet only
the products that were bought and the columns that the pipeline reads.
"""

import pathlib
import sys

import duckdb
import pyarrow.parquet as parquet

CHOOSE = """
CREATE TABLE chosen AS
WITH bounds AS (SELECT max(transaction_timestamp) AS as_of FROM transactions),
spending AS (
    SELECT household_id,
           coalesce(sum(sales_value) FILTER (transaction_timestamp > as_of - INTERVAL 60 DAY), 0) AS lately,
           coalesce(sum(sales_value) FILTER (transaction_timestamp > as_of - INTERVAL 180 DAY
                                             AND transaction_timestamp <= as_of - INTERVAL 60 DAY), 0) AS before
    FROM transactions, bounds GROUP BY household_id),
kinds AS (
    SELECT household_id,
           CASE WHEN household_id IN (SELECT household_id FROM coupon_redemptions) THEN 'redeemer'
                WHEN before >= 600 AND lately < 0.25 * before THEN 'lapsed'
                ELSE 'other' END AS kind
    FROM spending)
SELECT household_id FROM kinds
QUALIFY row_number() OVER (PARTITION BY kind ORDER BY md5(household_id::VARCHAR))
        <= CASE kind WHEN 'redeemer' THEN 100 WHEN 'lapsed' THEN 60 ELSE 140 END
"""

PARQUET = ["transactions", "products"]
CSV = ["demographics", "campaigns", "campaign_descriptions", "coupon_redemptions"]


def cut(full, out):
    """Writes the sample's files."""
    connection = duckdb.connect()
    for name in PARQUET:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{full / name}.parquet')")
    for name in CSV:
        # As text, so that what is written is what was read.
        connection.execute(f"CREATE VIEW {name}_text AS SELECT * FROM read_csv('{full / name}.csv', all_varchar = true)")
    connection.execute("CREATE VIEW coupon_redemptions AS SELECT household_id::BIGINT AS household_id FROM coupon_redemptions_text")
    connection.execute(CHOOSE)

    out.mkdir(parents=True, exist_ok=True)
    lines = connection.sql("""
        SELECT t.* FROM transactions t SEMI JOIN chosen USING (household_id)
        ORDER BY transaction_timestamp, household_id, basket_id, product_id
    """)
    write(lines, out / "transactions.parquet")
    products = connection.sql("""
        SELECT product_id, department, brand, product_category FROM products
        WHERE product_id IN (SELECT product_id FROM transactions SEMI JOIN chosen USING (household_id))
        ORDER BY product_id
    """)
    write(products, out / "products.parquet")
    for name in CSV:
        of_chosen = "" if name == "campaign_descriptions" else "WHERE household_id::BIGINT IN (FROM chosen)"
        connection.execute(
            f"COPY (SELECT * FROM {name}_text {of_chosen}) TO '{out / name}.csv' (HEADER, DELIMITER ',')"
        )


def write(relation, path):
    """Few bytes matter more here than quick writing: the files are committed."""
    table = relation.to_arrow_table()
    sorted_integers = [name for name in ["transaction_timestamp", "basket_id"] if name in table.column_names]
    parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in sorted_integers],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in sorted_integers},
        row_group_size=len(table),
        dictionary_pagesize_limit=8 << 20,
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    cut(*map(pathlib.Path, sys.argv[1:]))
