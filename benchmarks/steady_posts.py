"""Posts one body to an address at a steady rate, whether or not answers come, and says how long each took from its due time.

    python benchmarks/steady_posts.py --url URL --rate 750 --seconds 15

Prints one JSON object: `ms` by request, `statuses` with how many there were of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import aiohttp

CONNECTIONS = 64


async def post_all(url: str, body: bytes, rate: float, seconds: float) -> dict[str, Any]:
    """Post and return what is printed."""
    took: list[float] = []
    statuses: Counter[int] = Counter()

    async def one(session: aiohttp.ClientSession, due: float) -> None:
        async with session.post(url, data=body) as answer:
            await answer.read()
            statuses[answer.status] += 1
        # From when it was due: a client that waits for a slow server would hide how slow it is.
        took.append((time.perf_counter() - due) * 1000)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(session, due))
    return {"ms": took, "statuses": dict(statuses)}


def main() -> None:
    """Post and report."""
    parser = argparse.ArgumentParser(description="Post at a steady rate.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, required=True, help="a second")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    body = sys.stdin.buffer.read()
    print(json.dumps(asyncio.run(post_all(options.url, body, options.rate, options.seconds))))


if __name__ == "__main__":
    main()
