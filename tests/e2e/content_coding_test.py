# SPDX-License-Identifier: Apache-2.0
"""Answers coded for clients (gzip, br, zstd) on their way out, and decoded for plugins that read them."""

import gzip
import random
import re
import subprocess
import threading
import time
import unittest
import zlib

from harness import HOST, TestCase, chunked, memory_kb, need, ok, route, sanitized, wait_for
from http2_wire import Http2Client, head as http2_head

ALL = {"gzip": {"types": "*"}, "brotli": {"types": "*"}, "zstd": {"types": "*"}}
TEXT = b"".join(b"line %d of a text that is like others: %d\n" % (i, i * i % 97) for i in range(30_000))

LATE = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
local _M = { version = 0.1, priority = 50, name = "late", schema = { type = "object" } }
function _M.check_schema() return true end
function _M.log()
  ngx.sleep(0.05)
  core.log.warn("was late")
end
return _M
"""


def decode(coding, body):
    if coding == "gzip":
        return gzip.decompress(body)
    program = need({"br": "brotli", "zstd": "zstd"}[coding])
    return subprocess.run([program, "-d", "-c"], input=body, stdout=subprocess.PIPE, check=True, timeout=60).stdout


class Coding(TestCase):
    def gateway(self, answer, plugins=None, **more):
        self.up = self.upstream(answer)
        return self.serve({"routes": [{**route("/*", self.up), "plugins": plugins or ALL}]}, workers=1, **more)

    def ask(self, gw, coding, method="GET", target="/"):
        answer = gw.request(method, target, {"Accept-Encoding": coding})
        self.assertEqual(answer.get("Content-Encoding"), coding)
        return answer

    @sanitized
    def test_decoders_of_others_read_what_is_sent(self):
        halves = [TEXT[i:i + 9_973] for i in range(0, len(TEXT), 9_973)]
        answers = {"length": ok(TEXT), "chunked": chunked(*halves), "until_close": b"HTTP/1.1 200 OK\r\n\r\n" + TEXT}

        def answer(request, connection):
            connection.send(answers[request.target[1:]])
            if request.target == "/until_close":
                connection.close()
        gw = self.gateway(answer)
        for coding in ("gzip", "br", "zstd"):
            for form in answers:
                with self.subTest(coding=coding, form=form):
                    got = self.ask(gw, coding, target="/" + form)
                    self.assertEqual(decode(coding, got.body), TEXT)
                    self.assertLess(len(got.body), len(TEXT) / 3)

    def test_curl_reads_what_is_sent(self):
        gw = self.gateway(ok(TEXT))
        got = subprocess.run([need("curl"), "-s", "--compressed", f"http://127.0.0.1:{gw.port}/"], stdout=subprocess.PIPE, timeout=60)
        self.assertEqual((got.returncode, got.stdout), (0, TEXT))

    @sanitized
    def test_every_event_arrives_before_the_next_is_sent(self):
        turn, seen = threading.Semaphore(0), 12

        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(seen):
                if not turn.acquire(timeout=120):
                    return
                event = b"data: event %d\n\n" % i
                connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            connection.send(b"0\r\n\r\n")
        gw = self.gateway(answer)
        for accepted in ("identity", "gzip"):
            with self.subTest(accepted=accepted), gw.client() as c:
                c.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n" % accepted.encode())
                c.reader.head()       # comes while the upstream has nothing to say yet
                coder, text = zlib.decompressobj(wbits=31), b""
                for i in range(seen):
                    turn.release()
                    while b"data: event %d\n\n" % i not in text:
                        size = int(c.reader.until(b"\r\n"), 16)
                        piece = c.reader.exactly(size + 2)[:-2]
                        text += piece if accepted == "identity" else coder.decompress(piece)
                self.assertEqual(text.count(b"data:"), seen)

    @sanitized
    def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(self):
        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(TEXT), TEXT))
            connection.close()
        gw = self.gateway(answer)
        for coding in ("gzip", "br", "zstd"):
            with self.subTest(coding=coding):
                got = gw.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: %s\r\n\r\n" % coding.encode())
                self.assertTrue(got.startswith(b"HTTP/1.1 502 ") or not got.endswith(b"0\r\n\r\n"), got[-100:])

    @sanitized
    def test_clients_of_http2_get_what_they_take_and_old_ones_nothing_coded(self):
        gw = self.gateway(ok(TEXT), listen=[{"address": f"{HOST}:PORT", "http2": True}])
        with Http2Client(gw.port) as client:
            for coding in ("gzip", "br", "zstd"):
                with self.subTest(coding=coding):
                    got = client.fetch(http2_head(more=[("accept-encoding", coding)]))
                    self.assertEqual((got.status, got.get("content-encoding"), got.get("vary")), (200, coding, "Accept-Encoding"))
                    self.assertEqual(decode(coding, got.body), TEXT)
        with gw.client() as client:
            got = client.request("GET", "/", {"Accept-Encoding": "gzip"}, version="1.0")
            self.assertEqual((got.get("Content-Encoding"), got.get("Vary"), got.body), (None, "Accept-Encoding", TEXT))

    @sanitized
    def test_a_tag_is_as_weak_as_that_of_the_answer_it_speaks_of(self):
        def answer(request, _):
            kind = [("Content-Type", request.get("X-Type"))] if request.get("X-Type") else []
            fields = [("ETag", '"tag"'), *kind]
            if request.get("If-None-Match"):
                return ok(b"", "304 Not Modified", fields, length=False)
            if request.method == "HEAD":
                return ok(b"", headers=[*fields, ("Content-Length", request.get("X-Size", "1000"))], length=False)
            return ok(b"x" * 1000, headers=fields)
        gw = self.gateway(answer, {"gzip": {"types": ["text/plain"], "min_length": 100}})
        text, image = {"X-Type": "text/plain"}, {"X-Type": "image/png"}
        strong, weak = {"If-None-Match": '"tag"'}, {"If-None-Match": 'W/"tag"'}
        for method, asked, coded, uncoded in (
                ("GET", text, True, False), ("GET", image, False, False), ("HEAD", text, True, False), ("HEAD", image, False, False),
                ("HEAD", {**text, "X-Size": "99"}, False, False), ("GET", {**text, **strong}, True, False), ("GET", {**text, **weak}, True, False),
                ("GET", {**image, **strong}, False, False), ("GET", strong, False, False), ("GET", weak, True, False)):
            for accepted, wanted in (("gzip", coded), ("identity", uncoded)):
                with self.subTest(method=method, asked=asked, accepted=accepted):
                    got = gw.request(method, "/", {**asked, "Accept-Encoding": accepted})
                    self.assertEqual(got.get("ETag"), 'W/"tag"' if wanted else '"tag"')
                    self.assertEqual(got.status, 304 if "If-None-Match" in asked else 200)

    @sanitized
    def test_plugins_that_change_the_body_see_it_in_clear(self):
        gw = self.gateway(chunked(b"one two ", b"three"), {**ALL, "response-rewrite": {"filters": [{"regex": "two", "replace": "2" * 100}]}})
        for coding in ("gzip", "br", "zstd"):
            self.assertEqual(decode(coding, self.ask(gw, coding).body), b"one " + b"2" * 100 + b" three")

    @sanitized
    def test_errors_of_the_gateway_are_coded_too(self):
        up = self.upstream(lambda _r, c: c.reset())
        gw = self.serve({"routes": [{**route("/*", up), "plugins": ALL}]}, workers=1)
        got = self.ask(gw, "gzip")
        self.assertEqual(got.status, 502)
        self.assertIn(b"error_msg", gzip.decompress(got.body))

    def test_coders_beyond_the_memory_for_them_are_done_without(self):
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(request, connection):
            if request.target == "/hold":
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                gate.wait(120)
                return b"0\r\n\r\n"
            return ok(TEXT)
        gw = self.gateway(answer, {"gzip": {"types": "*"}}, moongate={"client": {"coding_memory_mb": 1}})
        held = []
        for _ in range(4):      # four coders of gzip do not fit into a megabyte
            c = gw.client()
            self.addCleanup(c.close)
            c.send(b"GET /hold HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            held.append(c.reader.head()[1].get("Content-Encoding"))
        self.assertEqual(held, ["gzip", "gzip", "gzip", None])
        got = gw.get("/", {"Accept-Encoding": "gzip"})
        self.assertEqual((got.get("Content-Encoding"), got.body), (None, TEXT))
        self.assertEqual(gw.log_text().count("client.coding_memory_mb"), 1)
        gate.set()
        wait_for(lambda: gw.get("/", {"Accept-Encoding": "gzip"}).get("Content-Encoding") == "gzip", 10, "a coder to be free")

    def test_a_slow_reader_holds_the_upstream_back(self):
        noise = random.Random(1).randbytes(1024 * 1024)      # does not get smaller, and 40 MB fit into no socket
        sent = []

        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(noise) * 40))
            for i in range(40):
                connection.send(noise)
                sent.append(i)
        gw = self.gateway(answer, {"gzip": {"types": "*"}})
        before = memory_kb(gw.worker_pids())
        with gw.client(timeout=60) as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            c.reader.head()
            coder, size = zlib.decompressobj(wbits=31), 0
            grown = memory_kb(gw.worker_pids()) - before
            self.assertLess(len(sent), 35)
            while True:
                length = int(c.reader.until(b"\r\n"), 16)
                piece = c.reader.exactly(length + 2)[:-2]
                c.reader.log = bytearray()
                if length == 0:
                    break
                size += len(coder.decompress(piece))
                grown = max(grown, memory_kb(gw.worker_pids()) - before) if size % 10 == 0 else grown
        self.assertEqual(size, len(noise) * 40)
        self.assertLess(grown, 16 * 1024)

    @sanitized
    def test_clients_that_reset_while_their_answer_is_coded_end_it_and_nothing_else(self):
        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                connection.send(b"%x\r\n%s\r\n" % (len(TEXT), TEXT))
        up = self.upstream(answer, keep_log=False)
        # Every slice that is coded is written, and the log phase outlives the client.
        plugins = {"gzip": {"types": "*", "comp_level": 9, "buffers": {"number": 1, "size": 1}}, "late": {}}
        gw = self.serve({"routes": [{**route("/*", up), "plugins": plugins}]}, workers=1, plugins={"late": LATE})
        pids, rounds = gw.worker_pids(), 60
        chance = random.Random(7)
        for _ in range(rounds):
            with gw.client() as c:
                c.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
                c.reader.head()
                time.sleep(chance.random() * 0.03)
                c.reset()
        wait_for(lambda: gw.log_text().count("was late") == rounds, 30, "every log phase")
        self.assertEqual(gw.worker_pids(), pids)


@sanitized
class Decoding(TestCase):
    FILTERS = {"response-rewrite": {"filters": [{"regex": "secret", "replace": "public"}]}}

    def answers(self, coding, body):
        up = self.upstream(ok(body, headers=[("Content-Encoding", coding), ("Content-Type", "text/html")]))
        gw = self.serve({"routes": [{**route("/*", up), "plugins": {**self.FILTERS, "gzip": {}}}]}, workers=1)
        return gw, lambda **headers: gw.get("/", headers)

    def test_filters_read_coded_answers(self):
        plain = b"a secret text, " * 50
        wanted = plain.replace(b"secret", b"public", 1)
        bodies = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain)}
        for coding, program in (("br", "brotli"), ("zstd", "zstd")):
            bodies[coding] = subprocess.run([need(program), "-c"], input=plain, stdout=subprocess.PIPE, timeout=60).stdout
        for coding, body in bodies.items():
            with self.subTest(coding=coding):
                gw, ask = self.answers(coding, body)
                got = ask()
                self.assertEqual((got.get("Content-Encoding"), got.body), (None, wanted))
                got = ask(**{"Accept-Encoding": "gzip"})       # and coded again for who takes it so
                self.assertEqual((got.get("Content-Encoding"), gzip.decompress(got.body)), ("gzip", wanted))
                gw.close()

    def test_an_answer_over_max_resp_body_size_never_looks_whole(self):
        conf = {"response-rewrite": {"filters": [{"regex": "a", "replace": "b"}], "max_resp_body_size": 1000}}
        gate = threading.Semaphore(0)

        def answer(request, connection):
            size = int(request.target[1:])
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"a" * 900)
            gate.acquire(timeout=60)
            return b"a" * (size - 900)
        up = self.upstream(answer)
        gw = self.serve({"routes": [{**route("/*", up), "plugins": conf}]}, workers=1, listen=[{"address": f"{HOST}:PORT", "http2": True}])
        for size in (1000, 1001, 5000):
            with self.subTest(size=size):
                with gw.client() as c:
                    c.send(b"GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
                    c.reader.until(b"\r\n\r\n")     # sent while the upstream's body is still coming
                    gate.release()
                    got = c.reader.to_end()
                    if size == 1000:
                        self.assertEqual(got, b"3e8\r\nb" + b"a" * 999 + b"\r\n0\r\n\r\n")
                    else:
                        self.assertEqual(got, b"")
                with Http2Client(gw.port) as c:
                    gate.release()
                    answered = c.fetch(http2_head(path=f"/{size}"))
                    self.assertEqual((answered.status == 200 and answered.is_ended, answered.reset), (size == 1000, None if answered.is_ended else 2))
        self.assertIn("longer than max_resp_body_size, 1000 bytes", gw.log_text())

    def test_one_that_came_at_once_is_500_where_it_is_too_long(self):
        up = self.upstream(ok(b"a" * 2000))
        conf = {"response-rewrite": {"filters": [{"regex": "a", "replace": "b"}], "max_resp_body_size": 1000}}
        gw = self.serve({"routes": [{**route("/*", up), "plugins": conf}]}, workers=1)
        self.assert_error(gw.get("/"), 500)

    def test_a_bomb_ends_its_answer_and_says_so(self):
        gw, ask = self.answers("gzip", gzip.compress(bytes(30_000_000)))
        got = ask()
        self.assertEqual(got.status, 500)
        gw.wait_log(re.compile("the upstream's answer cannot be decoded: the body, decoded from gzip, is larger than 200 times what was sent"))

    def test_a_broken_body_is_never_passed_on_as_plain_text(self):
        gw, ask = self.answers("gzip", gzip.compress(b"a secret text" * 100)[:-9])
        got = ask()
        self.assertEqual(got.status, 500)
        gw.wait_log("the body is no valid gzip: it ends too early")

    def test_a_coding_nobody_knows_is_left_alone(self):
        _gw, ask = self.answers("compress", b"a secret text")
        got = ask()
        self.assertEqual((got.get("Content-Encoding"), got.body), ("compress", b"a secret text"))


if __name__ == "__main__":
    unittest.main()
