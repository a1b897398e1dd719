# SPDX-License-Identifier: Apache-2.0
"""Processes: what dies is replaced, what is told to stop drains, and nobody's request pays for it."""

import os
import signal
import threading
import unittest

from harness import (Gateway, Load, TestCase, expect, free_port, get, moongate, moongate_bin, ok, request_bytes, route, sanitized,
                     start_process, wait_for)

ANSWER = {"id": "a", "uri": "/*", "plugins": {"mocking": {"response_example": "x" * 100, "content_type": "text/plain"}}}


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Crashes(TestCase):
    KILLS = 6  # each is replaced later than the one before: a worker that dies young waits

    def steady_load(self, gw, connections=32):
        """Under load: new connections for each request, so that only the killed worker's own requests may fail."""
        load = Load(gw.port, lambda i: (request_bytes("GET", f"/{i}", {"Connection": "close"}), expect(200, b"x" * 100)),
                    connections=connections, pace_s=0.005)
        return load.start()

    def test_a_worker_killed_under_load_is_replaced_and_costs_its_own_requests_only(self):
        gw = self.serve({"routes": [ANSWER]}, workers=2)
        load = self.steady_load(gw)
        for _ in range(self.KILLS):
            seen, victim = load.answered, gw.worker_pids()[0]
            wait_for(lambda: load.answered > seen + 50, 30, "load going on")
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: not is_alive(victim) and len(gw.worker_pids()) == 2 and victim not in gw.worker_pids(), 10, "a replacement")
        load.stop()
        self.assertEqual(load.mismatches, [])
        self.assertLessEqual(len(load.errors), self.KILLS * 32, load.summary())
        self.assertFalse([e for e in load.errors if e.startswith("connect")], "a connection was refused")

    def test_every_worker_killed_at_once_comes_back(self):
        gw = self.serve({"routes": [ANSWER]}, workers=3)
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(gw.worker_pids()) == 3, 10)
        self.assertEqual(gw.get("/").status, 200)

    def test_a_worker_killed_while_it_changes_shared_counters_leaves_them_usable(self):
        limit = {"limit-count": {"count": 10 ** 9, "time_window": 60, "rejected_code": 429}}
        up = self.upstream(ok("y"), keep_log=False)
        gw = self.serve({"routes": [route("/*", up, plugins=limit)]}, workers=2)
        load = Load(gw.port, lambda i: (request_bytes("GET", "/", {"Connection": "close"}), expect(200)), connections=16).start()
        for _ in range(self.KILLS):
            seen = load.answered
            wait_for(lambda: load.answered > seen + 50, 30, "load going on")
            os.kill(gw.worker_pids()[0], signal.SIGKILL)
            wait_for(lambda: len(gw.worker_pids()) == 2, 10)
        load.stop()
        self.assertEqual(load.mismatches, [])
        first, second = (int(gw.get("/").get("X-RateLimit-Remaining")) for _ in range(2))
        self.assertEqual(first - second, 1)

    def test_control_killed_is_replaced_and_changes_still_apply(self):
        gw = self.serve({"routes": [ANSWER]})
        workers = gw.worker_pids()
        others = [p for p in gw.descendants() if p not in workers]
        self.assertEqual(len(others), 1, "one process beside the workers")
        os.kill(others[0], signal.SIGKILL)
        self.assertEqual(gw.get("/").status, 200)
        changed = {**ANSWER, "plugins": {"mocking": {"response_example": "new", "content_type": "text/plain"}}}
        gw.write_config({"routes": [changed]})
        wait_for(lambda: gw.get("/").body == b"new", 15, "the change")
        self.assertEqual(gw.worker_pids(), workers, "workers were replaced although only control died")

    def test_no_child_outlives_the_supervisor(self):
        gw = self.serve({"routes": [ANSWER]})
        children = gw.descendants()
        gw.send_signal(signal.SIGKILL)
        gw.process.wait(60)
        wait_for(lambda: not any(is_alive(p) for p in children), 15, "the children ending")
        gw.start()                          # the stale pid file and sockets do not stand in the way
        self.assertEqual(gw.get("/").status, 200)


