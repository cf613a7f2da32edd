"""What a shop's server sends with Segment's SDK for Python, or with RudderStack's, which has the same calls.

Arguments: `segment` or `rudderstack`, the collector, the write key, the user, `gzip` or `plain`. Prints what the SDK reported
as JSON.
"""

import importlib
import json
import sys

sdk, host, key, user, coding = sys.argv[1:]
Client = importlib.import_module(f"{sdk}.analytics.client").Client
errors = []
client = Client(key, host=host, gzip=coding == "gzip", on_error=lambda error, _: errors.append(str(error)), upload_interval=0.1)
anonymous, older = f"a-{user}", f"b-{user}"
order = {"category": "coats", "value": 1.25}

# Before the visitor is known, known by both, by either.
calls = [client.track(anonymous_id=older, event="order", properties=order)]
calls.append(client.identify(user, {"plan": "gold", "email": f"{user}@example.com"}, anonymous_id=anonymous))
calls += [client.track(user, "order", order) for _ in range(125)]
calls += [client.track(event="order", anonymous_id=anonymous, properties=order) for _ in range(125)]
calls.append(client.page(user, "shop", "coats", {"url": "https://shop.example/coats"}))
calls.append(client.screen(user, "shop", "coats"))
calls.append(client.group(user, "staff", {"size": 3}))
calls.append(client.alias(older, user))
client.shutdown()
print(json.dumps({"queued": sum(queued for queued, _ in calls), "errors": errors}))
