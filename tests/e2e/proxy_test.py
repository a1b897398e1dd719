# SPDX-License-Identifier: Apache-2.0
"""The data path: what arrives at the upstream and at the client, byte for byte, in every way HTTP/1 has of saying it."""

import hashlib
import os
import socket
import struct
import threading
import time
import unittest

from clock import Clock
from harness import (HOST, Client, Gateway, TestCase, chunked, elapsed, free_port, ok, request_bytes, route,
                     sanitized, wait_for)
from http2_wire import Http2Client
from wire import ClosedError, WireError, can_bind


@sanitized
class Keepalive(TestCase):
    def test_serves_many_requests_on_one_client_connection(self):
        gw, up = self.proxy()
        with gw.client() as c:
            for i in range(50):
                self.assertEqual(c.get(f"/{i}").body, b"ok")
        self.assertEqual([r.target for r in up.requests], [f"/{i}" for i in range(50)])

    def test_reuses_upstream_connections(self):
        gw, up = self.proxy(workers=1)
        for i in range(20):
            self.assertEqual(gw.get(f"/{i}").status, 200)
        self.assertEqual(up.connection_count, 1)

    def test_closes_after_connection_close(self):
        gw, _ = self.proxy()
        with gw.client() as c:
            r = c.get("/", {"Connection": "close"})
            self.assertEqual(r.get("Connection", "").lower(), "close")
            self.assertTrue(c.is_closed())

    def test_closes_after_keepalive_requests(self):
        gw, _ = self.proxy(moongate={"client": {"keepalive_requests": 3}})
        with gw.client() as c:
            self.assertNotEqual(c.get("/").get("Connection"), "close")
            c.get("/")
            self.assertEqual(c.get("/").get("Connection"), "close")
            self.assertTrue(c.is_closed())

    def test_answers_pipelined_requests_in_order(self):
        def answer(request, _):
            return ok(request.target)
        gw, _ = self.proxy(answer)
        with gw.client() as c:
            c.send(b"".join(request_bytes("GET", f"/{i}") for i in range(30)))
            self.assertEqual([c.read().body for _ in range(30)], [b"/%d" % i for i in range(30)])

    def test_answers_a_pipelined_post_between_gets_in_order(self):
        gw, _ = self.proxy(lambda r, _: ok(f"{r.method} {len(r.body)}"))
        with gw.client() as c:
            c.send(request_bytes("GET", "/") + request_bytes("POST", "/", body=b"x" * 5000) + request_bytes("GET", "/"))
            self.assertEqual([c.read().body for _ in range(3)], [b"GET 0", b"POST 5000", b"GET 0"])

    def test_does_not_mix_up_answers_of_two_clients_on_shared_upstream_connections(self):
        gw, _ = self.proxy(lambda r, _: ok(r.target))
        a, b = gw.client(), gw.client()
        with a, b:
            for i in range(100):
                self.assertEqual(a.get(f"/a{i}").body, b"/a%d" % i)
                self.assertEqual(b.get(f"/b{i}").body, b"/b%d" % i)

    def test_accepts_a_head_that_arrives_byte_by_byte(self):
        gw, up = self.proxy()
        with gw.client() as c:
            for byte in request_bytes("GET", "/slow", {"X-A": "1"}):
                c.send(bytes([byte]))
            self.assertEqual(c.read().status, 200)
        self.assertEqual(up.last().target, "/slow")

    def test_skips_empty_lines_before_a_request(self):
        gw, _ = self.proxy()
        with gw.client() as c:
            c.send(b"\r\n" + request_bytes("GET", "/"))
            self.assertEqual(c.read().status, 200)


