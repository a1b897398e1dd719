# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to upstreams, and gRPC through the gateway: gRPC's own library on both sides, and raw frames where bytes matter."""

import base64
import functools
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, TestCase, free_port, ok, request_bytes, route, sanitized, wait_for
from http2_wire import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, REFUSED_STREAM,
                        RST_STREAM, SETTINGS, WINDOW_UPDATE, Http2Client, Inflater, block, frame, head)

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "grpc_peer.py")
CLEAR = [{"address": f"{HOST}:PORT", "http2": True}]
MAX_CONCURRENT_STREAMS = 3


@functools.lru_cache(maxsize=None)
def grpc_python():
    """A Python that has gRPC's library: ours or the system's. Without one the test is skipped, and fails in CI."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import grpc"], capture_output=True, timeout=60, check=False).returncode == 0:
            return python
    if os.environ.get("CI"):
        raise AssertionError("python3-grpcio is not installed")
    raise unittest.SkipTest("python3-grpcio is not installed")


def python_peer():
    return [grpc_python(), PEER]


class GrpcTestCase(TestCase):
    def grpc_server(self, *pair, peer=None):
        server = subprocess.Popen([*(peer or python_peer()), "serve", *pair], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            server.stdin.close()
            server.wait(60)
            server.stdout.close()
        self.addCleanup(end)
        return int(server.stdout.readline())

    def calls(self, gw_port, scenarios, trusted=None, peer=None):
        argv = [*(peer or python_peer()), "calls", str(gw_port), ",".join(scenarios), *([trusted] if trusted else [])]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=250, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def call(self, gw_port, scenario, trusted=None):
        return self.calls(gw_port, [scenario], trusted)[scenario]

    def serve_grpc(self, port, scheme="grpc", upstream=None, plugins=None, uri="/*", settings=None, **more):
        nodes = port if isinstance(port, dict) else {f"{HOST}:{port}": 1}
        r = route(uri, nodes, **({"plugins": plugins} if plugins else {}))
        r["upstream"].update({"scheme": scheme, **(upstream or {})})
        config = {"routes": [r], **more.pop("resources", {})}
        return self.serve(config, **{"listen": CLEAR, "workers": 1, "moongate": settings, **more})


@sanitized
class RealPeers(GrpcTestCase):
    def test_all_kinds_of_calls_go_through(self):
        gw = self.serve_grpc(self.grpc_server())
        for scenario, wanted in (("unary", "hello"), ("many", True), ("server_stream", True), ("client_stream", 1000000),
                                 ("both_stream", True)):
            with self.subTest(scenario):
                self.assertEqual(self.call(gw.port, scenario), wanted)

    def test_statuses_and_metadata_arrive_and_are_logged(self):
        gw = self.serve_grpc(self.grpc_server(), settings={"access_log": {"path": "access.log", "format": "$grpc_status $status $upstream_trailer_x_after"}})
        self.assertEqual(self.call(gw.port, "status"), ["NOT_FOUND", "no such thing: \u00e9"])
        self.assertEqual(self.call(gw.port, "metadata"), [{"x-before": "1"}, {"x-after": "2"}, ["1", True, True]])
        path = os.path.join(gw.run_dir, "access.log")
        wait_for(lambda: os.path.exists(path) and open(path, encoding="utf-8").read().split("\n")[:2] ==
                 ["5 200 -", "0 200 2"], 10, "both log lines")

    def test_a_stream_that_is_aborted_ends_with_its_status(self):
        gw = self.serve_grpc(self.grpc_server())
        self.assertEqual(self.call(gw.port, "abort_stream"), ["one", "DATA_LOSS", "in the middle"])

    def test_messages_of_20_megabytes_go_through(self):
        gw = self.serve_grpc(self.grpc_server())
        self.assertTrue(self.call(gw.port, "large"))

    def test_deadlines_and_cancellations_reach_the_server(self):
        gw = self.serve_grpc(self.grpc_server())
        self.assertEqual(self.call(gw.port, "deadline"), ["DEADLINE_EXCEEDED", "yes", "yes"])
        self.assertEqual(self.call(gw.port, "cancel"), ["one", "yes", "yes"])

    def test_tls_on_both_sides(self):
        issued, tls_port = certificate("a.test"), free_port()
        gw = self.serve_grpc(self.grpc_server(issued.cert_path, issued.key_path), "grpcs",
                             upstream={"pass_host": "rewrite", "upstream_host": "a.test"},
                             resources={"ssls": [{"id": "1", "snis": ["a.test"], "cert": issued.cert, "key": issued.key}]},
                             settings={"upstream": {"tls_trusted_certificate": authority().cert_path}},
                             listen=[*CLEAR, {"address": f"{HOST}:{tls_port}", "tls": True, "http2": True}])
        self.assertEqual(self.call(tls_port, "unary", authority().cert_path), "hello")
        self.assertTrue(self.call(tls_port, "both_stream", authority().cert_path))

    def test_browsers_get_their_trailers_in_the_body(self):
        gw = self.serve_grpc(self.grpc_server(), plugins={"grpc-web": {}}, uri="/web/*")
        request = b"\0" + struct.pack(">I", 5) + b"hello"
        lines = b"grpc-status:0\r\ngrpc-message:\r\n"
        wanted = request + b"\x80" + struct.pack(">I", len(lines)) + lines
        answer = gw.request("POST", "/web/test.Echo/Unary", {"Content-Type": "application/grpc-web+proto"}, request)
        self.assertEqual((answer.status, answer.get("content-type"), answer.body), (200, "application/grpc-web+proto", wanted))
        answer = gw.request("POST", "/web/test.Echo/Unary", {"Content-Type": "application/grpc-web-text"}, base64.b64encode(request))
        pieces = [base64.b64decode(p + b"=" * (-len(p) % 4)) for p in answer.body.replace(b"=", b" ").split()]
        self.assertEqual((answer.get("content-type"), b"".join(pieces)), ("application/grpc-web-text", wanted))

    def test_a_server_that_is_not_there_is_unavailable(self):
        gw = self.serve_grpc(free_port())
        self.assertEqual(self.call(gw.port, "refused"), "UNAVAILABLE")


class Stream:
    def __init__(self, connection, number, fields):
        self.connection, self.number, self.fields = connection, number, fields
        self.body, self.is_ended, self.reset = b"", False, None

    def answer(self, body=b"hello", trailers=(), status="200", more=()):
        c = self.connection
        parts = [frame(HEADERS, END_HEADERS, self.number, block([(":status", status), *more]))]
        if body:
            parts.append(frame(DATA, 0 if trailers else END_STREAM, self.number, body))
        if trailers or not body:
            parts.append(frame(HEADERS, END_HEADERS | END_STREAM, self.number, block(trailers)) if trailers else
                         frame(DATA, END_STREAM, self.number))
        c.send(b"".join(parts))


class Node:
    """An HTTP/2 server on bare sockets. `on_stream(stream)` is called when a request is whole, `on_data(stream)` with each piece
    of one. `greeting` goes behind its SETTINGS."""

    def __init__(self, on_stream, settings=None, opens_windows=True, on_data=None, greeting=b""):
        self.on_stream, self.settings, self.opens_windows = on_stream, settings or {}, opens_windows
        self.on_data, self.greeting, self.may_greet = on_data or (lambda stream: None), greeting, threading.Event()
        self.may_greet.set()
        self.listener = socket.create_server((HOST, 0))
        self.port, self.connections, self.streams = self.listener.getsockname()[1], [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(NodeConnection(self, sock, len(self.connections)))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


class NodeConnection:
    def __init__(self, node, sock, number):
        self.node, self.sock, self.number, self.streams, self.is_ended = node, sock, number, {}, False
        self.acks, self.goaway, self.may_read = 0, None, threading.Event()
        self.may_read.set()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.is_ended = True

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.may_read.set()
        self.thread.join(60)
        self.sock.close()

    def take(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise OSError
            data += piece
        return data

    def run(self):
        inflater = Inflater()
        try:
            if self.take(len(PREFACE)) != PREFACE:
                return
            self.node.may_greet.wait(120)
            self.send(frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in self.node.settings.items())) + self.node.greeting)
            while True:
                self.may_read.wait(120)
                begun = self.take(9)
                self.take_frame(inflater, begun[3], begun[4], struct.unpack(">I", begun[5:])[0],
                                self.take(int.from_bytes(begun[:3], "big")))
        except OSError:
            self.is_ended = True
        finally:
            inflater.close()

    def take_frame(self, inflater, kind, flags, number, payload):
        stream = self.streams.get(number)
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and flags & ACK:
            self.acks += 1
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == RST_STREAM:
            stream.reset = struct.unpack(">I", payload)[0]
        elif kind == HEADERS and stream is None:
            stream = self.streams[number] = Stream(self, number, inflater.decode(payload))
            self.node.streams.append(stream)
        elif kind == DATA:
            stream.body += payload
            self.node.on_data(stream)
            if payload and self.node.opens_windows:
                opened = struct.pack(">I", len(payload))
                self.send(frame(WINDOW_UPDATE, 0, 0, opened) + frame(WINDOW_UPDATE, 0, number, opened))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            stream.is_ended = True
            self.node.on_stream(stream)


@sanitized
class Frames(GrpcTestCase):
    def node(self, on_stream=lambda stream: stream.answer(), **more):
        node = Node(on_stream, **more)
        self.addCleanup(node.close)
        return node

    def test_a_request_is_translated(self):
        node = self.node()
        gw = self.serve_grpc(node.port)
        answer = gw.request("POST", "/a?b=c", {"X-Upper": "1", "Connection": "keep-alive, X-Gone", "X-Gone": "1"}, b"body")
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        fields = node.streams[0].fields
        self.assertEqual([fields.get(n) for n in (":method", ":scheme", ":path", "x-upper", "te", "content-length")],
                         ["POST", "http", "/a?b=c", "1", "trailers", "4"])
        self.assertTrue(fields.get(":authority"))
        for name in ("host", "connection", "keep-alive", "x-gone", "transfer-encoding"):
            self.assertIsNone(fields.get(name), name)
        self.assertEqual(node.streams[0].body, b"body")

    def test_trailers_reach_http1_clients_behind_chunks(self):
        node = self.node(lambda stream: stream.answer(b"hello", [("grpc-status", "0"), ("grpc-message", "fine")]))
        gw = self.serve_grpc(node.port)
        data = gw.raw(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(data.endswith(b"\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"), data)

    def test_requests_share_a_connection_and_full_ones_get_another(self):
        waiting, may_answer = [], threading.Event()

        def hold(stream):
            waiting.append(stream)
            if may_answer.is_set():
                stream.answer()
        node = self.node(hold, settings={MAX_CONCURRENT_STREAMS: 2})
        gw = self.serve_grpc(node.port)
        clients = [threading.Thread(target=lambda: statuses.append(gw.get("/").status)) for _ in range(5)]
        statuses = []
        for client in clients:
            client.start()
        wait_for(lambda: len(waiting) == 5, 10, "five requests at the node")
        may_answer.set()
        self.assertEqual(len(node.connections), 3)
        self.assertTrue(all(len(c.streams) <= 2 for c in node.connections))
        for stream in list(waiting):
            stream.answer()
        for client in clients:
            client.join(60)
        self.assertEqual(statuses, [200] * 5)
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(len(node.connections), 3)

    def test_streams_that_a_goaway_leaves_out_go_to_a_new_connection_even_with_a_body(self):
        def leave(stream):
            if stream.connection.number == 0 and stream.number == 3:
                return stream.connection.send(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
            return stream.answer(b"%d" % stream.connection.number)
        node = self.node(leave)
        gw = self.serve_grpc(node.port)
        self.assertEqual(gw.get("/").body, b"0")
        self.assertEqual(gw.request("POST", "/", {}, b"body").body, b"1")
        self.assertEqual(node.streams[-1].body, b"body")

    def test_a_request_that_waits_for_a_socket_moves_from_a_connection_that_ends_and_is_sent_once(self):
        # The first connection takes no bytes, so that the second request's are in the gateway still when the node says goodbye.
        def stop_reading(stream):
            if len(stream.body) < 20000 and stream.fields.get(":path") == "/upload":
                stream.connection.may_read.clear()
        huge = 0x7fffffff
        node = self.node(settings={INITIAL_WINDOW_SIZE: huge}, greeting=frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", huge - 65535)),
                         on_data=stop_reading)
        gw = self.serve_grpc(node.port, settings={"client": {"body_max_mb": 0}})
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with socket.create_connection((HOST, gw.port)) as upload:
            upload.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            upload.setblocking(False)
            rest = chunk
            while select.select([], [upload], [], 1)[1]:  # until nothing on the way takes more
                rest = rest[upload.send(rest):] or chunk
            answers = []
            second = threading.Thread(target=lambda: answers.append(gw.request("POST", "/second", {}, b"body")))
            second.start()
            wait_for(lambda: gw.status()["workers"][0]["connections"] == 2, 10, "the second request at the gateway")
            node.connections[0].send(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
            second.join(60)
            self.assertEqual([a.status for a in answers], [200])
            node.connections[0].may_read.set()
            upload.setblocking(True)
            upload.sendall(rest + b"0\r\n\r\n")
            self.assertTrue(upload.recv(100).startswith(b"HTTP/1.1 200"))
        self.assertEqual(gw.get("/after").status, 200)
        self.assertEqual([s.fields.get(":path") for s in node.streams], ["/upload", "/second", "/after"])

    def test_a_body_that_comes_slowly_follows_its_request_to_another_connection(self):
        def refuse(stream):
            if stream.connection.number == 0 and stream.body == b"first":
                node.may_greet.clear()
                stream.connection.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        node = self.node(on_data=refuse)
        gw = self.serve_grpc(node.port)
        with Http2Client(gw.port) as client:
            stream = client.open(head("POST"), body=b"first", is_last=False)
            wait_for(lambda: len(node.connections) == 2, 10, "another connection")
            client.data(stream, b" and last", is_last=True)
            client.send(frame(PING, 0, 0, b"12345678"))
            client.wait(lambda: client.pings, 10)  # all of it is at the gateway
            node.may_greet.set()
            client.wait(lambda: client.answer(stream).is_over, 10)
            self.assertEqual(client.answer(stream).status, 200)
        self.assertEqual(node.streams[-1].body, b"first and last")

    def test_a_node_that_ends_each_connection_at_once_is_given_up(self):
        node = self.node(greeting=frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        gw = self.serve_grpc(node.port)
        self.assert_error(gw.get("/"), 502)
        self.assertLess(len(node.connections), 10)

    def test_a_connection_that_has_gone_silent_gets_no_further_requests(self):
        node = self.node(lambda stream: (stream.number == 1 or stream.connection.number > 0) and stream.answer())
        gw = self.serve_grpc(node.port, upstream={"timeout": {"connect": 5, "send": 5, "read": 1}})
        self.assertEqual(gw.get("/").status, 200)
        self.assert_error(gw.get("/"), 504)
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(len(node.connections), 2)

    def test_a_refused_stream_is_sent_again_a_few_times(self):
        refusals = iter(range(2))

        def refuse(stream):
            if next(refusals, None) is None:
                return stream.answer()
            return stream.connection.send(frame(RST_STREAM, 0, stream.number, struct.pack(">I", REFUSED_STREAM)))
        gw = self.serve_grpc(self.node(refuse).port)
        self.assertEqual(gw.request("POST", "/", {}, b"body").status, 200)
        always = self.node(lambda s: s.connection.send(frame(RST_STREAM, 0, s.number, struct.pack(">I", REFUSED_STREAM))))
        gw = self.serve_grpc(always.port)
        self.assert_error(gw.request("POST", "/", {}, b"body"), 502, "refused")
        self.assertEqual(len(always.streams), 4)

    def test_a_stream_that_is_reset_is_not_sent_again(self):
        node = self.node(lambda s: s.connection.send(frame(RST_STREAM, 0, s.number, struct.pack(">I", 2))))
        gw = self.serve_grpc(node.port)
        self.assert_error(gw.get("/"), 502, "code 2")
        self.assertEqual(len(node.streams), 1)

    def test_a_cancelled_request_is_reset_at_once_while_others_are_under_way_on_its_connection(self):
        node = self.node(lambda stream: None)
        gw = self.serve_grpc(node.port)
        with Http2Client(gw.port) as client:
            kept, cancelled = client.open(head(path="/kept")), client.open(head(path="/cancelled"))
            wait_for(lambda: len(node.streams) == 2, 10, "both requests at the node")
            client.reset(cancelled)
            streams = {s.fields.get(":path"): s for s in node.streams}
            wait_for(lambda: streams["/cancelled"].reset == 8, 5, "the stream's reset at the node")
            self.assertEqual((streams["/kept"].reset, client.answer(kept).is_over), (None, False))

    def test_a_connection_that_dies_fails_its_streams_alone(self):
        def die(stream):
            if stream.fields.get(":path") == "/die":
                return stream.connection.sock.shutdown(socket.SHUT_RDWR)
            return stream.answer()
        gw = self.serve_grpc(self.node(die).port)
        self.assert_error(gw.request("POST", "/die", {}, b"x"), 502, "closed the connection")
        self.assertEqual(gw.get("/").status, 200)

    def test_a_server_that_speaks_http1_is_told_apart(self):
        up = self.upstream(ok())
        gw = self.serve_grpc(up.port)
        self.assert_error(gw.get("/"), 502, "HTTP/2")
        self.assertEqual([r for r in up.requests if r.target == "/"], [])

    def test_nodes_that_cannot_take_a_request_are_passed_over_and_one_that_may_have_is_not(self):
        node, http1 = self.node(), self.upstream(ok())
        gw = self.serve_grpc({f"{HOST}:{free_port()}": 1, f"{HOST}:{http1.port}": 1, f"{HOST}:{node.port}": 1})
        for _ in range(6):
            self.assertEqual(gw.request("POST", "/", {}, b"body").status, 200)
        self.assertEqual([s.body for s in node.streams], [b"body"] * 6)
        dying = self.node(lambda s: s.connection.sock.shutdown(socket.SHUT_RDWR))
        gw = self.serve_grpc({f"{HOST}:{dying.port}": 100, f"{HOST}:{node.port}": 1})
        self.assert_error(gw.request("POST", "/", {}, b"body"), 502)
        self.assertEqual(gw.get("/").status, 200)  # may be done twice
        self.assertEqual(len(node.streams), 7)

    def test_a_tls_server_without_h2_is_told_apart(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = certificate("a.test")
        context.load_cert_chain(issued.cert_path, issued.key_path)
        up = self.upstream(ok(), tls=context)
        gw = self.serve_grpc(up.port, "grpcs", settings={"upstream": {"tls_verify": False}})
        self.assert_error(gw.get("/"), 502, "did not choose h2")
        self.assertEqual(up.requests, [])

    def test_floods_end_the_connection_and_nothing_else(self):
        def flood(stream):
            if stream.connection.number == 0:
                return stream.connection.send(frame(PING, 0, 0, b"x" * 8) * 5000)
            return stream.answer()
        gw = self.serve_grpc(self.node(flood).port)
        answer = gw.request("POST", "/", {}, b"x")
        self.assert_error(answer, 502)
        # Ours counts frames in time; the library's own counts answers that have not been sent yet, and a slow machine gets there first.
        self.assertRegex(answer.json()["error_msg"], "idle frames|Flooding was detected")
        self.assertEqual(gw.get("/").status, 200)

    def test_a_node_that_breaks_the_rules_fails_its_requests_at_once(self):
        promise = 5
        node = self.node(lambda s: s.connection.send(frame(promise, END_HEADERS, s.number, struct.pack(">I", 2) + block(head()))))
        gw = self.serve_grpc(node.port)
        self.assert_error(gw.get("/"), 502, "no valid HTTP/2")
        wait_for(lambda: node.connections[0].is_ended, 10, "the end of the connection")

    def test_malformed_answers_are_502(self):
        for fields in ([(":status", "2000")], [("x", "y")], [(":status", "200"), ("X-Upper", "1")], [(":status", "101")],
                       [(":status", "200"), ("connection", "close")], [(":status", "200"), ("x", "a\r\nb: c")],
                       [(":status", "200"), ("content-length", "5"), ("content-length", "6")]):
            with self.subTest(fields):
                node = self.node(lambda s, f=fields: s.connection.send(
                    frame(HEADERS, END_HEADERS | END_STREAM, s.number, block(f))))
                self.assert_error(self.serve_grpc(node.port).get("/"), 502)

    def test_interim_answers_have_no_length(self):
        def answer(length):
            def send(stream):
                early = [(":status", "103"), ("link", "</a.css>"), ("content-length", length)]
                stream.connection.send(frame(HEADERS, END_HEADERS, stream.number, block(early)))
                stream.answer()
            return send
        got = self.serve_grpc(self.node(answer("0")).port).get("/")
        self.assertEqual([(i.status, i.get("Link"), i.get("Content-Length")) for i in got.interim], [(103, "</a.css>", None)])
        self.assertEqual((got.status, got.body), (200, b"hello"))
        self.assert_error(self.serve_grpc(self.node(answer("5")).port).get("/"), 502, "announces a body")

    def test_browsers_get_all_trailers(self):
        trailers = [("x-custom", "1"), ("grpc-message", "no such: thing"), ("grpc-status", "5"), ("grpc-status-details-bin", "CAUSAm5v"), ("x-custom", "2")]
        node = self.node(lambda stream: stream.answer(b"\0\0\0\0\1a", trailers, more=[("content-type", "application/grpc")]))
        gw = self.serve_grpc(node.port, plugins={"grpc-web": {}}, uri="/web/*")
        answer = gw.request("POST", "/web/test.Echo/Unary", {"Content-Type": "application/grpc-web"}, b"\0\0\0\0\0")
        lines = b"grpc-status:5\r\ngrpc-message:no such: thing\r\nx-custom:1\r\ngrpc-status-details-bin:CAUSAm5v\r\nx-custom:2\r\n"
        self.assertEqual(answer.body, b"\0\0\0\0\1a\x80" + struct.pack(">I", len(lines)) + lines)

    def test_an_answer_that_breaks_off_does_not_look_whole(self):
        node = self.node(lambda s: s.connection.send(
            frame(HEADERS, END_HEADERS, s.number, block([(":status", "200")])) + frame(DATA, 0, s.number, b"part") +
            frame(RST_STREAM, 0, s.number, struct.pack(">I", 2))))
        data = self.serve_grpc(node.port).raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertFalse(data.endswith(b"0\r\n\r\n"), data)

    def test_clients_that_do_not_read_hold_up_nobody_on_the_same_connection_and_their_end_is_passed_on(self):
        def answer(stream):
            if stream.fields.get(":path") != "/big":
                return stream.answer()
            return stream.connection.send(frame(HEADERS, END_HEADERS, stream.number, block([(":status", "200")])) +
                                          frame(DATA, 0, stream.number, b"x" * 16000) * 15)
        node = self.node(answer)
        gw = self.serve_grpc(node.port)
        with Http2Client(gw.port, settings={INITIAL_WINDOW_SIZE: 0}) as client:
            for _ in range(90):  # more than the connection's window together
                client.open(head(path="/big"))
            wait_for(lambda: len(node.streams) == 90, 10, "the requests at the node")
            self.assertEqual(gw.get("/").body, b"hello")
        self.assertEqual(len(node.connections), 1)
        wait_for(lambda: sum(s.reset == 8 for s in node.streams) == 90, 10, "the streams' resets")
        self.assertEqual(gw.get("/").status, 200)

    def test_an_idle_connection_is_closed_with_a_goaway(self):
        node = self.node()
        gw = self.serve_grpc(node.port, upstream={"keepalive_pool": {"size": 10, "idle_timeout": 1, "requests": 100}})
        self.assertEqual(gw.get("/").status, 200)
        wait_for(lambda: node.connections[0].is_ended, 10, "the end of the idle connection")
        self.assertEqual(node.connections[0].goaway, 0)

    def test_a_connection_carries_no_more_than_its_share(self):
        node = self.node()
        gw = self.serve_grpc(node.port, upstream={"keepalive_pool": {"size": 10, "idle_timeout": 60, "requests": 2}})
        for _ in range(5):
            self.assertEqual(gw.get("/").status, 200)
        self.assertEqual([len(c.streams) for c in node.connections], [2, 2, 1])

    def test_a_node_that_does_not_answer_in_time_is_504_and_hears_of_it(self):
        node = self.node(lambda stream: None)
        gw = self.serve_grpc(node.port, upstream={"timeout": {"connect": 5, "send": 5, "read": 1}})
        self.assert_error(gw.get("/"), 504)
        wait_for(lambda: node.streams[0].reset == 8, 10, "the stream's reset")
        narrow = self.node(opens_windows=False)
        gw = self.serve_grpc(narrow.port, upstream={"timeout": {"connect": 5, "send": 1, "read": 5}})
        self.assert_error(gw.request("POST", "/", {}, b"x" * 100000), 504, "did not take the request")
        self.assertEqual(len(narrow.streams[0].body), 65535)
        silent = socket.create_server((HOST, 0))
        self.addCleanup(silent.close)
        gw = self.serve_grpc(silent.getsockname()[1], upstream={"timeout": {"connect": 1, "send": 5, "read": 5}})
        self.assert_error(gw.get("/"), 504, "connecting took too long")


def grpc_head(timeout, content_type="application/grpc", path="/test.Echo/Both"):
    return head("POST", path=path, more=[("content-type", content_type), ("te", "trailers"), ("grpc-timeout", timeout)])


@sanitized
class Deadlines(GrpcTestCase):
    """The gateway's own keeping of grpc-timeout, in front of a server that has fallen silent."""

    def node(self, on_stream):
        node = Node(on_stream)
        self.addCleanup(node.close)
        return node

    def ask(self, gw, fields, **more):
        with Http2Client(gw.port) as client:
            return client.fetch(fields, **more)

    def serve_timed(self, port, **more):
        """A gateway whose clock the test moves."""
        self.clock = Clock(self)
        return self.serve_grpc(port, env=self.clock.env, **more)

    def pass_time(self, gw, node):
        """More than 30 seconds, once the node has the request."""
        wait_for(lambda: node.streams, 10, "the request at the node")
        self.clock.advance(31)
        gw.raw(b"?\r\n\r\n")     # a turn in which the time is noticed

    def ask_in_vain(self, gw, node, fields, begun=b"", **more):
        """What has come when the time is over, `begun` before that."""
        with Http2Client(gw.port) as client:
            answer = client.answer(client.open(fields, **more))
            client.wait(lambda: answer.body == begun)
            self.pass_time(gw, node)
            return client.wait(lambda: answer.is_over and answer)

    def test_a_silent_server_is_deadline_exceeded_and_hears_of_it(self):
        node = self.node(lambda stream: None)
        gw = self.serve_timed(node.port, settings={"access_log": {"path": "access.log", "format": "$status $grpc_status $upstream_status"}})
        answer = self.ask_in_vain(gw, node, grpc_head("30000m"), body=b"\0\0\0\0\0")
        self.assertEqual([answer.get(n) for n in (":status", "content-type", "grpc-status")], ["200", "application/grpc", "4"])
        self.assertIn("deadline", answer.get("grpc-message"))
        self.assertEqual((answer.body, answer.trailers, answer.reset), (b"", None, None))
        wait_for(lambda: node.streams[0].reset == 8, 10, "the stream's reset at the server")
        path = os.path.join(gw.run_dir, "access.log")
        wait_for(lambda: os.path.exists(path) and "200 4 504\n" in open(path, encoding="utf-8"), 10, "the log line")

    def test_an_answer_that_has_begun_ends_with_the_status_in_its_trailers(self):
        node = self.node(lambda s: s.connection.send(
            frame(HEADERS, END_HEADERS, s.number, block([(":status", "200"), ("content-type", "application/grpc")])) +
            frame(DATA, 0, s.number, b"\0\0\0\0\1a")))
        answer = self.ask_in_vain(self.serve_timed(node.port), node, grpc_head("30S"), b"\0\0\0\0\1a", body=b"\0\0\0\0\0")
        self.assertEqual((answer.status, answer.body, answer.is_ended), (200, b"\0\0\0\0\1a", True))
        self.assertEqual(answer.trailers.get("grpc-status"), "4")
        wait_for(lambda: node.streams[0].reset == 8, 10, "the stream's reset at the server")

    def test_an_answer_that_is_no_grpc_does_not_look_whole(self):
        node = self.node(lambda s: s.connection.send(
            frame(HEADERS, END_HEADERS, s.number, block([(":status", "200"), ("content-type", "text/plain")])) + frame(DATA, 0, s.number, b"part")))
        gw = self.serve_timed(node.port)
        answer = self.ask_in_vain(gw, node, grpc_head("30S"), b"part", body=b"\0\0\0\0\0")
        self.assertEqual((answer.body, answer.trailers, answer.reset), (b"part", None, 2))
        del node.streams[:]
        with gw.client() as client:
            client.send(request_bytes("POST", "/", {"Content-Type": "application/grpc", "grpc-timeout": "30S"}, b"\0\0\0\0\0"))
            client.reader.until(b"part")
            self.pass_time(gw, node)
            self.assertNotIn(b"0\r\n\r\n", client.reader.to_end())

    def test_a_request_that_has_not_ended_is_ended_too(self):
        node = self.node(lambda stream: None)
        answer = self.ask_in_vain(self.serve_timed(node.port), node, grpc_head("30S"), body=b"\0\0\0\0\0", is_last=False)
        self.assertEqual(answer.get("grpc-status"), "4")
        wait_for(lambda: node.connections[0].streams[1].reset == 8, 10, "the stream's reset at the server")

    def test_browsers_get_it_in_the_body(self):
        node = self.node(lambda stream: None)
        gw = self.serve_timed(node.port, plugins={"grpc-web": {}}, uri="/web/*")
        with gw.client() as client:
            client.send(request_bytes("POST", "/web/test.Echo/Unary", {"Content-Type": "application/grpc-web", "grpc-timeout": "30000m"}, b"\0\0\0\0\0"))
            self.pass_time(gw, node)
            answer = client.read()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body[:1], b"\x80")
        self.assertIn(b"grpc-status:4\r\n", answer.body)

    def test_a_deadline_covers_all_tries(self):
        refuse = lambda s: s.connection.send(frame(RST_STREAM, 0, s.number, struct.pack(">I", REFUSED_STREAM)))
        silent = self.node(lambda stream: None)
        gw = self.serve_timed({f"{HOST}:{self.node(refuse).port}": 1000, f"{HOST}:{silent.port}": 1})
        self.assertEqual(self.ask_in_vain(gw, silent, grpc_head("30S")).get("grpc-status"), "4")
        self.assertEqual(len(silent.streams), 1)

    def test_a_deadline_that_has_passed_before_asks_nobody(self):
        node = self.node(lambda stream: stream.answer())
        self.assertEqual(self.ask(self.serve_grpc(node.port), grpc_head("0n")).get("grpc-status"), "4")
        self.assertEqual(node.streams, [])

    def test_the_routes_own_limit_comes_first_where_it_is_shorter(self):
        gw = self.serve_grpc(self.node(lambda stream: None).port, upstream={"timeout": {"connect": 5, "send": 5, "read": 0.3}})
        self.assertEqual(self.ask(gw, grpc_head("20S")).status, 504)

    def test_what_is_no_grpc_or_no_timeout_has_no_deadline(self):
        gw = self.serve_grpc(self.node(lambda stream: None).port, upstream={"timeout": {"connect": 5, "send": 5, "read": 0.5}})
        for fields in (grpc_head("1m", content_type="text/plain"), grpc_head("1"), grpc_head("m"), grpc_head("-1m"), grpc_head("000000001m")):
            with self.subTest(fields[-1]):
                self.assertEqual(self.ask(gw, fields).status, 504)

    def test_an_answer_in_time_is_left_alone(self):
        node = self.node(lambda s: s.answer(b"\0\0\0\0\1a", [("grpc-status", "0")], more=[("content-type", "application/grpc")]))
        gw = self.serve_grpc(node.port)
        for timeout in ("20S", "99999999H", "99999999n"):
            answer = self.ask(gw, grpc_head(timeout))
            self.assertEqual((answer.body, answer.trailers.get("grpc-status")), (b"\0\0\0\0\1a", "0"))


