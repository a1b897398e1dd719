# SPDX-License-Identifier: Apache-2.0
"""Many routes: an edit stalls nobody, a fresh worker never answers 404, a worker killed in mid-apply leaves no half,
and thousands of reloads leave nothing behind.

MOONGATE_FULL=1 runs 10,000 reloads of 5,000 routes in place of 120 of 500.
"""

import os
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from harness import (IS_FULL, Load, TestCase, full_size, is_sanitized, memory_kb, moongate_bin, ok, open_files, request_bytes,
                     route, wait_for)

ROUTES = 10_000
RELOADS, RELOAD_ROUTES = (10_000, 5_000) if IS_FULL else (120, 500)
PARTS = 24
GROWTH_MAX_KB = 12_000
STALL_S = 2.5     # far below the seconds of a full rebuild in the way, far above what a busy machine makes of a turn


def config_text(count, version, node, more=""):
    """YAML, one route on a few lines; `version` is answered by one of them and stands in another."""
    parts = ["routes:"]
    for i in range(count):
        name = f"v{version}" if i == count // 2 else f"r{i}"
        parts.append(f"  - id: r{i}\n    uri: /s{i // 100}/item{i}/*\n    plugins:\n"
                     f"      proxy-rewrite: {{headers: {{set: {{X-Route: {name}}}}}}}\n"
                     f"    upstream: {{type: roundrobin, nodes: {{'{node}': 1}}}}")
    parts.append(f"  - {{id: version, uri: /version, plugins: {{mocking: {{response_example: v{version}, content_type: text/plain}}}}}}")
    return "\n".join(parts) + "\n" + more