@sanitized
class Bodies(TestCase):
    def test_forwards_a_body_with_a_length_unchanged(self):
        gw, up = self.proxy()
        body = os.urandom(100_000)
        self.assertEqual(gw.request("POST", "/", body=body).status, 200)
        self.assertEqual(up.last().body, body)
        self.assertEqual(up.last().get("Content-Length"), "100000")

    def test_forwards_a_chunked_request(self):
        gw, up = self.proxy()
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"one", b"two", b"three"):
                c.send(b"%x\r\n%s\r\n" % (len(part), part))
            c.send(b"0\r\n\r\n")
            self.assertEqual(c.read().status, 200)
        self.assertEqual(up.last().body, b"onetwothree")

    def test_forwards_a_chunked_answer_as_it_comes(self):
        first_seen = threading.Event()

        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            first_seen.wait(120)
            return b"6\r\nsecond\r\n0\r\n\r\n"
        gw, _ = self.proxy(answer)
        with gw.client() as c:
            c.send(request_bytes("GET", "/"))
            c.reader.until(b"first")       # arrives although the upstream has not ended
            first_seen.set()
            self.assertIn(b"second", c.reader.until(b"0\r\n\r\n"))

    def test_forwards_request_trailers_or_drops_them_but_never_as_fields(self):
        gw, up = self.proxy()
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"2\r\nab\r\n0\r\nX-Sum: 9\r\nContent-Length: 5\r\nHost: evil\r\n\r\n")
            self.assertEqual(c.read().status, 200)
            self.assertEqual(c.get("/next").status, 200)
        first = up.requests[0]
        self.assertEqual((first.body, first.fields.get_all("Host")), (b"ab", ["a"]))
        self.assertIsNone(first.get("X-Sum"))
        self.assertNotIn("Content-Length", first.trailers)
        self.assertNotIn("Host", first.trailers)

    def test_forwards_answer_trailers_to_a_client_that_takes_them(self):
        gw, _ = self.proxy(chunked(b"data", headers=[("Trailer", "X-Sum")], trailers=[("X-Sum", "42")]))
        r = gw.get("/", {"TE": "trailers", "Connection": "TE"})
        self.assertEqual((r.body, r.trailers.get("X-Sum")), (b"data", "42"))

    def test_trailers_of_an_answer_that_a_plugin_broke_are_not_sent_behind_the_error(self):
        fails = """local _M = {version = 0.1, priority = 10, name = "fails", schema = {type = "object"}}
                   function _M.body_filter() if ngx.arg[2] then error("at the end") end end
                   return _M"""
        gw, _ = self.proxy(chunked(b"data", trailers=[("X-Sum", "42")]), route_more={"plugins": {"fails": {}}}, plugins={"fails": fails},
                           listen=[{"address": f"{HOST}:PORT", "http2": True}])
        r = gw.get("/", {"TE": "trailers", "Connection": "TE"})
        self.assert_error(r, 500)
        self.assertEqual((list(r.trailers), r.get("Content-Length")), ([], str(len(r.body))))
        with Http2Client(gw.port) as client:
            answer = client.fetch()
        self.assertEqual((answer.status, answer.trailers, answer.is_ended), (500, None, True))

    def test_ends_an_answer_without_a_length_when_the_upstream_closes(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            connection.close()
        gw, _ = self.proxy(answer)
        self.assertEqual(gw.get("/").body, b"until the end")

    def test_tells_an_http_1_0_client_the_end_by_closing(self):
        gw, _ = self.proxy(chunked(b"part", b"s"))
        with gw.client() as c:
            r = c.request("GET", "/", version="1.0")
            self.assertIsNone(r.get("Transfer-Encoding"))
            self.assertEqual(r.body, b"parts")
            self.assertTrue(c.is_closed())

    def test_keeps_an_http_1_0_connection_that_asks_for_it(self):
        gw, _ = self.proxy()
        with gw.client() as c:
            r = c.request("GET", "/", {"Connection": "keep-alive"}, version="1.0")
            self.assertEqual(r.get("Connection", "").lower(), "keep-alive")
            self.assertEqual(c.request("GET", "/", {"Connection": "keep-alive"}, version="1.0").status, 200)

    def test_answers_head_without_a_body_and_keeps_the_connection(self):
        gw, up = self.proxy(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        with gw.client() as c:
            r = c.request("HEAD", "/")
            self.assertEqual((r.status, r.get("Content-Length")), (200, "1234"))
            self.assertEqual(c.request("HEAD", "/again").status, 200)
        self.assertEqual(up.connection_count, 1)

    def test_passes_204_and_304_without_a_body(self):
        gw, up = self.proxy(lambda r, _: b"HTTP/1.1 %s X\r\nETag: \"e\"\r\n\r\n" % r.target[1:].encode())
        with gw.client() as c:
            for status in (204, 304):
                r = c.get(f"/{status}")
                self.assertEqual((r.status, r.body, r.get("ETag")), (status, b"", '"e"'))
                self.assertIsNone(r.get("Transfer-Encoding"))
            self.assertEqual(c.get("/204").status, 204)

    def test_cuts_the_client_off_when_the_upstream_closes_within_a_body(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            connection.close()
        gw, _ = self.proxy(answer)
        with self.assertRaises(WireError):
            gw.get("/")
        self.assertEqual(gw.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").count(b"HTTP/1.1"), 1)

    def test_cuts_the_client_off_when_the_upstream_closes_within_chunks(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            connection.close()
        gw, _ = self.proxy(answer)
        with self.assertRaises(WireError):
            gw.get("/")

    def test_ignores_bytes_that_follow_a_complete_answer(self):
        def answer(_, connection):
            connection.send(ok("good") + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
        gw, _ = self.proxy(answer, workers=1)
        for _ in range(5):
            self.assertEqual(gw.get("/").body, b"good")

    def test_answers_early_while_the_body_is_still_coming(self):
        def at_head(_, connection):
            connection.send(ok("no thanks", status="413 Content Too Large", headers=[("Connection", "close")]))
            connection.wait_closed_by_peer()
            connection.close()
        gw, _ = self.proxy(at_head=at_head)
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
            self.assertEqual(c.read().status, 413)


class LargeBodies(TestCase):
    SIZE = 50 * 1024 * 1024

    def memory_mb(self, gw):
        total = 0
        for pid in gw.worker_pids():
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        return total / 1024

    def test_uploads_50_mb_in_bounded_memory_to_an_upstream_that_is_slow_to_start(self):
        release, digest = threading.Event(), hashlib.sha256()

        def at_head(request, connection):
            release.wait(120)
            left = int(request.get("Content-Length"))
            while left:
                if not connection.reader.buffer:
                    connection.reader.fill(1 << 20)
                digest.update(connection.reader.buffer)
                left -= len(connection.reader.buffer)
                connection.reader.buffer.clear()
                connection.reader.log.clear()
            connection.send(ok(digest.hexdigest()))
            connection.wait_closed_by_peer()
            connection.close()
        gw, _ = self.proxy(at_head=at_head, workers=1)
        before = self.memory_mb(gw)
        block, expected, sent = os.urandom(1 << 20), hashlib.sha256(), 0
        with gw.client(timeout=60) as c:
            c.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {self.SIZE}\r\n\r\n".encode())
            c.sock.settimeout(1.0)
            try:                            # until everything between here and the upstream is full
                while sent < self.SIZE:
                    sent += c.sock.send(block[sent % len(block):])
            except socket.timeout:
                pass
            self.assertLess(sent, self.SIZE, "the gateway took everything in although the upstream read nothing")
            self.assertLess(self.memory_mb(gw) - before, 24)
            release.set()
            c.sock.settimeout(60)
            while sent < self.SIZE:
                sent += c.sock.send(block[sent % len(block):])
            expected.update(block * (self.SIZE // len(block)))
            self.assertEqual(c.read().body.decode(), expected.hexdigest())

    def test_downloads_50_mb_in_bounded_memory_to_a_client_that_is_slow_to_read(self):
        block, sent = os.urandom(1 << 20), []

        def answer(_, connection):
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {self.SIZE}\r\n\r\n".encode())
            for _ in range(self.SIZE // len(block)):
                connection.send(block)
                sent.append(1)
        gw, _ = self.proxy(answer, workers=1)
        before = self.memory_mb(gw)
        with gw.client(timeout=60) as c:
            c.send(request_bytes("GET", "/"))
            c.reader.fill(1000)
            counts = []

            def stalled():                  # the upstream can send no more while nobody reads here
                counts.append(len(sent))
                return len(counts) > 20 and counts[-20] == counts[-1]
            wait_for(stalled, 30, "backpressure at the upstream")
            self.assertLess(len(sent), self.SIZE // len(block), "the gateway took everything in although nobody read")
            self.assertLess(self.memory_mb(gw) - before, 24)
            r = c.read()
        self.assertEqual(hashlib.sha256(r.body).digest(), hashlib.sha256(block * (self.SIZE // len(block))).digest())

    def test_serves_others_while_a_client_does_not_read(self):
        gw, _ = self.proxy(lambda r, _: ok(b"x" * 20_000_000 if r.target == "/big" else b"small"), workers=1)
        with gw.client() as slow:
            slow.send(request_bytes("GET", "/big"))
            slow.reader.fill(100)
            for _ in range(20):
                seconds, r = elapsed(lambda: gw.get("/small"))
                self.assertEqual(r.body, b"small")
                self.assertLess(seconds, 20)


@sanitized
class Interim(TestCase):
    def test_expect_continue_lets_the_body_through_and_is_answered_once(self):
        gw, up = self.proxy(at_head=lambda r, c: b"HTTP/1.1 100 Continue\r\n\r\n" if r.get("Expect") else None)
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            head = c.reader.until(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 100"), head)
            c.send(b"body")
            r = c.read()
            self.assertEqual((r.status, r.interim), (200, []))
        self.assertEqual(up.last().body, b"body")

    def test_expect_with_something_else_is_417(self):
        gw, up = self.proxy()
        self.assertEqual(gw.request("POST", "/", {"Expect": "magic"}, b"x").status, 417)
        self.assertEqual(up.request_count, 0)

    def test_forwards_103_early_hints_or_drops_them_and_the_answer_follows(self):
        gw, _ = self.proxy(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n" + ok("page"))
        with gw.client() as c:
            for _ in range(3):
                r = c.get("/")
                self.assertEqual((r.status, r.body), (200, b"page"))
                self.assertTrue(all(i.status == 103 for i in r.interim))

    def test_interim_answers_are_sent_without_what_no_client_is_to_have(self):
        gw, _ = self.proxy(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n" + ok("page"))
        r = gw.get("/")
        self.assertEqual([list(i.fields) for i in r.interim], [[("Link", "</a>")]])
        self.assertEqual((r.status, r.body), (200, b"page"))

    def test_never_sends_interim_answers_to_an_http_1_0_client(self):
        gw, _ = self.proxy(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok("page"))
        with gw.client() as c:
            r = c.request("GET", "/", version="1.0")
            self.assertEqual((r.status, r.interim), (200, []))

    def test_gives_up_on_an_upstream_that_sends_interim_answers_for_ever(self):
        def answer(_, connection):
            while True:
                connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        gw, _ = self.proxy(answer, upstream={"timeout": {"connect": 2, "send": 2, "read": 2}})
        with gw.client() as c:
            c.send(request_bytes("GET", "/"))
            self.assertIn(c.read().status, (502, 504))


@sanitized
class Upgrade(TestCase):
    HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}

    def echoing(self, request, connection):
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        while connection.reader.fill():
            connection.send(bytes(connection.reader.buffer))
            connection.reader.buffer.clear()
        connection.close()

    def test_tunnels_bytes_both_ways_after_101(self):
        gw, up = self.proxy(self.echoing, route_more={"enable_websocket": True})
        with gw.client() as c:
            r = c.get("/ws", self.HANDSHAKE)
            self.assertEqual((r.status, r.get("Upgrade")), (101, "websocket"))
            self.assertEqual(c.reader.exactly(5), b"hello")
            for size in (1, 1000, 200_000):
                data = os.urandom(size)
                threading.Thread(target=c.send, args=(data,)).start()
                self.assertEqual(c.reader.exactly(size), data)
        self.assertEqual(up.last().get("Upgrade"), "websocket")
        self.assertEqual(up.last().get("Connection", "").lower(), "upgrade")

    def test_what_concerned_the_upstream_s_connection_alone_does_not_come_with_the_101(self):
        gone = {"Keep-Alive": "timeout=5", "TE": "trailers", "Proxy-Connection": "keep-alive", "X-Hop": "1", "Content-Length": "0"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in gone.items()).encode()

        def answer(_, connection):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nUpgrade: WebSocket\r\nX-Kept: 1\r\n" + lines + b"\r\nhello")
            connection.reader.fill()
            connection.close()
        gw, _ = self.proxy(answer, route_more={"enable_websocket": True})
        with gw.client() as c:
            r = c.get("/ws", self.HANDSHAKE)
            self.assertEqual((r.status, r.get("Upgrade"), r.get("Connection"), r.get("X-Kept")), (101, "WebSocket", "upgrade", "1"))
            self.assertEqual([name for name in gone if r.get(name) is not None], [])
            self.assertEqual(c.reader.exactly(5), b"hello")

    def test_ends_the_tunnel_when_the_client_ends_its_side(self):
        gw, up = self.proxy(self.echoing, route_more={"enable_websocket": True})
        with gw.client() as c:
            c.get("/ws", self.HANDSHAKE)
            c.reader.exactly(5)
            c.send(b"bye")
            c.finish_sending()
            self.assertEqual(c.reader.to_end(), b"bye")
        wait_for(lambda: up.connections[0].is_closed, 5, "the upstream's side closing")

    def test_removes_upgrade_on_a_route_without_websocket(self):
        gw, up = self.proxy(ok("plain"))
        self.assertEqual(gw.get("/", self.HANDSHAKE).body, b"plain")
        self.assertIsNone(up.last().get("Upgrade"))

    def test_no_tunnel_is_opened_for_http2(self):
        gw, up = self.proxy(ok("plain"), route_more={"enable_websocket": True})
        for offer in ("h2c", "websocket, h2c", "H2C"):
            self.assertEqual(gw.get("/", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": offer, "HTTP2-Settings": "AAMAAABk"}).body, b"plain")
            self.assertIsNone(up.last().get("Upgrade"))
            self.assertIsNone(up.last().get("HTTP2-Settings"))

    def test_refuses_101_that_nobody_asked_for(self):
        gw, _ = self.proxy(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        self.assertEqual(gw.get("/").status, 502)

    def test_bytes_sent_before_101_do_not_become_a_request(self):
        gw, up = self.proxy(self.echoing, route_more={"enable_websocket": True})
        with gw.client() as c:
            c.send(request_bytes("GET", "/ws", self.HANDSHAKE) + request_bytes("GET", "/smuggled"))
            c.reader.until(b"\r\n\r\n")
            c.reader.until(b"hello")
        self.assertEqual([r.target for r in up.requests], ["/ws"])


@sanitized
class Limits(TestCase):
    def test_414_for_a_target_that_is_too_long_or_431_for_the_head(self):
        gw, up = self.proxy()
        self.assertIn(gw.get("/" + "a" * 40_000).status, (414, 431))
        self.assertEqual(up.request_count, 0)

    def test_431_for_a_head_over_the_limit(self):
        gw, up = self.proxy(moongate={"client": {"header_max_kb": 8}})
        self.assertEqual(gw.get("/", {"X-Big": "a" * 9000}).status, 431)
        self.assertEqual(gw.get("/", {"X-Fits": "a" * 6000}).status, 200)
        self.assertEqual(up.request_count, 1)

    def test_431_for_too_many_fields(self):
        gw, _ = self.proxy(moongate={"client": {"header_fields_max": 20}})
        self.assertEqual(gw.get("/", [(f"X-{i}", "v") for i in range(30)]).status, 431)
        self.assertEqual(gw.get("/", [(f"X-{i}", "v") for i in range(10)]).status, 200)

    def test_413_for_a_declared_body_over_the_limit_before_it_is_sent(self):
        gw, up = self.proxy(moongate={"client": {"body_max_mb": 1}})
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
            self.assertEqual(c.read().status, 413)
        self.assertEqual(gw.request("POST", "/", body=b"x" * 1_000_000).status, 200)
        self.assertEqual(up.request_count, 1)

    def test_413_or_close_for_a_chunked_body_over_the_limit(self):
        gw, up = self.proxy(moongate={"client": {"body_max_mb": 1}})
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = gw.raw(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n")
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 413"), answer[:200])
        self.assertFalse(any(r.is_complete for r in up.requests), "the upstream saw a complete body over the limit")

    def test_errors_are_json_with_a_request_id(self):
        gw, _ = self.proxy()
        self.assert_error(gw.get("/..%2f"), 400)


class Timeouts(TestCase):
    def test_closes_a_connection_that_sends_its_head_too_slowly(self):
        gw, up = self.proxy(moongate={"client": {"header_timeout": 1}})
        with gw.client() as c:
            c.send(b"GET / HTTP/1.1\r\n")
            started = time.monotonic()
            stop = threading.Event()

            def dribble():                  # a byte now and then does not extend the limit
                while not stop.wait(0.2):
                    try:
                        c.send(b"X-A: b\r\n")
                    except OSError:
                        return
            threading.Thread(target=dribble, daemon=True).start()
            try:
                got = c.reader.to_end()
            except OSError:
                got = b""
            stop.set()
            self.assertLess(time.monotonic() - started, 30)
            self.assertTrue(got == b"" or got.startswith(b"HTTP/1.1 408"), got)
        self.assertEqual(up.request_count, 0)

    def test_ends_a_request_whose_body_stalls(self):
        gw, _ = self.proxy(moongate={"client": {"body_timeout": 1}})
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
            seconds, got = elapsed(c.reader.to_end)
        self.assertLess(seconds, 30)
        self.assertTrue(got == b"" or got.startswith(b"HTTP/1.1 408"), got)

    def test_closes_an_idle_connection_after_keepalive_timeout(self):
        gw, _ = self.proxy(moongate={"client": {"keepalive_timeout": 1}})
        with gw.client() as c:
            c.get("/")
            self.assertTrue(c.is_closed())

    def test_keeps_a_connection_that_is_used_within_keepalive_timeout(self):
        clock = Clock(self)
        gw, _ = self.proxy(moongate={"client": {"keepalive_timeout": 60}}, env=clock.env)
        with gw.client() as c:
            for _ in range(4):
                self.assertEqual(c.get("/").status, 200)
                clock.advance(40)
            self.assertEqual(c.get("/").status, 200)

    def test_gives_up_on_a_client_that_does_not_read(self):
        gw, up = self.proxy(ok(b"x" * 30_000_000), workers=1, moongate={"client": {"send_timeout": 1}})
        with gw.client() as c:
            c.send(request_bytes("GET", "/"))
            wait_for(lambda: up.connections and up.connections[0].is_closed, 10, "the upstream being let go")
            with self.assertRaises((WireError, OSError)):
                c.read()


@sanitized
class Fields(TestCase):
    def test_adds_forwarded_fields(self):
        gw, up = self.proxy()
        gw.get("/", host="shop.example:8080")
        r = up.last()
        self.assertEqual(r.get("X-Real-IP"), HOST)
        self.assertEqual(r.get("X-Forwarded-For"), HOST)
        self.assertEqual(r.get("X-Forwarded-Proto"), "http")
        self.assertEqual(r.get("X-Forwarded-Host"), "shop.example:8080")
        self.assertEqual(r.get("X-Forwarded-Port"), str(gw.port))
        self.assertEqual(r.fields.get_all("Host"), ["shop.example:8080"])

    def test_removes_hop_by_hop_fields_both_ways(self):
        gw, up = self.proxy(ok("x", headers=[("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"),
                                             ("Proxy-Connection", "keep-alive"), ("X-Public", "2")]))
        r = gw.get("/", {"Connection": "keep-alive, X-Secret", "X-Secret": "s", "Keep-Alive": "300",
                         "Proxy-Connection": "keep-alive", "TE": "gzip", "X-Kept": "k"})
        for name in ("X-Private", "Keep-Alive", "Proxy-Connection"):
            self.assertIsNone(r.get(name), name)
        self.assertEqual(r.get("X-Public"), "2")
        for name in ("X-Secret", "Keep-Alive", "Proxy-Connection", "TE"):
            self.assertIsNone(up.last().get(name), name)
        self.assertEqual(up.last().get("X-Kept"), "k")

    def test_connection_cannot_remove_what_the_gateway_says(self):
        gw, up = self.proxy()
        gw.get("/", {"Connection": "X-Forwarded-For, X-Real-IP, Host"})
        self.assertEqual(up.last().get("X-Forwarded-For"), HOST)
        self.assertEqual(up.last().get("X-Real-IP"), HOST)
        self.assertEqual(up.last().get("Host"), "localhost")

    def test_keeps_order_and_repetition_of_other_fields(self):
        gw, up = self.proxy(ok("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-R", "1")]))
        r = gw.get("/", [("X-A", "1"), ("X-B", "2"), ("X-A", "3")])
        self.assertEqual([p for p in up.last().fields if p[0] in ("X-A", "X-B")], [("X-A", "1"), ("X-B", "2"), ("X-A", "3")])
        self.assertEqual(r.fields.get_all("Set-Cookie"), ["a=1", "b=2"])

    def test_passes_values_with_high_bytes_and_quotes_unchanged(self):
        gw, up = self.proxy()
        value = 'caf\u00e9 "q\\"uoted", \u00ff; a=b'
        gw.get("/", {"X-Odd": value})
        self.assertEqual(up.last().get("X-Odd"), value)

    def test_sends_the_query_as_it_came(self):
        gw, up = self.proxy()
        for query in ("?a=%2F..%2f&b=%00", "?", "?a=1&a=2&&=", "?q=%E4%BD%A0+x", "?a=//../"):
            gw.get("/p" + query)
            self.assertEqual(up.last().target, "/p" + query)

    def test_sends_the_same_bytes_of_a_body_that_looks_like_a_request(self):
        gw, up = self.proxy()
        body = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
        gw.request("POST", "/", body=body)
        self.assertEqual([(r.target, r.body) for r in up.requests], [("/", body)])


@sanitized
class UpstreamFaults(TestCase):
    def test_502_when_nobody_listens(self):
        gw = self.serve({"routes": [route("/*", {f"{HOST}:{free_port()}": 1})]})
        self.assert_error(gw.get("/"), 502)

    def test_502_when_the_upstream_talks_nonsense(self):
        for answer in (b"not http at all\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
                       b"HTTP/1.1 200 OK\r\nA\x00B: c\r\nContent-Length: 0\r\n\r\n"):
            with self.subTest(answer=answer):
                def talk(_, connection):
                    connection.send(answer)
                    connection.close()
                gw, _ = self.proxy(talk)
                self.assert_error(gw.get("/"), 502)

    def test_502_when_the_upstream_sends_an_endless_head(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 10_000_000)
        gw, _ = self.proxy(answer)
        self.assert_error(gw.get("/"), 502)

    def test_502_when_the_upstream_closes_without_a_word(self):
        gw, _ = self.proxy(lambda _, connection: connection.close())
        self.assert_error(gw.request("POST", "/", body=b"x"), 502)

    def test_503_without_nodes(self):
        gw = self.serve({"routes": [route("/*", {})]})
        self.assert_error(gw.get("/"), 503)

    def test_504_when_the_upstream_is_silent(self):
        gw, _ = self.proxy(lambda _, connection: connection.wait_closed_by_peer(),
                           upstream={"timeout": {"connect": 1, "send": 1, "read": 1}, "retries": 0})
        seconds, r = elapsed(lambda: gw.get("/"))
        self.assert_error(r, 504)
        self.assertLess(seconds, 30)

    def test_a_head_request_that_fails_has_no_body(self):
        gw = self.serve({"routes": [route("/*", {f"{HOST}:{free_port()}": 1})]})
        with gw.client() as c:
            self.assertEqual(c.request("HEAD", "/").status, 502)
            self.assertEqual(c.request("GET", "/").status, 502)


class HalfClose(TestCase):
    def test_answers_a_client_that_has_ended_its_side(self):
        gw, _ = self.proxy(ok("still here"))
        with gw.client() as c:
            c.send(request_bytes("GET", "/"))
            c.finish_sending()
            self.assertEqual(c.read().body, b"still here")

    def test_lets_the_upstream_go_when_the_client_resets(self):
        gw, up = self.proxy(lambda _, connection: connection.wait_closed_by_peer() and None)
        c = gw.client()
        c.send(request_bytes("POST", "/", body=b"x"))
        up.wait_requests(1)
        c.reset()
        wait_for(lambda: up.connections[0].reader.is_ended or up.connections[0].is_closed, 5, "the upstream being let go")


class Addresses(TestCase):
    def test_listens_and_connects_on_ipv6(self):
        if not can_bind(free_port(), "::1"):
            self.skipTest("no IPv6 loopback")
        up = self.upstream(host="::1")
        gw = self.serve({"routes": [route("/*", {up.node: 1})]}, listen=[f"{HOST}:PORT", "[::1]:PORT"])
        with Client(gw.port, host="::1") as c:
            self.assertEqual(c.get("/six").status, 200)
        self.assertEqual(up.last().get("X-Real-IP"), "::1")

    def test_listens_and_connects_on_unix_sockets(self):
        gw = Gateway({"routes": []}, start=False)
        self.addCleanup(gw.close)
        up = self.upstream(unix=gw.path("up.sock"))
        gw.write_config({"routes": [route("/*", {up.node: 1})]})
        gw.add_config("listen.yaml", {"moongate": {"listen": [f"{HOST}:{gw.port}", "unix:" + gw.path("in.sock")]}})
        gw.start()
        with Client(unix=gw.path("in.sock")) as c:
            self.assertEqual(c.get("/u").status, 200)
        self.assertEqual(up.last().target, "/u")

    def test_listens_on_several_ports(self):
        up, other = self.upstream(), free_port()
        self.serve({"routes": [route("/*", up)]}, listen=[f"{HOST}:PORT", f"{HOST}:{other}"])
        with Client(other) as c:
            self.assertEqual(c.get("/").status, 200)


@sanitized
class ProxyProtocol(TestCase):
    V2 = b"\r\n\r\n\x00\r\nQUIT\n"

    def gateway(self, trusted=(HOST,)):
        up, self.port = self.upstream(), free_port()
        gw = self.serve({"routes": [route("/*", up)]}, moongate={"trusted_addresses": list(trusted)},
                        listen=[f"{HOST}:PORT", {"address": f"{HOST}:{self.port}", "proxy_protocol": True}])
        return gw, up

    def send(self, data):
        with Client(self.port) as c:
            c.send(data)
            return c.read()

    def test_takes_the_address_of_version_1(self):
        _, up = self.gateway()
        r = self.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 55555 80\r\n" + request_bytes("GET", "/"))
        self.assertEqual((r.status, up.last().get("X-Real-IP")), (200, "203.0.113.7"))

    def test_takes_the_address_of_version_2(self):
        _, up = self.gateway()
        addresses = socket.inet_aton("203.0.113.8") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 5555, 80)
        r = self.send(self.V2 + b"\x21\x11" + struct.pack("!H", len(addresses)) + addresses + request_bytes("GET", "/"))
        self.assertEqual((r.status, up.last().get("X-Real-IP")), (200, "203.0.113.8"))

    def test_keeps_the_peer_address_for_local_and_unknown(self):
        _, up = self.gateway()
        for preface in (b"PROXY UNKNOWN\r\n", self.V2 + b"\x20\x00\x00\x00"):
            self.assertEqual(self.send(preface + request_bytes("GET", "/")).status, 200)
            self.assertEqual(up.last().get("X-Real-IP"), HOST)

    def test_refuses_a_broken_or_missing_preface(self):
        _, up = self.gateway()
        self.assertEqual(self.send(b"PROXY UNKNOWN\r\n" + request_bytes("GET", "/")).status, 200)
        up.take()
        for preface in (b"", b"PROXY TCP4 203.0.113.7\r\n", b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"a" * 200 + b"\r\n",
                        self.V2 + b"\x31\x11\x00\x0c" + b"\0" * 12, self.V2 + b"\x21\x11\x00\x02ab"):
            with self.subTest(preface=preface):
                with self.assertRaises((WireError, OSError)):
                    r = self.send(preface + request_bytes("GET", "/"))
                    if 400 <= r.status < 500:
                        raise ClosedError("refused")
        self.assertEqual(up.take(), [])

    def test_takes_it_from_nobody_who_is_not_trusted(self):
        _, up = self.gateway(trusted=["203.0.113.0/24"])
        try:
            r = self.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 55555 80\r\n" + request_bytes("GET", "/"))
            self.assertTrue(400 <= r.status < 500 or up.last().get("X-Real-IP") == HOST)
        except (WireError, OSError):
            pass
        self.assertFalse([r for r in up.requests if r.get("X-Real-IP") == "203.0.113.7"])


if __name__ == "__main__":
    unittest.main()
