#!/usr/bin/env python3
"""Publishes one message to efir and prints its position. Standard library only.

usage: publish.py BASE_URL CHANNEL TEXT [KEY]
"""
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

ATTEMPTS = 5


def publish(base_url, channel, data, key):
    """Publishes `data` as JSON. The same key goes with every attempt, so a retry never makes a second message."""
    request = urllib.request.Request(
        f"{base_url}/channels/{urllib.parse.quote(channel, safe='')}",
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
        method="POST",
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = error.read().decode(errors="replace")
            if error.code != 503 or attempt == ATTEMPTS:
                sys.exit(f"efir refused: {error.code} {problem}")
        except (urllib.error.URLError, OSError) as error:
            if attempt == ATTEMPTS:
                sys.exit(f"no answer from {base_url}: {error}")
        time.sleep(0.2 * 2**attempt)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    base_url, channel, text = sys.argv[1:4]
    key = sys.argv[4] if len(sys.argv) > 4 else str(uuid.uuid4())
    print(publish(base_url.rstrip("/"), channel, {"text": text}, key)["position"])