class ManyRoutes(TestCase):
    def start(self, count=ROUTES, workers=2, **more):
        self.up = self.upstream(lambda r, _: ok("up " + (r.get("X-Route") or "")), keep_log=False)
        self.count = count
        self.gw = self.serve(config_text(count, 0, self.up.node), workers=workers, **more)

    def make(self, i):
        """A request for one of the routes; the one that changes may have any version, the others their own name."""
        n = (i * 7919) % self.count
        if i % 5 == 0:
            return request_bytes("GET", "/version"), self.some_version
        want = rb"up v\d+" if n == self.count // 2 else b"up r%d" % n
        return request_bytes("GET", f"/s{n // 100}/item{n}/x"), lambda status, body: (
            None if status == 200 and re.fullmatch(want, body) else f"{status} {body[:100]!r} for r{n}")

    def some_version(self, status, body):
        return None if status == 200 and re.fullmatch(rb"v\d+", body) else f"{status} {body[:100]!r} for a version"

    def load(self, connections=16, pace_s=0.02):
        return Load(self.gw.port, self.make, connections=connections, pace_s=pace_s).start()

    def stalled_turns(self):
        """Turns of the workers' loops that took longer than a stall."""
        over = 0
        for worker in range(2):
            text = self.gw.metrics().body.decode()
            at = re.search(r'moongate_loop_turn_seconds_bucket\{worker="%d",le="1"\} (\d+)' % worker, text)
            total = re.search(r'moongate_loop_turn_seconds_count\{worker="%d"\} (\d+)' % worker, text)
            self.assertTrue(at and total, text)
            over += int(total.group(1)) - int(at.group(1))
        return over

    def assert_clean(self, load):
        self.assertEqual((load.errors[:5], load.mismatches[:5]), ([], []))
        self.assertEqual(load.answered, load.sent)

    def test_an_edit_of_ten_thousand_routes_stalls_nobody_and_is_whole(self):
        self.start()
        load, begun, edits = self.load(), [], 6
        for version in range(1, edits + 1):
            begun.append(len(load.latencies))
            self.gw.apply(config_text(ROUTES, version, self.up.node))
            self.assertEqual({self.gw.get("/version").body for _ in range(8)}, {b"v%d" % version})
            changed = f"/s{ROUTES // 2 // 100}/item{ROUTES // 2}/x"
            self.assertEqual({self.gw.get(changed).body for _ in range(8)}, {b"up v%d" % version})
        load.stop()
        self.assert_clean(load)
        # What a busy machine holds up it does not hold up at each edit.
        slowest = sorted(max(load.latencies[at:end], default=0.0) for at, end in zip(begun, [*begun[1:], len(load.latencies)]))
        self.assertLess(slowest[edits // 2], STALL_S, f"the slowest answers around each edit: {slowest}")
        self.assertLess(self.stalled_turns(), edits)

    def test_every_route_at_once_can_change(self):
        self.start(2000)
        load = self.load()
        other = self.upstream(lambda r, _: ok("up " + (r.get("X-Route") or "")), keep_log=False)
        for version in range(1, 7):
            self.gw.apply(config_text(2000, version, (other if version % 2 else self.up).node))
        load.stop()
        self.assert_clean(load)
        before = self.up.request_count, other.request_count
        self.assertEqual(self.gw.get("/s0/item7/x").body, b"up r7")
        self.assertEqual((self.up.request_count - before[0], other.request_count - before[1]), (1, 0))

    def test_a_fresh_worker_answers_nothing_before_its_snapshot_is_in(self):
        self.start(workers=1)
        for _ in range(5):
            pid = self.gw.worker_pids()[0]
            os.kill(pid, signal.SIGKILL)
            statuses, lock = [], threading.Lock()

            def ask():
                answer = self.gw.get("/s3/item345/x")
                with lock:
                    statuses.append((answer.status, answer.body))
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join(60)
            self.assertEqual(statuses, [(200, b"up r345")] * 8)
            wait_for(lambda: self.gw.worker_pids() not in ([], [pid]), 20, "the next worker")

    def test_a_worker_killed_in_mid_apply_leaves_no_half(self):
        self.start()
        served = 0
        for version in range(1, 9):
            text = config_text(ROUTES, version, self.up.node)
            self.gw.write_config(text)
            done = subprocess.Popen([moongate_bin(), "reload", "-p", self.gw.run_dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            victim = random.choice(self.gw.worker_pids())
            at = time.monotonic() + random.uniform(0.0, 0.3)
            wait_for(lambda: time.monotonic() >= at or done.poll() is not None, 5)
            os.kill(victim, signal.SIGKILL)
            self.assertIn(done.wait(60), (0, 1))
            wait_for(lambda: self.is_settled(victim), 30, "all workers on one snapshot")
            answers = {self.gw.get("/version").body for _ in range(12)}
            self.assertEqual(len(answers), 1, answers)
            changed = self.gw.get(f"/s{ROUTES // 2 // 100}/item{ROUTES // 2}/x").body
            self.assertEqual(changed, b"up " + answers.pop())
            served += done.returncode == 0
        self.assertGreater(served, 0)
        self.gw.apply(config_text(ROUTES, 99, self.up.node))
        self.assertEqual({self.gw.get("/version").body for _ in range(8)}, {b"v99"})

    def is_settled(self, gone):
        workers = self.gw.status()["workers"]
        numbers = {w["snapshot"] for w in workers}
        return len(numbers) == 1 and all(w["state"] == "serving" and w["pid"] != gone for w in workers)


TICKER = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
return {
  version = 0.1, priority = 11000, name = "ticker", schema = { type = "object" },
  check_schema = function() return true end,
  init = function() ngx.timer.every(3600, function() end) end,
  access = function() return 200, { timers = ngx.timer.pending_count() } end,
}
"""


class Endurance(TestCase):
    @full_size
    def test_thousands_of_reloads_leave_no_memory_timers_or_descriptors_behind(self):
        more = ("  - {id: ticker, uri: /ticker, plugins: {ticker: {}}}\n"
                "  - {id: filtered, uri: /filtered, filter_func: 'function(vars) return true end', "
                "plugins: {mocking: {response_example: 'f%d'}}}\n")
        gw = self.serve(config_text(RELOAD_ROUTES, 0, "127.0.0.1:1", more % 0), plugins={"ticker": TICKER}, workers=2)
        load = Load(gw.port, lambda i: (request_bytes("GET", "/version"), lambda status, body: None if status == 200 else f"{status}"),
                    connections=4, pace_s=0.02).start()
        early = None
        slow = []       # p99 of the answers, by parts; the best of several tells of the gateway, the others of the machine, too
        for i in range(1, RELOADS + 1):
            gw.apply(config_text(RELOAD_ROUTES, i, "127.0.0.1:1", more % i))
            self.assertEqual(gw.get("/filtered").body, b"f%d" % i)
            if i == RELOADS // 3:
                early = self.look(gw)
            if i % (RELOADS // PARTS) == 0 and load.latencies:
                slow.append(load.percentile(0.99))
                load.latencies.clear()
        load.stop()
        late = self.look(gw)
        print("early", early, "late", late, "p99 by part", [round(p, 4) for p in slow])
        self.assertEqual((load.errors[:5], load.mismatches[:5]), ([], []))
        if not is_sanitized():      # which keeps what was freed
            self.assertLess(late["memory_kb"] - early["memory_kb"], GROWTH_MAX_KB)
        self.assertLess(late["descriptors"] - early["descriptors"], 20)
        self.assertEqual(late["timers"], early["timers"])
        self.assertLess(min(slow[-PARTS // 3:]), 4 * min(slow[:PARTS // 3]) + 0.1, "answers become slower")

    def look(self, gw):
        timers = {gw.get("/ticker").json()["timers"] for _ in range(8)}
        self.assertEqual(len(timers), 1, timers)
        pids = gw.descendants()
        return {"memory_kb": memory_kb(pids), "descriptors": open_files(pids), "timers": timers.pop()}


if __name__ == "__main__":
    unittest.main()
