"""The same audiences by DuckDB and by Polars, timed, for docs/benchmarks.md.

    python bench_retail.py DATA_FOLDER [RUNS]

Each engine runs in a process of its own, RUNS times (default 5) from the files on. Prints the median seconds to load
(read and join the files), the median seconds for all audiences, and the peak memory of the process; exits with 1
when the engines do not agree on every member.
"""

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

DAY = 24 * 3600


def by_duckdb(data):
    """One run: seconds to load, seconds for the audiences, members."""
    import duckdb
    import retail

    connection = duckdb.connect()
    start = time.perf_counter()
    retail.prepare(connection, data)
    loaded = time.perf_counter()
    found = retail.members(connection)
    return loaded - start, time.perf_counter() - loaded, found


def by_polars(data):
    """The same."""
    import polars as pl

    start = time.perf_counter()
    purchases, impressions, conversions, crm = load(pl, data)
    as_of = max(frame["ts"].max() for frame in (purchases, impressions, conversions))
    loaded = time.perf_counter()
    queries = audiences(pl, purchases.lazy(), impressions.lazy(), conversions.lazy(), crm.lazy(), as_of)
    frames = pl.collect_all(list(queries.values()))
    found = {name: set(frame["household"].to_list()) for name, frame in zip(queries, frames)}
    found["spending-families"] = found["high-spenders"] & found["families"]
    found["targeted-not-redeemed"] -= found["redeemers"]
    found = {name: sorted(str(household) for household in members) for name, members in found.items()}
    return loaded - start, time.perf_counter() - loaded, found


def load(pl, data):
    """Purchases with their products, impressions, conversions, CRM."""
    micros = pl.Datetime("us")
    products = pl.read_parquet(data / "products.parquet", columns=["product_id", "product_category", "department", "brand"])
    purchases = (
        pl.read_parquet(data / "transactions.parquet")
        .join(products, on="product_id", how="left")
        .select(
            household="household_id",
            ts=pl.col("transaction_timestamp").cast(micros),
            amount="sales_value",
            basket="basket_id",
            store="store_id",
            category="product_category",
            department="department",
            brand="brand",
        )
    )
    campaigns = pl.read_csv(data / "campaign_descriptions.csv", try_parse_dates=True)
    impressions = (
        pl.read_csv(data / "campaigns.csv")
        .join(campaigns, on="campaign_id")
        .select(household="household_id", ts=pl.col("start_date").cast(micros))
    )
    conversions = pl.read_csv(data / "coupon_redemptions.csv", try_parse_dates=True).select(
        household="household_id", ts=pl.col("redemption_date").cast(micros)
    )
    text = {name: pl.String for name in ["age", "income", "kids_count", "household_size"]}
    crm = pl.read_csv(data / "demographics.csv", schema_overrides=text).rename({"household_id": "household"})
    return purchases, impressions, conversions, crm


def audiences(pl, purchases, impressions, conversions, crm, as_of):
    """A lazy frame with the column household for each audience that is no combination of others."""
    import datetime

    ts, amount, lines = pl.col("ts"), pl.col("amount"), pl.len()
    category, store, basket = pl.col("category"), pl.col("store"), pl.col("basket")

    def since(days):
        return pl.lit(as_of - datetime.timedelta(seconds=days * DAY))

    def within(days):
        return purchases.filter(ts > since(days)).group_by("household")

    def bought(of_category, days):
        return purchases.filter(of_category & (ts > since(days))).group_by("household")

    before = amount.filter(ts <= since(60)).sum()
    lately = amount.filter(ts > since(60)).sum()
    baby = bought(category.is_in(["BABY FOODS", "BABY HBC", "DIAPERS & DISPOSABLES"]), 180)
    pets = bought(category.is_in(["CAT FOOD", "CAT LITTER", "DOG FOODS"]), 180)
    visits = purchases.filter(ts > since(180)).group_by("household").agg(
        first=store.sort_by("ts").first(), last=store.sort_by("ts").last()
    )
    premium = (
        purchases.filter((pl.col("department") != "FUEL") & (ts > since(180)))
        .group_by("household")
        .agg(line=amount.mean(), dearest=amount.max())
        .join(crm.filter(~pl.col("income").is_in(["Under 15K", "15-24K"])), on="household")
    )
    queries = {
        "redeemers": conversions,
        "high-spenders": within(90).agg(x=amount.sum() >= 750).filter("x"),
        "lapsed-heavy-buyers": within(180).agg(x=(before >= 600) & (lately < 0.25 * before)).filter("x"),
        "pizza-regulars": purchases.filter(category == "FROZEN PIZZA")
        .group_by("household")
        .agg(x=(ts.max() >= since(21)) & ((ts > since(90)).sum() >= 3))
        .filter("x"),
        "families": pl.concat(
            [
                crm.filter(pl.col("kids_count").is_in(["1", "2", "3+"])).select("household"),
                baby.agg(x=lines >= 3).filter("x").select("household"),
            ]
        ),
        "private-label-lovers": within(90)
        .agg(x=(lines >= 30) & ((pl.col("brand") == "Private").sum() >= 0.35 * lines))
        .filter("x"),
        "pet-owners": pets.agg(x=lines >= 3).filter("x"),
        "wine-drinkers": bought(category.str.contains("WINE", literal=True), 364)
        .agg(x=basket.n_unique() >= 2)
        .filter("x"),
        "one-store": within(180).agg(x=(store.n_unique() == 1) & (basket.n_unique() >= 10)).filter("x"),
        "moved-store": visits.filter(pl.col("first") != pl.col("last")),
        "premium-baskets": premium.filter((pl.col("line") >= 3) & (pl.col("dearest") >= 15)),
        "targeted-not-redeemed": impressions.filter(ts > since(120)),
    }
    return {name: query.select("household") for name, query in queries.items()}


ENGINES = {"duckdb": by_duckdb, "polars": by_polars}


def measure(engine, data, runs):
    """What the process of one engine prints."""
    runs = [ENGINES[engine](data) for _ in range(runs)]
    median = [statistics.median(run[i] for run in runs) for i in (0, 1)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"load_seconds": median[0], "audiences_seconds": median[1], "peak_mib": peak, "members": runs[-1][2]}


def main(data, runs):
    """Runs each engine, compares and prints."""
    results = {}
    for engine in ENGINES:
        command = [sys.executable, __file__, str(data), str(runs), engine]
        results[engine] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    members = [result.pop("members") for result in results.values()]
    for engine, result in results.items():
        print(engine, *(f"{name} {value:.3f}" for name, value in result.items()), sep="  ")
    differing = [name for name in members[0] if members[0][name] != members[1][name]]
    if differing or members[0].keys() != members[1].keys():
        sys.exit(f"the engines differ in {differing}")
    print({name: len(found) for name, found in members[0].items()})


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    folder, runs = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if len(sys.argv) == 4:
        json.dump(measure(sys.argv[3], folder, runs), sys.stdout)
    else:
        main(folder, runs)