@sanitized
class BrokenOff(GrpcTestCase):
    """Answers that have begun and that their server, or we, cannot finish: the client is told why in trailers."""

    MESSAGE = b"\0\0\0\0\1a"

    def begin(self, then, content_type="application/grpc"):
        """A node that begins an answer and then does something else."""
        def answer(stream):
            stream.connection.send(frame(HEADERS, END_HEADERS, stream.number, block([(":status", "200"), ("content-type", content_type)])) +
                                   frame(DATA, 0, stream.number, self.MESSAGE))
            then(stream)
        node = Node(answer)
        self.addCleanup(node.close)
        return node

    @staticmethod
    def die(stream):
        stream.connection.sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def reset(stream):
        stream.connection.send(frame(RST_STREAM, 0, stream.number, struct.pack(">I", 2)))

    def test_a_stream_that_the_server_resets_means_to_a_client_what_it_would_without_a_gateway(self):
        for code, status in ((0, "13"), (8, "1"), (7, "14"), (11, "8"), (12, "7")):
            with self.subTest(code):
                gw = self.serve_grpc(self.begin(lambda s, c=code: s.connection.send(frame(RST_STREAM, 0, s.number, struct.pack(">I", c)))).port)
                with Http2Client(gw.port) as client:
                    answer = client.fetch(grpc_head("20S"), body=b"\0\0\0\0\0")
                self.assertEqual((answer.status, answer.body, answer.trailers.get("grpc-status")), (200, self.MESSAGE, status))

    def test_the_status_and_the_reason_are_in_trailers(self):
        for then, status, text in ((self.die, "14", "in the middle of its answer"), (self.reset, "13", "(code 2)")):
            with self.subTest(status):
                gw = self.serve_grpc(self.begin(then).port, settings={"access_log": {"path": "access.log", "format": "$status $grpc_status"}})
                with Http2Client(gw.port) as client:
                    answer = client.fetch(grpc_head("20S"), body=b"\0\0\0\0\0")
                self.assertEqual((answer.status, answer.body, answer.reset in (None, 0)), (200, self.MESSAGE, True))
                self.assertEqual(answer.trailers.get("grpc-status"), status)
                self.assertIn(text, answer.trailers.get("grpc-message"))
                path = os.path.join(gw.run_dir, "access.log")
                wait_for(lambda p=path, s=status: os.path.exists(p) and open(p, encoding="utf-8").read() == f"200 {s}\n", 10, "the log line")

    def test_a_silence_in_the_middle_ends_likewise(self):
        gw = self.serve_grpc(self.begin(lambda stream: None).port, upstream={"timeout": {"connect": 5, "send": 5, "read": 0.3}})
        with Http2Client(gw.port) as client:
            answer = client.fetch(head("POST", path="/test.Echo/Both", more=[("content-type", "application/grpc"), ("te", "trailers")]), body=b"\0\0\0\0\0")
        self.assertEqual(answer.trailers.get("grpc-status"), "14")
        self.assertIn("did not answer in time", answer.trailers.get("grpc-message"))

    def test_http1_clients_get_the_trailers_behind_chunks(self):
        gw = self.serve_grpc(self.begin(self.die).port)
        answer = gw.request("POST", "/test.Echo/Both", {"Content-Type": "application/grpc", "TE": "trailers"}, b"\0\0\0\0\0")
        self.assertEqual((answer.body, answer.trailers.get("grpc-status")), (self.MESSAGE, "14"))

    def test_browsers_get_it_in_the_body(self):
        gw = self.serve_grpc(self.begin(self.die).port, plugins={"grpc-web": {}}, uri="/web/*")
        call = base64.b64encode(b"\0\0\0\0\0")
        answer = gw.request("POST", "/web/test.Echo/Both", {"Content-Type": "application/grpc-web-text"}, call)
        parts = answer.body.split(b"=")     # each piece is encoded, and padded, by itself
        body = b"".join(base64.b64decode(p + b"=" * (-len(p) % 4)) for p in parts if p)
        self.assertEqual(body[:len(self.MESSAGE) + 1], self.MESSAGE + b"\x80")
        self.assertIn(b"grpc-status:14\r\n", body)

    def test_what_is_no_grpc_does_not_look_whole(self):
        gw = self.serve_grpc(self.begin(self.die, "text/plain").port)
        with Http2Client(gw.port) as client:
            answer = client.fetch(grpc_head("20S"), body=b"\0\0\0\0\0")
        self.assertEqual((answer.trailers, answer.reset), (None, 2))

    def test_grpc_web_of_an_upstreams_own_does_not_look_whole(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n" + self.MESSAGE + b"\r\n")
            connection.close()
        gw = self.serve_grpc(self.upstream(answer).port, scheme="http")
        with Http2Client(gw.port) as client:
            answer = client.fetch(grpc_head("20S", "application/grpc-web+proto"), body=b"\0\0\0\0\0")
        self.assertEqual((answer.body, answer.trailers, answer.reset), (self.MESSAGE, None, 2))

    def serve_revocable(self, nodes, *names, scheme="grpc"):
        """(gateway, how it is told who is left)"""
        def resources(*left):
            return {"consumers": [{"username": name, "plugins": {"key-auth": {"key": name}}} for name in left]}
        r = {**route("/*", nodes), "plugins": {"key-auth": {}}}
        r["upstream"]["scheme"] = scheme
        gw = self.serve({"routes": [r], **resources(*names)}, listen=CLEAR, workers=1, moongate={"client": {"revocation_grace": 0.2}})
        return gw, lambda *left: gw.apply({"routes": [r], **resources(*left)})

    def test_a_call_that_was_ended_and_waits_for_a_window_stays_as_it_was_ended(self):
        node = self.begin(lambda stream: None)
        gw, leave = self.serve_revocable({f"{HOST}:{node.port}": 1}, "jane", "john")
        with Http2Client(gw.port, settings={INITIAL_WINDOW_SIZE: 5}) as jane, Http2Client(gw.port) as john:
            call = jane.open(grpc_head("20S") + [("apikey", "jane")], body=b"\0\0\0\0\0")
            jane.wait(lambda: len(jane.answer(call).body) == 5)
            johns = john.open(grpc_head("20S") + [("apikey", "john")], body=b"\0\0\0\0\0")
            john.wait(lambda: john.answer(johns).body == self.MESSAGE)
            leave("john")
            gw.wait_log("1 requests ended with the credentials")
            leave()
            john.wait(lambda: john.answer(johns).is_over)
            jane.send(jane.window_update(call, 100))
            jane.wait(lambda: jane.answer(call).is_over)
            answer = jane.answer(call)
        self.assertEqual((answer.body, answer.is_ended), (self.MESSAGE, True))
        self.assertEqual(answer.trailers.get("grpc-status"), "16")

    def test_an_answer_that_waits_for_a_slow_client_of_http1_ends_once(self):
        def answer(request, connection):
            size = int(request.target[1:])
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size
                            + b"x" * size + b"\r\n0\r\n\r\n")
        gw, leave = self.serve_revocable(self.upstream(answer), "jane", scheme="http")
        clients = []
        for size in range(1 << 18, 4 << 20, 1 << 15):    # of some of them the end is with the gateway, and nowhere else
            sock = socket.socket()
            self.addCleanup(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((HOST, gw.port))
            sock.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\nApikey: jane\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % size)
            clients.append(sock)
        for sock in clients:
            sock.settimeout(60)
            self.assertTrue(sock.recv(1, socket.MSG_PEEK))
        leave()
        gw.wait_log("requests ended with the credentials")
        for sock in clients:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            data = b"".join(iter(lambda s=sock: s.recv(1 << 20), b""))
            ends = data.split(b"\r\n0\r\n")
            self.assertEqual(len(ends), 2, data[-1000:])
            self.assertRegex(ends[1], rb"^(grpc-status: 16\r\n.*\r\n)?\r\nHTTP/1.1 401 ")

    def test_a_call_whose_credential_is_gone_is_unauthenticated(self):
        node = self.begin(lambda stream: None)
        jane = {"consumers": [{"username": "jane", "plugins": {"key-auth": {"key": "jane-key"}}}]}
        gw = self.serve_grpc(node.port, plugins={"key-auth": {}}, resources=jane, settings={"client": {"revocation_grace": 0.2}})
        with Http2Client(gw.port) as client:
            stream = client.open(grpc_head("20S") + [("apikey", "jane-key")], body=b"\0\0\0\0\0")
            answer = client.answer(stream)
            client.wait(lambda: answer.body == self.MESSAGE)
            gw.apply({"routes": [{**route("/*", {f"{HOST}:{node.port}": 1}), "plugins": {"key-auth": {}}}]})
            client.wait(lambda: answer.is_over)
        self.assertEqual((answer.is_ended, answer.trailers.get("grpc-status")), (True, "16"))
        wait_for(lambda: node.streams[0].reset == 8, 10, "the stream's reset at the server")

    def test_a_status_in_a_head_alone_arrives_as_it_was_said(self):
        said = [("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "no such method")]
        node = Node(lambda s: s.connection.send(frame(HEADERS, END_HEADERS | END_STREAM, s.number, block([(":status", "200"), *said]))))
        self.addCleanup(node.close)
        with Http2Client(self.serve_grpc(node.port).port) as client:
            answer = client.fetch(grpc_head("20S"), body=b"\0\0\0\0\0")
        self.assertEqual([(n, answer.get(n)) for n, _ in said], said)
        self.assertEqual((answer.is_ended, answer.trailers, answer.get("content-length")), (True, None, None))


if __name__ == "__main__":
    unittest.main()
