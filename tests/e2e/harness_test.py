# SPDX-License-Identifier: Apache-2.0
"""The harness itself, without a gateway: it sees exact bytes, and it does not overlook what it is there to find."""

import unittest

from harness import FAULTS, Client, Load, TestCase, WireError, chunked, expect, free_port, ok, raw, request_bytes, wait_for


class Wire(TestCase):
    def test_an_upstream_remembers_the_exact_bytes_of_each_request(self):
        up = self.upstream()
        sent = [b"GET /a?b HTTP/1.1\r\nhost:  x \r\nX-Odd:\ty\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\0\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\n"]
        with Client(up.port) as c:
            for data in sent:
                c.send(data)
                self.assertEqual(c.read().status, 200)
        self.assertEqual([r.raw for r in up.requests], sent)
        self.assertEqual(up.requests[2].trailers, [("T", "1")])

    def test_an_upstream_notes_what_is_wrong_with_a_request(self):
        up = self.upstream()
        raw(up.port, b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", limit_s=0.3)
        wait_for(lambda: up.faults, 5)

    def test_a_client_takes_no_answer_that_is_cut_or_contradictory(self):
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad\r\n\r\n"):
            def talk(_, connection):
                connection.send(answer)
                connection.close()
            up = self.upstream(talk)
            with self.subTest(answer=answer), Client(up.port) as c, self.assertRaises(WireError):
                c.get("/")

    def test_two_free_ports_differ(self):
        self.assertEqual(len({free_port() for _ in range(50)}), 50)


class LoadGenerator(TestCase):
    def load(self, answer, check, is_enough=lambda load: load.answered > 100):
        up = self.upstream(answer, keep_log=False)
        return self.run_until(is_enough, up.port, lambda i: (request_bytes("GET", f"/{i}"), check(i)), connections=8)

    def run_until(self, is_enough, *arguments, **more):
        load = Load(*arguments, **more).start()
        self.addCleanup(load.stop)
        wait_for(lambda: is_enough(load), 10, "enough load")
        return load.stop()

    def test_counts_right_answers_of_both_framings(self):
        for answer in (ok("x"), chunked(b"x"), chunked(b"x", trailers=[("A", "b")])):
            load = self.load(answer, lambda i: expect(200, b"x"))
            self.assertEqual(load.failures(), 0, load.summary())
            self.assertTrue(load.answered == load.sent == load.statuses[200] > 100, load.summary())

    def test_finds_an_answer_meant_for_another_request(self):
        load = self.load(lambda r, c: ok(r.target if c.number != 1 or c.request_count != 3 else "/other"), lambda i: expect(200, b"/%d" % i),
                         lambda load: load.mismatches and load.answered > 100)
        self.assertEqual(len(load.mismatches), 1, load.summary())

    def test_finds_a_status_a_lost_answer_and_bytes_too_many(self):
        self.assertTrue(self.load(ok("x", status="503 No"), lambda i: expect(200, b"x")).mismatches)
        self.load(lambda _, c: c.close(), lambda i: expect(200), lambda load: load.errors)
        self.load(ok("x") + b"junk", lambda i: expect(200, b"x"), lambda load: load.errors)
        self.run_until(lambda load: load.errors, free_port(), lambda i: (request_bytes("GET", "/"), expect(200)), connections=2)


class Faults(TestCase):
    def test_reports_of_sanitizers_and_assertions_are_found_in_logs(self):
        for line in ("==1==ERROR: AddressSanitizer: heap-use-after-free", "a.cpp:3:4: runtime error: signed integer overflow",
                     "[emerg] 1 worker 0: broken promise: x at a.cpp:1", "terminate called without an active exception", "PANIC: unprotected error in call to Lua API"):
            self.assertTrue(FAULTS.search("some log\n" + line + "\nmore"), line)
        self.assertFalse(FAULTS.search("[error] plugin bad: attempt to index a nil value"))


if __name__ == "__main__":
    unittest.main()
