"""Any number of segments over the data of pipeline.toml, and the same asked of other engines.

    python variants.py pipeline 1000 > variants.toml      # for kindred run, bench and segments
    python variants.py ENGINE 100 --data bench-data --storage folder [--runs 3]
    python variants.py members 24 --of 1000 --data bench-data --storage folder --kindred "kindred segments variants.toml --set …"

ENGINE is duckdb, polars, chdb or datafusion. Each loads the data once into what it is quickest at, sorted by profile: its own
tables in --storage, or Parquet as it is. One statement a segment, answers taken as columns. Prints JSON: seconds of all statements
and of processors in them (medians of the runs, after one that warms up), the peak of resident memory, each segment's size. `members` compares so many segments with DuckDB,
member by member, in a store that `kindred run` has evaluated.
"""

import argparse
import json
import pathlib
import random
import shlex
import statistics
import subprocess
import sys
import time

from shapes import NOW, Sql, variants

HERE = pathlib.Path(__file__).parent


class DuckDb:
    """Its own table, as it is quickest."""

    def __init__(self, data, storage):
        import duckdb

        self.connection = duckdb.connect(storage / "variants.duckdb")
        self.connection.execute("SET TimeZone = 'UTC'")
        if not self.connection.execute("FROM duckdb_tables()").fetchall():
            self.connection.execute(f"CREATE TABLE events AS FROM '{data}/events_by_profile/*.parquet'")
            self.connection.execute(f"CREATE TABLE crm AS FROM '{data}/crm.parquet'; CHECKPOINT")
        self.connection.execute("SET preserve_insertion_order = false")

    def ask(self, variant):
        return self.connection.sql(variant.sql(Sql("duckdb"))).to_arrow_table()["profile_id"]


class ChDb:
    """A MergeTree, ordered by profile."""

    def __init__(self, data, storage):
        from chdb import session

        self.session = session.Session(str(storage / "variants.chdb"))
        self.session.query("CREATE DATABASE IF NOT EXISTS d")
        if not self.session.query("SHOW TABLES FROM d", "CSV").bytes():
            word = "LowCardinality(String)"
            self.session.query(
                f"""CREATE TABLE d.events (profile_id UInt64, ts DateTime64(3, 'UTC'), event_type {word}, category {word},
                product_id Nullable(Int32), price Nullable(Int64), campaign_id Nullable(Int32), device {word})
                ENGINE = MergeTree ORDER BY (profile_id, ts)"""
            )
            self.session.query(f"INSERT INTO d.events SELECT * FROM file('{data}/events_by_profile/*.parquet', Parquet)")
            self.session.query(
                f"""CREATE TABLE d.crm (profile_id UInt64, country {word}, age Int16, gender {word}, loyalty_tier {word},
                email_opt_in Bool, signup_ts DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY profile_id"""
            )
            self.session.query(f"INSERT INTO d.crm SELECT * FROM file('{data}/crm.parquet', Parquet)")
            self.session.query("OPTIMIZE TABLE d.events FINAL")
        self.session.query("SET join_use_nulls = 1")
        self.session.query("SET optimize_aggregation_in_order = 1")

    def ask(self, variant):
        import pyarrow

        answer = self.session.query(variant.sql(Sql("clickhouse", "d.events", "d.crm")), "Arrow").bytes()
        return pyarrow.ipc.open_file(pyarrow.BufferReader(answer)).read_all()["profile_id"]


class DataFusion:
    """Parquet as it is."""

    def __init__(self, data, _storage):
        import datafusion

        self.context = datafusion.SessionContext()
        self.context.register_parquet("events", f"{data}/events_by_profile")
        self.context.register_parquet("crm", f"{data}/crm.parquet")

    def ask(self, variant):
        return self.context.sql(variant.sql(Sql("datafusion"))).to_arrow_table()["profile_id"]


class Polars:
    """Parquet as it is, with the streaming engine; what shapes.py needs of Polars is here by short names."""

    def __init__(self, data, _storage):
        import polars

        self.c, self.when, self.len, self.duration = polars.col, polars.when, polars.len, polars.duration
        self.int64, self.lit, self.datetime = polars.Int64, polars.lit, polars.Datetime("ms")
        self.events = polars.scan_parquet(f"{data}/events_by_profile/*.parquet")
        self.crm = polars.scan_parquet(f"{data}/crm.parquet")

    def since(self, days):
        import datetime

        return self.c("ts") >= self.lit(NOW - datetime.timedelta(days)).cast(self.datetime)

    def is_(self, event):
        return self.c("event_type") == event

    def in_(self, *events):
        return self.c("event_type").is_in(list(events))

    def ids(self, frame):
        return frame.select("profile_id")

    def ask(self, variant):
        return variant.polars(self).collect(engine="streaming")["profile_id"]


ENGINES = {"duckdb": DuckDb, "chdb": ChDb, "datafusion": DataFusion, "polars": Polars}


def pipeline(count, seed):
    """The sources of pipeline.toml with other segments."""
    head = (HERE / "pipeline.toml").read_text().partition("[segments.")[0]
    segments = (f'[segments.{name}]\nrule = "{made.rule}"\n' for name, made in variants(count, seed).items())
    return head + "\n".join(segments)


def measure(engine, count, seed, runs):
    """One warm-up, which loads, then so many runs."""
    made, seconds, processor, each = variants(count, seed), [], [], {}
    for _ in range(runs + 1):
        begun, working, sizes = time.perf_counter(), time.process_time(), {}
        for name, variant in made.items():
            asked = time.perf_counter()
            sizes[name] = len(engine.ask(variant))
            each.setdefault(name, []).append(time.perf_counter() - asked)
        seconds.append(time.perf_counter() - begun)
        processor.append(time.process_time() - working)
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    each = {name: round(statistics.median(times[1:] or times), 4) for name, times in each.items()}
    middle = lambda runs: round(statistics.median(runs[1:] or runs), 3)
    return {
        "segments": count, "seconds": middle(seconds), "processor_seconds": middle(processor), "peak_mib": peak,
        "sizes": sizes, "each": each,
    }


def members(engine, sample, of, seed, kindred):
    """Members of some segments on both sides."""
    for name, variant in random.Random(seed).sample(list(variants(of, seed).items()), sample):
        told = subprocess.run([*shlex.split(kindred), "--members", name, "--json"], check=True, capture_output=True)
        found = {int(member["value"]) for member in json.loads(told.stdout)}
        wanted = set(engine.ask(variant).to_pylist())
        if found != wanted:
            only = [sorted(one - other)[:5] for one, other in ((found, wanted), (wanted, found))]
            sys.exit(f"{name}: {len(found)} against {len(wanted)}, such as {only}\n{variant.rule}")
        print(f"{name}: {len(found)} members, the same")


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pipeline", "members", *ENGINES])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", default="bench-data")
    parser.add_argument("--storage", type=pathlib.Path, default=".")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--of", type=int)
    parser.add_argument("--kindred")
    options = parser.parse_args()
    if options.what == "pipeline":
        print(pipeline(options.count, options.seed))
    elif options.what == "members":
        engine = DuckDb(options.data, options.storage)
        members(engine, options.count, options.of or options.count, options.seed, options.kindred)
    else:
        engine = ENGINES[options.what](options.data, options.storage)
        print(json.dumps(measure(engine, options.count, options.seed, options.runs)))


if __name__ == "__main__":
    main()