@sanitized
class Stopping(TestCase):
    def slow(self):
        """(gateway, release event, thread with a request under way, its answers)"""
        release, got = threading.Event(), []
        self.addCleanup(release.set)
        up = self.upstream(lambda *_: release.wait(120) and ok("finished"))
        gw = self.serve({"routes": [route("/*", up)]})
        thread = threading.Thread(target=lambda: got.append(gw.get("/")))
        thread.start()
        up.wait_requests(1)
        return gw, release, thread, got

    def test_quit_lets_requests_finish_and_takes_no_new_ones(self):
        gw, release, thread, got = self.slow()
        gw.send_signal(signal.SIGQUIT)

        def refused():
            try:
                gw.client(timeout=1.0).close()
                return False
            except OSError:
                return True
        wait_for(refused, 10, "new connections being refused")
        self.assertIsNone(gw.process.poll())
        release.set()
        thread.join(60)
        self.assertEqual(got[0].body, b"finished")
        self.assertEqual(gw.wait_end(), 0)

    def test_the_stop_command_drains_and_returns_when_it_is_over(self):
        gw, release, thread, got = self.slow()
        done = []
        stopper = threading.Thread(target=lambda: done.append(gw.run("stop")))
        stopper.start()
        release.set()
        thread.join(60)
        stopper.join(60)
        self.assertEqual((got[0].body, done[0].returncode), (b"finished", 0))
        self.assertEqual(gw.wait_end(), 0)

    def test_stop_now_does_not_wait(self):
        gw, release, thread, got = self.slow()
        self.assertEqual(gw.run("stop", "--now").returncode, 0)
        self.assertEqual(gw.wait_end(), 0)
        release.set()
        thread.join(60)

    def test_a_drain_ends_idle_keepalive_connections(self):
        gw = self.serve({"routes": [ANSWER]})
        with gw.client() as c:
            c.get("/")
            gw.send_signal(signal.SIGQUIT)
            self.assertTrue(c.is_closed(10))
        self.assertEqual(gw.wait_end(), 0)

    def test_term_and_int_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            gw = self.serve({"routes": [ANSWER]})
            gw.send_signal(number)
            self.assertEqual(gw.wait_end(), 0)

    def test_nothing_stays_behind(self):
        gw = self.serve({"routes": [ANSWER]})
        pids = [gw.pid, *gw.descendants()]
        gw.stop()
        self.assertFalse([p for p in pids if is_alive(p)])
        self.assertEqual([n for n in os.listdir(gw.run_dir) if n.endswith((".pid", ".sock"))], [])


@sanitized
class Starting(TestCase):
    def test_a_second_start_in_the_same_folder_is_refused(self):
        gw = self.serve({"routes": [ANSWER]})
        second = moongate(*gw.arguments()[1:], limit_s=60)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn(str(gw.pid), second.stdout + second.stderr)
        self.assertEqual(gw.get("/").status, 200)

    def test_a_port_in_use_is_named(self):
        gw = self.serve({"routes": [ANSWER]})
        other = Gateway({"routes": [ANSWER]}, port=gw.port, start=False)
        self.addCleanup(other.close)
        done = moongate(*other.arguments()[1:], limit_s=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(gw.port), done.stdout + done.stderr)

    def test_commands_say_when_nothing_runs(self):
        gw = Gateway({"routes": []}, start=False)
        self.addCleanup(gw.close)
        for command in ("reload", "stop", "status", "rollback"):
            done = gw.run(command)
            self.assertEqual(done.returncode, 1, command)
            self.assertTrue(done.stderr.strip(), command)

    def test_a_single_process_serves_with_workers_0(self):
        gw = self.serve({"routes": [ANSWER]}, workers=0)
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(gw.descendants(), [])

    def test_version_and_help_answer(self):
        self.assertRegex(moongate("version").stdout, r"\d+\.\d+\.\d+")
        self.assertIn("start", moongate("--help").stdout)

    def test_echo_answers_with_the_request(self):
        port = free_port()
        process = start_process([moongate_bin(), "echo", "--listen", f"127.0.0.1:{port}"], os.devnull)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def there():
            try:
                return get(port, "/some/path?a=b", {"X-A": "1"})
            except OSError:
                return None
        said = wait_for(there, 10).body
        self.assertIn(b"/some/path", said)
        self.assertIn(b"x-a", said)


if __name__ == "__main__":
    unittest.main()
