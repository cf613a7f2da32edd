"""Sends events of many visitors with Segment's SDK for Python, each with an id of its own, all of them several times.

Arguments: the collector, the write key, how often, and the milliseconds between two batches; with 0, 100 events are sent,
else 800. Prints how many the SDK delivered, which are those that it took and reported no error about.
"""

import json
import sys
import time
from datetime import datetime, timezone

from segment.analytics.client import Client

host, key, times, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
at = datetime.now(timezone.utc)
queued, failed, errors = 0, 0, []


def on_error(error, batch):
    global failed
    failed += len(batch)
    errors.append(str(error))


for _ in range(times):
    client = Client(key, host=host, on_error=on_error, gzip=True, upload_size=10, upload_interval=0.05, max_retries=30, timeout=5)
    for number in range(100 if pause == 0 else 800):
        queued += client.track(str(number), "once", timestamp=at, message_id=f"once-{number}")[0]
        if pause and number % 10 == 9:
            time.sleep(pause / 1000)
    client.shutdown()
print(json.dumps({"delivered": queued - failed, "errors": errors}))
