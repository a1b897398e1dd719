# SPDX-License-Identifier: Apache-2.0
"""Every request of tests/hostile: the upstream sees exactly one request or none, and the gateway lives on."""

import glob
import os
import re
import unittest

from harness import ROOT, Gateway, TestCase, Upstream, ok, raw, route, sanitized, wait_for

ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rnt0\\])")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def unescape(data):
    return ESCAPE.sub(lambda m: PLAIN.get(m.group(1)) or bytes([int(m.group(1)[1:], 16)]), data)


def decode(lines):
    """The bytes that the lines of a case stand for."""
    text = "".join(lines).encode("latin-1")
    text = re.sub(rb"\{([^{}]+)\*(\d+)\}", lambda m: m.group(1) * int(m.group(2)), text)
    return unescape(text)


def load_cases():
    """(file, name, expectation, bytes) of every case in the corpus."""
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "hostile", "*.txt"))):
        with open(path, encoding="latin-1") as f:
            blocks = f.read().split("=== ")[1:]
        for block in blocks:
            name, expectation, *lines = block.rstrip("\n").split("\n")
            if not expectation.startswith("expect: ") or not lines:
                raise ValueError(f"{path}: {name}: a case needs an `expect:` line and a request")
            yield os.path.basename(path), name, expectation[len("expect: "):], decode(lines)


CASES = list(load_cases())


@sanitized
class Corpus(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.up = Upstream(ok("up"))
        cls.gw = Gateway({"routes": [route("/*", cls.up)]}, workers=1,
                         moongate={"client": {"body_timeout": 2, "header_timeout": 2}})

    @classmethod
    def tearDownClass(cls):
        cls.up.close()
        cls.gw.close()

    def exchange(self, expectation, data):
        """(the answer's status or 0, whether the connection closed, requests at the upstream)"""
        self.up.take()
        self.up.faults.clear()
        # What is refused or cut must close by itself; the rest is given a moment for a second, unwanted answer.
        answer = self.gw.raw(data, quiet_s=None if expectation in ("refused", "cut") else 0.3)
        m = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
        return int(m.group(1)) if m else 0, answer

    def verify(self, expectation, data):
        status, answer = self.exchange(expectation, data)
        requests, faults = list(self.up.requests), list(self.up.faults)
        targets = [r.target for r in requests]
        self.assertFalse([t for t in targets if "smuggled" in t], targets)
        self.assertEqual([f for f in faults if "closed" not in f], [], "the gateway sent the upstream something odd")
        self.assertTrue(answer == b"" or status, f"not an HTTP answer: {answer[:200]!r}")
        is_refusal = status == 0 or 400 <= status < 500 or status in (501, 505)
        kind, _, target = expectation.partition(" ")
        if kind == "refused":
            self.assertEqual(targets, [])
            self.assertTrue(is_refusal, answer[:200])
        elif kind == "cut":
            self.assertLessEqual(len(requests), 1)
            self.assertFalse([r for r in requests if r.is_complete], "the request became complete")
            self.assertTrue(is_refusal or status == 502, answer[:200])
        elif kind == "one":
            self.assertEqual(targets, [target], answer[:300])
            self.assertTrue(requests[0].is_complete)
            self.assertTrue(200 <= status < 400, answer[:200])
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        elif kind == "one-or-refused":
            self.assertLessEqual(len(requests), 1)
            self.assertTrue(is_refusal if not requests else 200 <= status < 400, answer[:200])
        else:
            self.fail(f"unknown expectation {expectation!r}")

    def closes(self, expectation, data):
        """A refused connection is closed: a second request on it is not answered."""
        with self.gw.client(timeout=30.0) as c:
            try:
                c.send(data)
                c.reader.to_end()
            except ConnectionError:
                pass                        # closed while there was unread input: a reset, and closed all the same
            except TimeoutError:
                self.fail("the connection stays open after a refusal")


def add_test(file_name, name, expectation, data):
    def test(self):
        self.verify(expectation, data)
        if expectation in ("refused", "cut"):
            self.closes(expectation, data)
    words = re.sub(r"\W+", "_", f"{file_name[:-4]} {name}").strip("_")
    setattr(Corpus, "test_" + words, test)


for case in CASES:
    add_test(*case)


@sanitized
class Survival(TestCase):
    def test_the_gateway_survives_the_whole_corpus_cut_at_every_length_and_serves_on(self):
        up = self.upstream(ok("up"))
        gw = self.serve({"routes": [route("/*", up)]}, workers=1)
        pids = gw.worker_pids()
        for _, _, _, data in CASES:
            for end in {len(data) // 3, len(data) - 1}:
                raw(gw.port, data[:end], limit_s=0.02, finish=True)
        self.assertEqual(gw.get("/after").status, 200)
        self.assertEqual(gw.worker_pids(), pids, "a worker was replaced")
        self.assertFalse([r for r in up.requests if "smuggled" in r.target])

    def test_two_requests_stay_two_when_bytes_of_the_second_arrive_with_the_first(self):
        up = self.upstream(lambda r, _: ok(r.target))
        gw = self.serve({"routes": [route("/*", up)]}, workers=1)
        first, second = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        for at in range(1, len(second)):
            with gw.client() as c:
                c.send(first + second[:at])
                self.assertEqual(c.read().body, b"/1")
                c.send(second[at:])
                self.assertEqual(c.read().body, b"/2")
        wait_for(lambda: len(up.requests) == 2 * (len(second) - 1), 5)


if __name__ == "__main__":
    unittest.main()
