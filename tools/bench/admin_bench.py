#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one change through the Admin API costs among many routes, while requests flow.

    tools/bench/admin_bench.py [--routes 10000] [--edits 50] [--workers 2] [--json]

Starts the gateway on a file of many routes and a constant load, then replaces one route by PUT again and again over one
connection. Measures how long each answer took, which is when every worker serves it; and the same for many PUTs at
once, which share changes of snapshots.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from harness import Client, Gateway, Load, Upstream, expect, ok, request_bytes  # noqa: E402
from reload_bench import config_text, cpu_s, milliseconds, processes  # noqa: E402


def route(text):
    return json.dumps({"uri": "/version", "plugins": {"mocking": {"response_example": text, "content_type": "text/plain"}}}).encode()


def put(client, key, name, text):
    """Seconds until the answer."""
    began = time.monotonic()
    answer = client.request("PUT", "/apisix/admin/routes/" + name, {"X-API-KEY": key}, route(text))
    if answer.status not in (200, 201):
        raise AssertionError(f"{answer} {answer.body}")
    return time.monotonic() - began


def edit(gateway, key, count):
    seconds = []
    with Client(gateway.admin_port) as client:
        put(client, key, "one", "warm")
        for i in range(count):
            seconds.append(put(client, key, "one", f"v{i}"))
            if gateway.get("/version").body != f"v{i}".encode():
                raise AssertionError(f"v{i} was acknowledged and is not served")
    return seconds


def edit_at_once(gateway, key, count):
    """Seconds for `count` PUTs, eight at a time."""
    def work(number):
        with Client(gateway.admin_port) as client:
            for i in range(count // 8):
                put(client, key, f"many-{number}-{i}", "x")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.monotonic() - began


def processes_cpu(gateway):
    return {name: cpu_s(pids) for name, pids in processes(gateway).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--routes", type=int, default=10000)
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with Upstream(ok(), keep_log=False) as up:
        config = config_text(args.routes, 0, up.node).replace("/version", "/in-file")
        with Gateway(config, workers=args.workers) as gateway:
            key = gateway.admin_key()
            load = Load(gateway.port, lambda i: (request_bytes("GET", "/steady"), expect(200, b"steady")), connections=8,
                        pace_s=0.01).start()
            before = processes_cpu(gateway)
            alone = edit(gateway, key, args.edits)
            cpu = {name: round((after - before[name]) / args.edits * 1000, 1) for name, after in processes_cpu(gateway).items()}
            together = edit_at_once(gateway, key, args.edits * 4)
            load.stop()
    result = {"routes": args.routes, "workers": args.workers, "put_ms": milliseconds(alone),
              "cpu_ms_per_put": cpu,
              "puts_per_s_at_once": round(args.edits * 4 // 8 * 8 / together), "failed_requests": load.failures()}
    print(json.dumps(result) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
