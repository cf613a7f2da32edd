"""Random rules by SQL on DuckDB, independent of Kindred's own evaluator: nothing here is shared with it but docs/rules.md.

    python answers.py CASE_FOLDER > answers.json

The folder has crm.parquet, identifiers.parquet, withdrawn.parquet, events-N.parquet for each moment N, and case.json:

    {"moments": ["2026-01-31T00:00:00Z", ...], "rules": {name: text},
     "columns": {name: type}, "attributes": {name: type}}

Prints for each moment {name: [user, ...]}. At moment N the events of all files up to N are there.
"""

import json
import pathlib
import sys

import duckdb

import windows
from translate import MACROS, Rule

# What is not a number is null. Events of one profile at one moment are in the order of what they hold: column by column
# in the order of the names, null before anything.
EVENTS = """
CREATE OR REPLACE TABLE events AS
SELECT * REPLACE ({values}), row_number() OVER (PARTITION BY profile ORDER BY ts, {order}) AS n
FROM (SELECT * EXCLUDE (event_time), event_time::TIMESTAMP AS ts FROM read_parquet([{files}]))
"""

PROFILES = """
CREATE TABLE profiles AS
SELECT * EXCLUDE ("user"), "user" AS id, "user" NOT IN (FROM read_parquet('{folder}/withdrawn.parquet')) AS consents
FROM (SELECT "user", {attributes} FROM read_parquet('{folder}/crm.parquet'));
CREATE TABLE identifiers AS FROM read_parquet('{folder}/identifiers.parquet');
"""


def sql_of(name, kind):
    """A column of a file in the type that translated rules expect."""
    quoted = f'"{name}"'
    made = {
        "int": f"{quoted}::HUGEINT",
        "float": f"CASE WHEN NOT isnan({quoted}) THEN {quoted} END",
        "time": f"{quoted}::TIMESTAMP",
    }
    return made.get(kind, quoted)


class Case:
    """One folder, loaded."""

    def __init__(self, folder):
        self.folder, self.case = folder, json.loads((folder / "case.json").read_text())
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        # DuckDB 2.0 gives up with an internal error where these turn `NOT LIKE '%' ESCAPE …`, `x = x` and the like into
        # constants.
        self.connection.execute("SET disabled_optimizers = 'expression_rewriter,statistics_propagation'")
        self.connection.execute(MACROS)
        attributes = ", ".join(
            f'{sql_of(name.removeprefix("crm."), kind)} AS "{name}"' for name, kind in self.case["attributes"].items()
        )
        self.connection.execute(PROFILES.format(folder=folder, attributes=attributes))

    def at(self, number):
        """Members of each segment at a moment."""
        files = ", ".join(f"'{self.folder}/events-{file}.parquet'" for file in range(number + 1))
        columns = self.case["columns"]
        values = ", ".join(f'{sql_of(name, kind)} AS "{name}"' for name, kind in columns.items())
        order = ", ".join(f'"{name}" NULLS FIRST' for name in sorted(columns))
        self.connection.execute(EVENTS.format(values=values, order=order, files=files))
        moment = windows.moment(self.case["moments"][number])
        self.connection.execute(f"SET VARIABLE as_of = {moment}")
        found = {}
        for name in self.case["rules"]:
            self.members(name, found)
        return found

    def members(self, name, found):
        """Those of one segment, after those that it refers to."""
        if name in found:
            return
        rule = Rule(self.case["rules"][name], self.case["columns"], self.case["attributes"])
        for other in sorted(rule.segments):
            self.members(other, found)
        try:
            self.connection.execute(f'CREATE OR REPLACE TABLE "in {name}" AS {rule.query()}')
        except duckdb.Error as error:
            sys.exit(f"{error}\n{self.case['rules'][name]}\n{rule.query()}")
        found[name] = [user for (user,) in self.connection.execute(f'FROM "in {name}" ORDER BY id').fetchall()]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    case = Case(pathlib.Path(sys.argv[1]))
    json.dump([case.at(number) for number in range(len(case.case["moments"]))], sys.stdout)
