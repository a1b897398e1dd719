#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a reload costs while requests flow: one changed route in a file of many.

    tools/bench/reload_bench.py [--routes 10000] [--edits 20] [--workers 2 | --alone] [--json]

Starts the gateway on one file and a constant load, then edits one route again and again and measures, for each edit,
the time from asking for the reload until it is done, and until every worker serves it. The worst turn of a worker's
loop comes from its own metrics, so that what the scheduler does to this script does not count; a quiet period is
measured first for comparison. Where others use the cores too, a turn is as long as they let it be: --alone gives one worker
a core that nothing else here runs on. Last, a worker with a small configuration is killed: how long until the next one
answers.
"""

import argparse
import json
import os
import re
import signal
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from harness import Gateway, Load, Upstream, expect, ok, request_bytes, wait_for  # noqa: E402


def config_text(count, version, node):
    """YAML as people write it: one route in the middle carries the version."""
    lines = ["routes:"]
    for i in range(count):
        body = f"v{version}" if i == count // 2 else f"r{i}"
        lines.append(f"""  - id: r{i}
    uri: /s{i // 100}/item{i}/*
    methods: [GET, POST]
    plugins:
      proxy-rewrite: {{headers: {{set: {{X-Route: {body}}}}}}}
      limit-count: {{count: {100000 + i}, time_window: 60, key: remote_addr}}
    upstream:
      type: roundrobin
      nodes: {{"{node}": 1}}""")
    lines.append("""  - {id: version, uri: /version, plugins: {mocking: {response_example: "v%d", content_type: text/plain}}}""" % version)
    lines.append("""  - {id: steady, uri: /steady, plugins: {mocking: {response_example: "steady"}}}""")
    return "\n".join(lines) + "\n"


class Turns:
    """The histogram of loop turns of all workers together, as differences between two looks."""

    def __init__(self, gateway):
        self.gateway, self.before = gateway, {}
        self.take()

    def take(self):
        """Counts by upper bound in ms since the last take."""
        now = {}
        text = self.gateway.metrics().body.decode()
        for bound, count in re.findall(r'moongate_loop_turn_seconds_bucket\{[^}]*le="([^"]+)"\} (\d+)', text):
            now[float(bound)] = now.get(float(bound), 0) + int(count)
        cumulated = {b: n - self.before.get(b, 0) for b, n in now.items()}
        self.before = now
        out, below = {}, 0
        for bound in sorted(cumulated):
            if cumulated[bound] > below:
                out[round(bound * 1000, 3)] = cumulated[bound] - below
            below = cumulated[bound]
        return out


def milliseconds(values):
    ordered = sorted(values)
    return {"median": round(statistics.median(ordered) * 1000, 1), "worst": round(ordered[-1] * 1000, 1)}


def edit_once(gateway, args, version, node):
    """(time until the reload says done, until every worker serves) for one edit; the file is there before the clock runs."""
    gateway.write_config(config_text(args.routes, version, node))
    began = time.monotonic()
    done = gateway.reload()
    returned = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"refused: {done.stdout}{done.stderr}")
    wanted = b"v%d" % version
    wait_for(lambda: all(gateway.get("/version").body == wanted for _ in range(8)), 30, "the edit being served")
    return returned, time.monotonic() - began


def notice_once(gateway, args, version, node):
    """Time from the rename of the file until its route is served, nobody telling the gateway."""
    gateway.write_config(config_text(args.routes, version, node))
    began = time.monotonic()
    wait_for(lambda: gateway.get("/version").body == b"v%d" % version, 30, "the edit being noticed")
    return time.monotonic() - began


def kill_once(gateway):
    """Time from the kill of the only worker until the next one's first answer."""
    pid = gateway.worker_pids()[0]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    answer = gateway.get("/steady")
    took = time.monotonic() - began
    if answer.body != b"steady":
        raise SystemExit(f"a wrong answer after the kill: {answer.status} {answer.body!r}")
    return took


def cpu_s(pids):
    """CPU time that processes have used: where other work shares the cores, this is what can be compared."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_kills(args):
    """A small configuration, so that what is measured is the start of a worker."""
    took = []
    for _ in range(args.kills):
        with Gateway(config_text(2, 0, "127.0.0.1:1"), workers=1) as gateway:
            took.append(kill_once(gateway))
    return milliseconds(took)


def part_cores(gateway):
    """The last core for the only worker, the others for everything else, this program's threads included."""
    *shared, own = sorted(os.sched_getaffinity(0))
    if not shared:
        raise SystemExit("--alone needs two cores")
    threads = [int(t) for pid in (os.getpid(), gateway.process.pid, *gateway.descendants()) for t in os.listdir(f"/proc/{pid}/task")]
    for thread in threads:
        os.sched_setaffinity(thread, shared)
    for thread in os.listdir(f"/proc/{gateway.worker_pids()[0]}/task"):
        os.sched_setaffinity(int(thread), {own})


def measure(args):
    up = Upstream(ok(b"up"), keep_log=False)
    gateway = Gateway(config_text(args.routes, 0, up.node), workers=1 if args.alone else args.workers)
    with up, gateway:
        if args.alone:
            part_cores(gateway)
        load = Load(gateway.port, lambda i: (request_bytes("GET", "/steady"), expect(200, b"steady")),
                    connections=32, pace_s=0.01).start()
        turns = Turns(gateway)
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > args.quiet, args.quiet + 5, "the quiet period")
        quiet = {"turns_ms": turns.take(), "p99_ms": round(load.percentile(0.99) * 1000, 2)}
        load.latencies.clear()
        before = {name: cpu_s(pids) for name, pids in processes(gateway).items()}
        edits = [edit_once(gateway, args, i + 1, up.node) for i in range(args.edits)]
        busy = {"turns_ms": turns.take(), "p99_ms": round(load.percentile(0.99) * 1000, 2)}
        cpu = {name: round((cpu_s(pids) - before[name]) / args.edits * 1000, 1) for name, pids in processes(gateway).items()}
        noticed = [notice_once(gateway, args, args.edits + i + 1, up.node) for i in range(5)]
        load.stop()
        pss = {name: sum(pss_kb(pid) for pid in pids) for name, pids in processes(gateway).items()}
        return {"routes": args.routes, "answered": f"{load.answered} of {load.sent}", "failures": load.failures(),
                "quiet": quiet, "busy": busy, "cpu_ms_per_edit": cpu, "reload_returns_ms": milliseconds([a for a, _ in edits]),
                "all_serve_ms": milliseconds([b for _, b in edits]), "noticed_ms": milliseconds(noticed), "pss_kb": pss,
                "killed_to_answer_ms": measure_kills(args)}


def processes(gateway):
    status = gateway.status()
    return {"workers": [w["pid"] for w in status["workers"]],
            "others": [p for p in gateway.descendants() if p not in [w["pid"] for w in status["workers"]]]}


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--routes", type=int, default=10000)
    p.add_argument("--edits", type=int, default=20)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--alone", action="store_true", help="one worker, with a core to itself")
    p.add_argument("--kills", type=int, default=5)
    p.add_argument("--quiet", type=float, default=3.0, help="seconds without edits, for comparison")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    result = measure(args)
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:20} {value}")


if __name__ == "__main__":
    main()
