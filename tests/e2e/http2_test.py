# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 from clients: the same gateway behind other frames. Real clients, and a raw one where bytes matter."""

import base64
import hashlib
import json
import os
import signal
import ssl
import struct
import subprocess
import threading

from certificates import authority, certificate
from clock import Clock
from harness import (HOST, TestCase, chunked, describe, free_port, need, ok, raw, route, sanitized, wait_for)
from http2_wire import (ACK, CANCEL, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR,
                        NO_ERROR, PING, PREFACE, PRIORITY_UPDATE, PROTOCOL_ERROR, SETTINGS, Http2Client, block, frame, head)
from wire import connect, untrusting_tls

CLEAR = [{"address": f"{HOST}:PORT", "http2": True}]
MIB = 1 << 20


class Http2TestCase(TestCase):
    def serve2(self, answer=None, at_head=None, route_more=None, **more):
        return self.proxy(answer, at_head=at_head, route_more=route_more, **{"listen": CLEAR, "workers": 1, **more})

    def client(self, gw, **more):
        client = Http2Client(gw.port, **more)
        self.addCleanup(client.close)
        return client

    def log_lines(self, gw):
        try:
            with open(os.path.join(gw.run_dir, "access.log"), encoding="utf-8") as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []


@sanitized
class Revoked(Http2TestCase):
    def test_requests_and_streams_end_with_their_credential_and_the_connection_stays(self):
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request, connection):
            if request.target == "/events":
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            over.wait()
        up = self.upstream(answer)

        def config(*keys):
            return {"routes": [{**route("/*", up), "plugins": {"key-auth": {}}}],
                    "consumers": [{"username": f"user_{key}", "plugins": {"key-auth": {"key": key}}} for key in keys]}
        gw = self.serve(config("jane", "john"), workers=1, listen=CLEAR, moongate={"client": {"revocation_grace": 0.2}})
        client = self.client(gw)
        begun = client.open(head(path="/events", more=[("apikey", "jane")]))
        waiting = client.open(head(path="/slow", more=[("apikey", "jane")]))
        john = client.open(head(path="/events", more=[("apikey", "john")]))
        client.wait(lambda: client.answer(begun).body and client.answer(john).body)
        gw.apply(config("john"))
        client.wait(lambda: client.answer(begun).is_over and client.answer(waiting).is_over)
        self.assertEqual((client.answer(begun).reset, client.answer(waiting).reset), (INTERNAL_ERROR, INTERNAL_ERROR))
        self.assertFalse(client.answer(john).is_over)


LOG = {"access_log": {"path": "access.log", "format": "json"}}


