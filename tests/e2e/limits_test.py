# SPDX-License-Identifier: Apache-2.0
"""Limits hold whatever happens: many clients at once, a window's edge, reloads, deaths of workers, set clocks."""

import os
import signal
import threading
import unittest

from clock import Clock
from harness import TestCase, ok, request, route, sanitized, wait_for

COUNT, WINDOW_S = 40, 60


@sanitized
class LimitCount(TestCase):
    def start(self, name="limit-count", conf=None, workers=2):
        up = self.upstream(ok("in"), keep_log=False)
        conf = conf or {"count": COUNT, "time_window": WINDOW_S, "key": "remote_addr", "rejected_code": 429}
        self.config = {"routes": [{"id": "limited", **route("/*", up, plugins={name: conf})}]}
        self.clock = Clock(self)
        self.gw = self.serve(self.config, workers=workers, env=self.clock.env)

    def admitted(self, requests, clients=8):
        """How many of that many requests at once are let in; every other must be refused with 429."""
        counts, lock = {}, threading.Lock()

        def ask(n):
            for _ in range(n):
                status = request(self.gw.port, "GET", "/", {"Connection": "close"}).status
                with lock:
                    counts[status] = counts.get(status, 0) + 1
        threads = [threading.Thread(target=ask, args=(requests // clients,)) for _ in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertLessEqual(set(counts), {200, 429}, counts)
        return counts.get(200, 0)

    def test_many_clients_of_two_workers_get_exactly_the_count(self):
        self.start()
        self.assertEqual(self.admitted(4 * COUNT), COUNT)
        self.assertEqual(self.admitted(COUNT), 0)

    def test_at_the_edge_of_a_window_each_window_gets_its_count_and_no_more(self):
        self.start()
        self.assertEqual(self.admitted(COUNT), COUNT)
        self.clock.advance(WINDOW_S - 1)    # the last second: still the same window
        self.assertLessEqual(self.admitted(COUNT), COUNT)
        self.clock.advance(WINDOW_S + 1)
        self.assertEqual(self.admitted(2 * COUNT), COUNT)

    def test_a_calendar_that_is_set_back_or_ahead_neither_opens_nor_closes_a_limit(self):
        self.start()
        self.assertEqual(self.admitted(COUNT // 2, clients=4), COUNT // 2)
        for seconds in (-WINDOW_S, 7200, -86400, 10 * 86400, -20 * 365 * 86400):
            self.clock.set_calendar(seconds)
            self.assertEqual(request(self.gw.port, "GET", "/", {"Connection": "close"}).status, 200, seconds)
        self.assertEqual(self.admitted(4 * COUNT), COUNT // 2 - 5)
        self.clock.advance(WINDOW_S + 1)
        self.assertEqual(self.admitted(2 * COUNT), COUNT)

    def test_what_is_spent_stays_spent_over_reloads_and_deaths_of_workers(self):
        self.start()
        self.assertEqual(self.admitted(COUNT), COUNT)
        self.config["routes"].append({"id": "other", "uri": "/other", "plugins": {"mocking": {"response_example": "o"}}})
        self.gw.apply(self.config)
        self.assertEqual(self.admitted(COUNT), 0)
        for pid in self.gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(self.gw.worker_pids()) == 2, 20, "new workers")
        self.assertEqual(self.admitted(COUNT), 0)

    def set_about(self):
        """The calendar back and ahead, each time with a request, so that every step is seen."""
        for seconds in (-3600, 7200, -86400, 30 * 86400):
            self.clock.set_calendar(seconds)
            self.assertEqual(request(self.gw.port, "GET", "/", {"Connection": "close"}).status, 429, seconds)

    def test_a_bucket_admits_what_it_holds_whatever_the_calendar_says(self):
        self.start("rate-limiting", {"rate": 0.01, "burst": COUNT})
        self.assertEqual(self.admitted(4 * COUNT), COUNT)
        self.set_about()
        self.clock.advance(1000)        # ten tokens
        self.assertEqual(self.admitted(COUNT), 10)

    def test_a_sliding_window_admits_its_rate_whatever_the_calendar_says(self):
        self.start("sliding-window-rate-limit", {"rate": COUNT, "window_size": WINDOW_S})
        self.assertEqual(self.admitted(4 * COUNT), COUNT)
        self.set_about()
        self.clock.advance(2 * WINDOW_S + 1)
        self.assertEqual(self.admitted(2 * COUNT), COUNT)


if __name__ == "__main__":
    unittest.main()
