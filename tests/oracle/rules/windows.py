"""Windows and times of docs/rules.md as SQL on DuckDB; `as_of` is a variable of the connection."""

import datetime
import re

AS_OF = "getvariable('as_of')"
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
BEFORE = {"day": "1 DAY", "week": "7 DAYS", "month": "1 MONTH", "quarter": "3 MONTHS", "year": "1 YEAR"}


def moment(text):
    """A time that is written as text, in UTC unless it says otherwise."""
    text, _, zone = text.partition(" in ")
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo:
        time = time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    sql = f"TIMESTAMP '{time.isoformat(sep=' ')}'"
    return f"timezone('UTC', timezone('{zone}', {sql}))" if zone else sql


def span(text):
    """A length of time; a day has 24 hours."""
    number, unit = text.split()
    return f"to_seconds({int(number) * SECONDS[unit.removesuffix('s')]})"


def inside(event, frame):
    """Whether an event lies in a window, given as its arguments."""
    texts = [text for _, text in frame]
    conditions = [f"{event}.ts <= {AS_OF}"]
    if not texts:
        pass
    elif texts[0].startswith(("this ", "previous ")):
        conditions.append(period(event, *calendar(texts[0])))
    elif re.match(r"\d+ [a-z]", texts[0]):
        conditions.append(f"{event}.ts > {AS_OF} - {span(texts[0])}")
        conditions += [f"{event}.ts <= {AS_OF} - {span(newer)}" for newer in texts[1:]]
    else:
        start, end = texts
        conditions.append(f"{event}.ts >= {moment(start)} AND {event}.ts < {moment(end)}")
    return f"({' AND '.join(conditions)})"


def calendar(text):
    """`this` or `previous`, the unit, and the zone."""
    period, _, zone = text.partition(" in ")
    return *period.split(), zone or "UTC"


def period(event, which, unit, zone):
    """By what a calendar shows at the event and as of now, not by bounds."""
    now, then = (f"date_trunc('{unit}', shown({time}, '{zone}'))" for time in (AS_OF, f"{event}.ts"))
    return f"{then} = {now}" if which == "this" else f"{then} = {now} - INTERVAL {BEFORE[unit]}"


def zone_of_days(arguments):
    """The window of count_distinct_days without its zone, and whose days are counted."""
    texts = [text for _, text in arguments]
    if texts and texts[-1].startswith("in "):
        return arguments[:-1], texts[-1].removeprefix("in ")
    if texts and texts[0].startswith(("this ", "previous ")):
        return arguments, calendar(texts[0])[-1]
    return arguments, "UTC"