@sanitized
class Protocol(Http2TestCase):
    def curl(self, *args):
        done = subprocess.run([need("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{size_download}", *args],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_one_listener_speaks_both_protocols_in_clear(self):
        gw, _ = self.serve2(ok(b"x" * 1000))
        url = f"http://{HOST}:{gw.port}/"
        self.assertEqual(self.curl("--http2-prior-knowledge", url), "2 200 1000")
        self.assertEqual(self.curl("--http1.1", url), "1.1 200 1000")
        self.assertEqual(self.curl("--http2", url), "1.1 200 1000")  # Upgrade: h2c is not taken

    def test_a_preface_that_comes_byte_by_byte_is_one(self):
        gw, _ = self.serve2()
        with Http2Client(gw.port, greet=False) as client:
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4):
                client.send(bytes((byte,)))
            self.assertEqual(client.fetch().status, 200)

    def test_bytes_that_only_begin_as_the_preface_are_http1(self):
        gw, _ = self.serve2()
        self.assertIn(b" 505 ", raw(gw.port, b"PRI * HTTP/2.0\r\n\r\nXX").split(b"\r\n")[0])
        self.assertIn(b" 200 ", raw(gw.port, b"PRINT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").split(b"\r\n")[0])

    def test_a_listener_without_http2_speaks_http1_only(self):
        gw, _ = self.proxy()
        self.assertIn(b" 505 ", raw(gw.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").split(b"\r\n")[0])

    def test_tls_clients_choose_by_alpn(self):
        issued, tls_port, plain_port = certificate("a.test"), free_port(), free_port()
        up = self.upstream(ok(b"x" * 1000))
        self.serve({"routes": [route("/*", up)], "ssls": [{"id": "1", "snis": ["a.test"], "cert": issued.cert, "key": issued.key}]},
                   listen=[f"{HOST}:PORT", {"address": f"{HOST}:{tls_port}", "tls": True, "http2": True},
                           {"address": f"{HOST}:{plain_port}", "tls": True}])

        def via(port):
            return ["--cacert", authority("authority").cert_path, "--connect-to", f"a.test:443:{HOST}:{port}", "https://a.test/"]
        self.assertEqual(self.curl("--http2", *via(tls_port)), "2 200 1000")
        self.assertEqual(self.curl("--http1.1", *via(tls_port)), "1.1 200 1000")
        self.assertEqual(self.curl("--no-alpn", *via(tls_port)), "1.1 200 1000")
        self.assertEqual(self.curl("--http2", *via(plain_port)), "1.1 200 1000")

    def test_a_listener_may_speak_nothing_but_http2(self):
        gw, _ = self.serve2(listen=[{"address": f"{HOST}:PORT", "http2": True, "http1": False}])
        self.assertEqual(self.client(gw).fetch().status, 200)
        for first in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0", b"PRI * HTTP/2.0\r\n\r\nXX"):
            with self.subTest(first), Http2Client(gw.port, greet=False) as client:
                client.send(first + b"x" * 24)
                self.assertEqual(client.wait_end(), PROTOCOL_ERROR)

    def test_over_tls_such_a_listener_offers_h2_alone(self):
        issued, tls_port = certificate("localhost"), free_port()
        up = self.upstream(ok(b"x" * 1000))
        self.serve({"routes": [route("/*", up)], "ssls": [{"id": "1", "snis": ["localhost"], "cert": issued.cert, "key": issued.key}]},
                   listen=[f"{HOST}:PORT", {"address": f"{HOST}:{tls_port}", "tls": True, "http2": True, "http1": False}])

        def connected(*protocols):
            context = untrusting_tls()
            context.set_alpn_protocols(list(protocols))
            return Http2Client(tls_port, sock=connect(tls_port, tls=context), greet=bool(protocols))
        with connected("http/1.1", "h2") as client:
            self.assertEqual(client.sock.selected_alpn_protocol(), "h2")
            self.assertEqual(client.fetch().status, 200)
        with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
            connected("http/1.1")
        with connected() as client:  # names none: it is expected to know
            client.send(PREFACE + frame(SETTINGS))
            self.assertEqual(client.fetch().status, 200)
        with connected() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(client.wait_end(), PROTOCOL_ERROR)

    def test_proxy_protocol_comes_before_the_preface(self):
        gw, up = self.serve2(describe, listen=[{"address": f"{HOST}:PORT", "http2": True, "proxy_protocol": True}],
                             moongate={"trusted_addresses": ["127.0.0.1"]})
        with Http2Client(gw.port, greet=False) as client:
            client.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 4000 80\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4))
            client.fetch()
            self.assertEqual(up.last().get("X-Real-IP"), "203.0.113.7")

    def test_variables_plugins_and_the_log_know_the_protocol(self):
        gw, _ = self.serve2(route_more={"plugins": {"response-rewrite": {"headers": {"set": {
            "X-P": "$server_protocol", "X-H": "$http2"}}}, "version": {}}}, moongate=LOG, plugins={"version": """
                local core = require("apisix.core")
                local _M = {version = 0.1, priority = 10, name = "version", schema = {type = "object"}}
                function _M.access(conf, ctx)
                  core.response.set_header("X-V", core.request.get_http_version(ctx))
                end
                return _M"""})
        client = self.client(gw)
        answer = client.fetch()
        self.assertEqual([answer.get(n) for n in ("x-p", "x-h", "x-v")], ["HTTP/2.0", "h2c", "2"])
        self.assertEqual(raw(gw.port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").count(b"X-P: HTTP/1.1"), 1)
        lines = wait_for(lambda: len(self.log_lines(gw)) == 2 and self.log_lines(gw))
        self.assertEqual(sorted(line["protocol"] for line in lines), ["HTTP/1.1", "HTTP/2.0"])


@sanitized
class Messages(Http2TestCase):
    def test_a_request_reaches_the_upstream_as_http1_would_carry_it(self):
        gw, up = self.serve2()
        self.client(gw).fetch(head("POST", "/a%2db?q=1", "A.test:81", more=[
            ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers"), ("content-length", "3")]), body=b"abc")
        got = up.wait_requests(1)[0]
        self.assertEqual((got.line, got.body), ("POST /a-b?q=1 HTTP/1.1", b"abc"))
        self.assertEqual([v for n, v in got.fields if n.lower() == "cookie"], ["a=1; b=2"])
        self.assertEqual([v for n, v in got.fields if n.lower() == "host"], ["A.test:81"])
        self.assertEqual((got.get("x-one"), got.get("te"), got.get("content-length")), ("1", "trailers", "3"))
        self.assertEqual(got.get("X-Forwarded-Host"), "A.test:81")

    def test_a_body_without_a_length_goes_on_in_chunks_with_its_trailers(self):
        gw, up = self.serve2()
        client = self.client(gw)
        stream = client.open(head("POST"), body=b"abc" * 10000, is_last=False)
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block([
            ("x-sum", "7"), ("content-length", "5"), ("x-consumer-name", "root")])))
        client.wait(lambda: client.answer(stream).is_over)
        got = up.wait_requests(1)[0]
        self.assertEqual((got.body, list(got.trailers)), (b"abc" * 10000, [("x-sum", "7")]))

    def test_identity_that_a_client_claims_is_dropped(self):
        gw, up = self.serve2()
        self.client(gw).fetch(head(more=[("x-consumer-username", "root"), ("x_consumer_username", "root"), ("x-forwarded-for", "1.2.3.4")]))
        got = up.wait_requests(1)[0]
        self.assertEqual((got.get("x-consumer-username"), got.get("x_consumer_username"), got.get("x-forwarded-for")), (None, None, HOST))

    def test_answers_have_lower_case_names_and_no_fields_of_a_connection(self):
        gw, _ = self.serve2(ok(b"hello", headers=[("X-Mixed-Case", " a "), ("Connection", "keep-alive, x-gone"), ("X-Gone", "1"),
                                                  ("Keep-Alive", "timeout=5"), ("Upgrade", "h3")]))
        answer = self.client(gw).fetch()
        self.assertEqual((answer.status, answer.body, answer.get("content-length")), (200, b"hello", "5"))
        names = [n for n, _ in answer.fields]
        self.assertEqual(answer.get("x-mixed-case"), "a")
        self.assertEqual([n for n in names if n in ("connection", "x-gone", "keep-alive", "upgrade") or n != n.lower()], [])

    def test_chunks_and_trailers_become_frames(self):
        gw, _ = self.serve2(chunked(b"one", b"two", trailers=[("X-Sum", "6")]))
        answer = self.client(gw).fetch()
        self.assertEqual((answer.body, list(answer.trailers), answer.get("transfer-encoding")), (b"onetwo", [("x-sum", "6")], None))

    def test_trailers_without_a_body_arrive(self):
        gw, _ = self.serve2(chunked(trailers=[("grpc-status", "0")]))
        answer = self.client(gw).fetch()
        self.assertEqual((answer.body, list(answer.trailers), answer.is_ended), (b"", [("grpc-status", "0")], True))

    def test_answers_without_a_body_end_with_their_head(self):
        def answer(request, _):
            if request.method == "HEAD":
                return b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
            status = request.target[1:]
            return f"HTTP/1.1 {status} X\r\n{'' if status == '204' else 'ETag: 1' + chr(13) + chr(10)}\r\n".encode()
        gw, _ = self.serve2(answer)
        client = self.client(gw)
        for fields, status, length in ((head("HEAD"), 200, "99"), (head(path="/204"), 204, None), (head(path="/304"), 304, None)):
            got = client.fetch(fields)
            self.assertEqual((got.status, got.get("content-length"), got.body, got.reset), (status, length, b"", None))

    def test_interim_answers_come_first(self):
        gw, _ = self.serve2(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ok())
        answer = self.client(gw).fetch()
        self.assertEqual(([(i.get(":status"), i.get("link")) for i in answer.interim], answer.status), ([("103", "</a.css>")], 200))

    def test_a_client_that_expects_100_continue_gets_it(self):
        gw, up = self.serve2()
        client = self.client(gw)
        stream = client.open(head("POST", more=[("expect", "100-continue"), ("content-length", "3")]), is_last=False)
        client.wait(lambda: client.answer(stream).interim)
        client.data(stream, b"abc", is_last=True)
        client.wait(lambda: client.answer(stream).is_over)
        self.assertEqual((client.answer(stream).status, up.last().body), (200, b"abc"))

    def test_errors_of_the_gateway_are_answers_like_others(self):
        gw = self.serve({"routes": [route("/here", {"127.0.0.1:1": 1})]}, listen=CLEAR)
        client = self.client(gw)
        missing, broken = client.fetch(head(path="/nowhere")), client.fetch(head(path="/here"))
        self.assertEqual((missing.status, broken.status), (404, 502))
        self.assertEqual(broken.get("server"), "Moongate")
        self.assertIn("error_msg", json.loads(broken.body))


@sanitized
class Flow(Http2TestCase):
    def test_an_answer_waits_for_the_clients_windows(self):
        gw, _ = self.serve2(ok(b"x" * 3 * MIB))
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 20000})
        stream = client.open()
        client.wait(lambda: len(client.answer(stream).body) == 20000)
        client.send(client.window_update(stream, 4 * MIB))
        client.wait(lambda: len(client.answer(stream).body) == 65535)  # now it is the connection's
        client.send(client.window_update(0, 4 * MIB))
        client.wait(lambda: client.answer(stream).is_ended)
        self.assertEqual(len(client.answer(stream).body), 3 * MIB)

    def test_a_slow_client_holds_up_the_upstream_and_no_other_stream(self):
        sent = {}

        def answer(request, connection):
            if request.target == "/small":
                return ok(b"small")
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            connection.sock.settimeout(0.5)
            sent["bytes"] = 0
            try:
                while sent["bytes"] < 100000000:
                    sent["bytes"] += connection.sock.send(b"x" * 65536)
            except TimeoutError:
                sent["is_blocked"] = True
            return None
        gw, _ = self.serve2(answer)
        client = self.client(gw, window=MIB)
        client.open(head(path="/large"))
        wait_for(lambda: sent.get("is_blocked"), 20)
        self.assertLess(sent["bytes"], 30 * MIB)
        self.assertEqual(client.fetch(head(path="/small")).body, b"small")

    def test_a_more_urgent_answer_goes_first(self):
        gw, _ = self.serve2(ok(b"x" * MIB))
        for how in ("field", "frame"):
            client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 8 * MIB})
            first = client.open()
            client.wait(lambda c=client, s=first: len(c.answer(s).body) == 65535)
            urgent = client.open(head(more=[("priority", "u=0")] if how == "field" else []))
            if how == "frame":
                client.send(frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", urgent) + b"u=0"))
            client.wait(lambda c=client, s=urgent: c.answer(s).fields is not None)
            client.send(client.window_update(0, 20000))
            client.wait(lambda c=client, s=urgent: len(c.answer(s).body) == 20000)
            self.assertEqual(len(client.answer(first).body), 65535)

    def test_a_body_that_the_upstream_does_not_take_is_not_acknowledged(self):
        gate = threading.Event()

        def at_head(request, _):
            if request.target == "/slow":
                gate.wait(120)
        gw, up = self.serve2(at_head=at_head)
        self.addCleanup(gate.set)
        client = self.client(gw)
        stream = client.open(head("POST", "/slow"), is_last=False)
        client.wait(lambda: client.settings)
        allowed = client.settings[INITIAL_WINDOW_SIZE]
        sent = 0

        def push(limit):
            nonlocal sent
            while sent < limit:
                part = min(16384, limit - sent, allowed + client.window_opened.get(stream, 0) - sent,
                           65535 + client.window_opened.get(0, 0) - sent)
                if part > 0:
                    client.data(stream, b"x" * part)
                    sent += part
                    continue
                before = dict(client.window_opened)
                client.take(1.0)
                if client.window_opened == before:
                    return
        push(64 * MIB)
        self.assertLess(sent, 32 * MIB)
        self.assertEqual(client.fetch(head(path="/other")).status, 200)
        gate.set()
        push(sent + 4 * MIB)
        client.data(stream, b"", is_last=True)
        client.wait(lambda: client.answer(stream).is_over, 30)
        self.assertEqual(client.answer(stream).status, 200)
        self.assertEqual(len(up.requests[0].body), sent)

    def test_an_answer_that_breaks_off_is_reset(self):
        def answer(request, connection):
            length = "Content-Length: 100\r\n" if request.target == "/length" else "Transfer-Encoding: chunked\r\n"
            connection.send(f"HTTP/1.1 200 OK\r\n{length}\r\n{'3' + chr(13) + chr(10) if request.target != '/length' else ''}abc".encode())
            connection.close()
        gw, _ = self.serve2(answer)
        client = self.client(gw)
        for path in ("/length", "/chunked"):
            got = client.fetch(head(path=path))
            self.assertEqual((got.status, got.is_ended, got.reset), (200, False, INTERNAL_ERROR))

    def test_an_answer_before_the_end_of_the_body_ends_the_stream_without_an_error(self):
        gw = self.serve({"routes": [route("/*", plugins={"mocking": {"response_example": "no", "response_status": 403}})]}, listen=CLEAR)
        client = self.client(gw)
        stream = client.open(head("POST"), body=b"x" * 1000, is_last=False)
        client.wait(lambda: client.answer(stream).reset is not None)
        self.assertEqual((client.answer(stream).status, client.answer(stream).is_ended, client.answer(stream).reset), (403, True, NO_ERROR))
        client.data(stream, b"late", is_last=True)
        self.assertEqual(client.fetch().status, 403)

    def test_a_reset_ends_the_request_at_the_upstream(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, up = self.serve2(lambda r, c: gate.wait(120) and None if r.target == "/hang" else ok(), moongate=LOG)
        client = self.client(gw)
        stream = client.open(head(path="/hang"))
        request = up.wait_requests(1)[0]
        client.reset(stream)
        self.assertTrue(request.connection.wait_closed_by_peer())
        line = wait_for(lambda: self.log_lines(gw))[0]
        self.assertEqual((line["status"], line["uri"]), (499, "/hang"))
        self.assertEqual(client.fetch().status, 200)

    def test_a_reset_in_the_middle_of_an_upload_leaves_no_request_behind(self):
        gw, up = self.serve2(moongate=LOG)
        client = self.client(gw)
        stream = client.open(head("POST", "/up", more=[("content-length", "100000")]), body=b"x" * 5000, is_last=False)
        up.wait_requests(1)
        client.reset(stream)
        self.assertTrue(up.last().connection.wait_closed_by_peer())
        self.assertFalse(up.last().is_complete)
        self.assertEqual(client.fetch().status, 200)

    def test_a_plugin_that_reads_the_body_gets_all_of_it(self):
        gw, up = self.serve2(route_more={"plugins": {"size": {}}}, plugins={"size": """
            local core = require("apisix.core")
            local _M = {version = 0.1, priority = 10, name = "size", schema = {type = "object"}}
            function _M.access() core.response.set_header("X-Size", #core.request.get_body()) end
            return _M"""})
        client = self.client(gw)
        stream = client.open(head("POST"), body=b"x" * 40000, is_last=False)
        client.data(stream, b"y" * 20000, is_last=True)
        client.wait(lambda: client.answer(stream).is_over)
        self.assertEqual((client.answer(stream).get("x-size"), len(up.last().body)), ("60000", 60000))

    def test_many_requests_on_one_connection_reach_their_routes(self):
        up = self.upstream(describe)
        chain = {"proxy-rewrite": {"headers": {"set": {"X-Kind": "$uri"}}}, "response-rewrite": {"headers": {"set": {"X-Route": "$route_id"}}}, "cors": {}}
        gw = self.serve({"routes": [route(f"/r{i}/*", up, plugins=chain, id=f"route{i}") for i in range(5)]}, listen=CLEAR, workers=1)
        client = self.client(gw, window=64 * MIB, settings={INITIAL_WINDOW_SIZE: MIB})
        asked = {}
        for n in range(1000):
            asked[client.open(head(path=f"/r{n % 5}/{n}"))] = n
            if n % 100 == 99:
                client.wait(lambda: all(client.answer(s).is_over for s in asked), 60)
        for stream, n in asked.items():
            got = client.answer(stream)
            self.assertEqual((got.status, got.get("x-route")), (200, f"route{n % 5}"))
            seen = json.loads(got.body)
            self.assertEqual((seen["target"], dict(seen["fields"])["X-Kind"]), (f"/r{n % 5}/{n}", f"/r{n % 5}/{n}"))
        self.assertEqual(len(up.requests), 1000)

    def test_h2load_finds_every_answer(self):
        gw, _ = self.serve2(ok(b"x" * 1024), workers=2)
        done = subprocess.run([need("h2load"), "-n", "3000", "-c", "8", "-m", "16", f"http://{HOST}:{gw.port}/"],
                              capture_output=True, text=True, timeout=250)
        self.assertIn("3000 succeeded, 0 failed, 0 errored", done.stdout)

    def test_nghttp_uploads_and_downloads(self):
        gw, up = self.serve2(ok(b"x" * 2 * MIB))
        with open(gw.path("body"), "wb") as f:
            f.write(b"y" * MIB)
        done = subprocess.run([need("nghttp"), "-d", gw.path("body"), f"http://{HOST}:{gw.port}/"], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, len(done.stdout), len(up.last().body)), (0, 2 * MIB, MIB))


@sanitized
class Life(Http2TestCase):
    def hanging(self, **more):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, up = self.serve2(lambda r, c: (gate.wait(120), ok(b"late"))[1] if r.target == "/late" else ok(), **more)
        return gw, up, gate

    def test_a_reload_leaves_open_streams_alone(self):
        gw, up, gate = self.hanging()
        client = self.client(gw)
        late = client.open(head(path="/late"))
        up.wait_requests(1)
        gw.add_config("more.yaml", {})
        with open(gw.config_path, encoding="utf-8") as f:
            config = json.load(f)
        config["routes"][0]["plugins"] = {"response-rewrite": {"headers": {"set": {"X-New": "1"}}}}
        with open(gw.config_path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual(client.fetch(head(path="/new")).get("x-new"), "1")
        gate.set()
        client.wait(lambda: client.answer(late).is_over)
        self.assertEqual((client.answer(late).body, client.answer(late).get("x-new")), (b"late", None))
        self.assertEqual(client.goaways, [])

    def test_a_drain_lets_streams_finish_and_takes_no_more(self):
        gw, up, gate = self.hanging()
        client = self.client(gw)
        late = client.open(head(path="/late"))
        up.wait_requests(1)
        gw.send_signal(signal.SIGQUIT)
        client.wait(lambda: len(client.goaways) == 2)
        self.assertEqual(client.goaways, [(0x7fffffff, NO_ERROR), (late, NO_ERROR)])
        refused = client.open(head(path="/refused"))
        gate.set()
        self.assertEqual(client.wait_end(), NO_ERROR)
        self.assertEqual((client.answer(late).status, client.answer(late).body), (200, b"late"))
        self.assertIsNone(client.answer(refused).status)
        self.assertEqual(gw.wait_end(), 0)

    def test_a_drain_ends_idle_connections(self):
        gw, _ = self.serve2()
        client = self.client(gw)
        client.fetch()
        gw.send_signal(signal.SIGQUIT)
        self.assertEqual(client.wait_end(), NO_ERROR)

    def test_a_connection_ends_after_its_number_of_requests(self):
        gw, _ = self.serve2(moongate={"client": {"keepalive_requests": 3}})
        client = self.client(gw)
        for _ in range(3):
            self.assertEqual(client.fetch().status, 200)
        self.assertEqual(client.wait_end(), NO_ERROR)

    def test_an_idle_connection_is_told_goodbye(self):
        gw, _ = self.serve2(moongate={"client": {"keepalive_timeout": 0.3}})
        client = self.client(gw)
        client.fetch()
        self.assertEqual(client.wait_end(5), NO_ERROR)

    def test_a_connection_without_a_request_is_not_kept(self):
        gw, _ = self.serve2(moongate={"client": {"header_timeout": 0.3}})
        self.assertEqual(self.client(gw).wait_end(5), NO_ERROR)

    def test_an_unfinished_field_block_ends_the_connection_in_time(self):
        clock = Clock(self)
        gw, _ = self.serve2(env=clock.env)
        client = self.client(gw)
        client.wait(lambda: client.settings)    # whose acknowledgement is not to come in the middle of the block
        client.send(frame(PING, 0, 0, b"12345678") + frame(HEADERS, END_STREAM, 1, block(head())))
        client.wait(lambda: client.pings)    # it has come, and with it what stands behind it
        clock.advance(61)
        gw.get("/")                          # a turn in which the time is noticed
        self.assertNotEqual(client.wait_end(), NO_ERROR)

    def test_a_body_that_does_not_come_is_answered_408(self):
        gw, _ = self.serve2(moongate={"client": {"body_timeout": 0.3}})
        client = self.client(gw)
        stream = client.open(head("POST"), body=b"x", is_last=False)
        client.wait(lambda: client.answer(stream).is_over, 5)
        self.assertEqual(client.answer(stream).status, 408)
        self.assertEqual(client.fetch().status, 200)

    def test_an_answer_that_is_not_taken_is_reset(self):
        gw, _ = self.serve2(ok(b"x" * MIB), moongate={"client": {"send_timeout": 0.3}, **LOG})
        client = self.client(gw)
        stream = client.open()
        client.wait(lambda: client.answer(stream).reset is not None, 5)
        self.assertEqual(client.answer(stream).reset, CANCEL)
        self.assertEqual(len(wait_for(lambda: self.log_lines(gw))), 1)

    def test_a_client_that_closes_its_side_still_gets_whole_requests_answered(self):
        gw, up, gate = self.hanging()
        client = self.client(gw)
        late = client.open(head(path="/late"))
        up.wait_requests(1)
        client.sock.shutdown(1)
        gate.set()
        client.wait(lambda: client.answer(late).is_over)
        self.assertEqual(client.answer(late).body, b"late")

    def test_pings_are_answered(self):
        gw, _ = self.serve2()
        client = self.client(gw)
        client.send(frame(PING, 0, 0, b"12345678"))
        client.wait(lambda: (ACK, b"12345678") in client.pings)


WEBSOCKET = head("CONNECT", "/chat", more=[("sec-websocket-version", "13")])
WEBSOCKET.insert(1, (":protocol", "websocket"))


def shake_hands(request, connection, first=b""):
    """The upstream's half of the handshake; `first` comes right behind it."""
    key = hashlib.sha1((request.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accepts = base64.b64encode(key) if request.target != "/liar" else b"x"
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: " + accepts + b"\r\n\r\n" + first)


def accept(request, connection):
    """Says hello, then everything again; `plain` to requests that want no tunnel."""
    if request.get("Upgrade") != "websocket" or request.get("Connection", "").lower() != "upgrade":
        return ok(b"plain")
    shake_hands(request, connection, b"hello")
    reader = connection.reader
    while True:
        if reader.buffer:
            connection.send(bytes(reader.buffer))
            reader.buffer.clear()
        if not reader.fill():
            connection.send(b"bye")
            connection.close()
            return None


@sanitized
class WebSockets(Http2TestCase):
    def serve_chat(self, answer=accept, **more):
        return self.serve2(answer, route_more={"enable_websocket": True}, **more)

    def test_a_stream_becomes_a_tunnel(self):
        gw, up = self.serve_chat(moongate=LOG)
        client = self.client(gw, window=8 * MIB, settings={INITIAL_WINDOW_SIZE: 8 * MIB})
        client.wait(lambda: client.settings.get(ENABLE_CONNECT_PROTOCOL) == 1)
        stream = client.open(WEBSOCKET, is_last=False)
        client.data(stream, b"early ")
        client.wait(lambda: client.answer(stream).body == b"helloearly ")
        answer = client.answer(stream)
        self.assertEqual((answer.status, answer.get("sec-websocket-protocol"), answer.get("sec-websocket-accept"), answer.get("upgrade")),
                         (200, "chat", None, None))
        self.assertEqual((up.last().method, up.last().get("sec-websocket-version")), ("GET", "13"))
        for size in (1, 1000, 100000):
            before = len(answer.body)
            client.data(stream, b"z" * size)
            client.wait(lambda: len(answer.body) == before + size)
        self.assertEqual(client.fetch(head(path="/other")).body, b"plain")
        client.data(stream, b"", is_last=True)
        client.wait(lambda: answer.is_over)
        self.assertTrue(answer.body.endswith(b"bye"))
        line = wait_for(lambda: [x for x in self.log_lines(gw) if x["uri"] == "/chat"])[0]
        self.assertEqual((line["status"], line["method"]), (200, "GET"))

    def test_a_tunnel_is_no_faster_than_its_slower_side(self):
        total = 40 * MIB
        state = {}

        def pour(request, connection):
            shake_hands(request, connection)
            connection.sock.settimeout(0.5)
            state["sent"] = 0
            try:
                while state["sent"] < total:
                    state["sent"] += connection.sock.send(b"x" * 65536)
            except TimeoutError:
                state["is_blocked"] = True
        gw, _ = self.serve_chat(pour)
        client = self.client(gw)
        client.open(WEBSOCKET, is_last=False)
        wait_for(lambda: state.get("is_blocked"), 20)
        self.assertLess(state["sent"], 20 * MIB)

    def test_a_refused_handshake_is_an_ordinary_answer(self):
        gw, _ = self.serve_chat(lambda r, c: ok(b"no", status="403 Forbidden"))
        answer = self.client(gw).fetch(WEBSOCKET, is_last=False)
        self.assertEqual((answer.status, answer.body), (403, b"no"))

    def test_only_a_tunnel_is_a_success(self):
        gw, _ = self.serve_chat(lambda r, c: ok(b"a page"))
        answer = self.client(gw).fetch(WEBSOCKET, is_last=False)
        self.assertEqual((answer.status, answer.body), (502, b""))

    def test_an_answer_to_another_handshake_is_refused(self):
        gw, _ = self.serve_chat()
        fields = [(n, "/liar" if n == ":path" else v) for n, v in WEBSOCKET]
        self.assertEqual(self.client(gw).fetch(fields, is_last=False).status, 502)

    def test_a_route_without_websockets_takes_none(self):
        gw, up = self.serve2(accept)
        self.assertEqual(self.client(gw).fetch(WEBSOCKET, is_last=False).status, 501)
        self.assertEqual(up.requests, [])

    def test_a_reset_closes_the_upstreams_side(self):
        gw, up = self.serve_chat()
        client = self.client(gw)
        stream = client.open(WEBSOCKET, is_last=False)
        client.wait(lambda: client.answer(stream).body == b"hello")
        client.reset(stream)
        wait_for(lambda: up.connections[0].is_closed)
        self.assertEqual(client.fetch(head(path="/other")).status, 200)


if __name__ == "__main__":
    import unittest
    unittest.main()
