# SPDX-License-Identifier: Apache-2.0
"""HTTP/3's rules one by one: what RFC 9114 and RFC 9204 have a server do with frames and fields that may not be, and with those that
may; and requests from clients that mean harm. quic-go carries the packets, the bytes on streams are ours."""

import json
import os
import threading

from harness import needs_tls, ok, route, sanitized, wait_for
from http2_test import LOG
from http3_client import (CANCEL_PUSH, CONTROL_STREAM, DATA, DECODER_STREAM, ENCODER_STREAM, GOAWAY, HEADERS, MAX_PUSH_ID, PUSH_PROMISE,
                          PUSH_STREAM, SETTINGS, Http3TestCase, Steps, block, frame, head, headers, number)

NO_ERROR, STREAM_CREATION, CLOSED_CRITICAL, FRAME_UNEXPECTED, FRAME_ERROR, EXCESSIVE_LOAD, ID_ERROR, SETTINGS_ERROR, MISSING_SETTINGS = (
    0x100, 0x103, 0x104, 0x105, 0x106, 0x107, 0x108, 0x109, 0x10a)
MESSAGE_ERROR, DECOMPRESSION_FAILED, ENCODER_ERROR, DECODER_ERROR = 0x10e, 0x200, 0x201, 0x202
GET = headers(head())
UNKNOWN = 0x21  # of the frames and streams that everybody ignores (RFC 9114 7.2.8)


def control(data):
    """An orderly control stream and more on it."""
    return Steps().send("control", data)


def one_way(data, is_orderly=True):
    return Steps(is_orderly).open_one_way("other").send("other", data)


def on_request(data):
    return Steps().open("a").send("a", data)


# (section, what the client does, the code that the gateway ends the connection with)
CONNECTION_ERRORS = [
    ("9114 4.1: DATA before any HEADERS", on_request(frame(DATA, b"x")), FRAME_UNEXPECTED),
    ("9114 4.1: HEADERS behind trailers", on_request(GET + headers([("a", "1")]) + headers([("b", "1")])), FRAME_UNEXPECTED),
    ("9114 4.1: DATA behind trailers", on_request(GET + headers([("a", "1")]) + frame(DATA, b"x")), FRAME_UNEXPECTED),
    ("9114 6.2.1: a second control stream", one_way(number(CONTROL_STREAM) + frame(SETTINGS)), STREAM_CREATION),
    ("9114 6.2.1: a control stream that does not begin with SETTINGS", one_way(number(CONTROL_STREAM) + frame(GOAWAY, number(0)), False), MISSING_SETTINGS),
    ("9114 6.2.1: a control stream that ends", Steps().finish("control"), CLOSED_CRITICAL),
    ("9114 6.2.1: a control stream that is cut", Steps().ask("a", GET).reset("control"), CLOSED_CRITICAL),
    ("9114 6.2.2: a client's push stream", one_way(number(PUSH_STREAM) + number(0)), STREAM_CREATION),
    ("9114 7.1: a frame that ends before its length", on_request(GET[:10]).finish("a"), FRAME_ERROR),
    ("9114 7.2.1: DATA on the control stream", control(frame(DATA, b"x")), FRAME_UNEXPECTED),
    ("9114 7.2.2: HEADERS on the control stream", control(GET), FRAME_UNEXPECTED),
    ("9114 7.2.3: CANCEL_PUSH on a request", on_request(frame(CANCEL_PUSH, number(0))), FRAME_UNEXPECTED),
    ("9114 7.2.4: SETTINGS on a request", on_request(frame(SETTINGS)), FRAME_UNEXPECTED),
    ("9114 7.2.4: SETTINGS twice", control(frame(SETTINGS)), FRAME_UNEXPECTED),
    ("9114 7.2.4.1: a setting of HTTP/2", one_way(number(CONTROL_STREAM) + frame(SETTINGS, number(2) + number(1)), False), SETTINGS_ERROR),
    ("9114 7.2.5: PUSH_PROMISE from a client", on_request(frame(PUSH_PROMISE, number(0) + block(head()))), FRAME_UNEXPECTED),
    ("9114 7.2.5: PUSH_PROMISE on the control stream", control(frame(PUSH_PROMISE, number(0) + block(head()))), FRAME_UNEXPECTED),
    ("9114 7.2.6: GOAWAY on a request", on_request(frame(GOAWAY, number(0))), FRAME_UNEXPECTED),
    ("9114 7.2.6: a GOAWAY that goes up", control(frame(GOAWAY, number(4)) + frame(GOAWAY, number(8))), ID_ERROR),
    ("9114 7.2.7: MAX_PUSH_ID on a request", on_request(frame(MAX_PUSH_ID, number(0))), FRAME_UNEXPECTED),
    ("9114 7.2.7: a MAX_PUSH_ID that goes down", control(frame(MAX_PUSH_ID, number(4)) + frame(MAX_PUSH_ID, number(2))), FRAME_ERROR),  # the library's; 9114 has ID_ERROR
    *[(f"9114 7.2.8: the frame {kind} of HTTP/2 on {place}", take(frame(kind, b"")), FRAME_UNEXPECTED)
      for kind in (2, 6, 8, 9) for place, take in (("a request", on_request), ("the control stream", control))],
    ("9204 2.2: an entry that is not in the static table", on_request(frame(HEADERS, b"\0\0\xff\x24")), DECOMPRESSION_FAILED),
    ("9204 2.2: an entry of a table that is empty", on_request(frame(HEADERS, b"\0\0\x80")), DECOMPRESSION_FAILED),
    ("9204 4.2: a second encoder stream", Steps().open_one_way("e").send("e", number(ENCODER_STREAM)).open_one_way("f").send("f", number(ENCODER_STREAM)), STREAM_CREATION),
    ("9204 4.2: a second decoder stream", Steps().open_one_way("e").send("e", number(DECODER_STREAM)).open_one_way("f").send("f", number(DECODER_STREAM)), STREAM_CREATION),
    ("9204 4.2: an encoder stream that ends", one_way(number(ENCODER_STREAM)).finish("other"), CLOSED_CRITICAL),
    ("9204 3.2.3: a table, where none is allowed", one_way(number(ENCODER_STREAM) + b"\x3f\x01"), ENCODER_ERROR),
    ("9204 2.1.2: fields that wait for a table", on_request(frame(HEADERS, b"\x02\0\x80")), DECOMPRESSION_FAILED),
    ("9204 4.3.2: a name that is not in the table", one_way(number(ENCODER_STREAM) + b"\x80\x01a"), ENCODER_ERROR),
    ("9204 4.4.1: an acknowledgement of nothing", one_way(number(DECODER_STREAM) + b"\x80"), DECODER_ERROR),
    ("9204 4.4.3: an increment of 0", one_way(number(DECODER_STREAM) + b"\0"), DECODER_ERROR),
    ("9204 4.4.3: an increment beyond what there is", one_way(number(DECODER_STREAM) + b"\x05"), DECODER_ERROR),
]

# What a server has to ignore, before and around a good request.
IGNORED = {
    "an unknown frame on the control stream": control(frame(UNKNOWN, b"x" * 100)),
    "an unknown setting": one_way(number(CONTROL_STREAM) + frame(SETTINGS, number(UNKNOWN) + number(1)), False),
    "an unknown stream": one_way(number(UNKNOWN) + b"anything"),
    "an unknown stream that ends": one_way(number(UNKNOWN) + b"anything").finish("other"),
    "a MAX_PUSH_ID": control(frame(MAX_PUSH_ID, number(8))),
    "a GOAWAY": control(frame(GOAWAY, number(0))),
    "a stream without a type yet": one_way(b"\x40"),
    "an update of a priority": control(frame(0xf0700, number(0) + b"u=1")),
    "nothing": Steps(),
}

# Heads that are answered 400, each a stream's error and nobody else's. They differ from a good one by what their names say.
MALFORMED = {
    "no method": [f for f in head() if f[0] != ":method"],
    "no scheme": [f for f in head() if f[0] != ":scheme"],
    "no path": [f for f in head() if f[0] != ":path"],
    "no host at all": [f for f in head() if f[0] != ":authority"],
    "an empty path": head(""),
    "a path without slash": head("a"),
    "a path with a space": head("/a b"),
    "a path with a request in it": head("/ HTTP/1.1\r\nHost: b.test\r\n\r\nGET /evil"),
    "a path with a NUL": head("/\0"),
    "a path with a fragment": head("/#a"),
    "a path above the root": head("/../a"),
    "an asterisk for GET": head("*"),
    "a method with a space": head(method="GET /evil HTTP/1.1\r\nX:"),
    "an empty method": head(method=""),
    "a method twice": [(":method", "GET"), *head()],
    "a path twice": [*head(), (":path", "/evil")],
    "an authority twice": [*head(), (":authority", "localhost")],
    "an unknown pseudo-field": [*head(), (":evil", "1")],
    "a pseudo-field of answers": [*head(), (":status", "200")],
    "a pseudo-field behind others": [("x-a", "1"), *head()],
    "protocol without CONNECT": [*head(), (":protocol", "websocket")],
    "an authority with userinfo": head(authority="a@b.test"),
    "an authority with a path": head(authority="a.test/evil"),
    "an authority with a line": head(authority="a.test\r\nx: y"),
    "an empty authority": head(authority=""),
    "host and authority that differ": head(more=[("host", "b.test")]),
    "two hosts": [*[f for f in head() if f[0] != ":authority"], ("host", "localhost"), ("host", "localhost")],
    "an upper case name": head(more=[("X-Upper", "1")]),
    "connection": head(more=[("connection", "close")]),
    "connection that lists a field": head(more=[("connection", "x-consumer-name")]),
    "keep-alive": head(more=[("keep-alive", "1")]),
    "proxy-connection": head(more=[("proxy-connection", "1")]),
    "transfer-encoding": head(method="POST", more=[("transfer-encoding", "chunked")]),
    "upgrade": head(more=[("upgrade", "websocket")]),
    "te other than trailers": head(more=[("te", "chunked")]),
    "two lengths": head(method="POST", more=[("content-length", "1"), ("content-length", "1")]),
    "a list of lengths": head(method="POST", more=[("content-length", "1, 1")]),
    "a length that is no number": head(method="POST", more=[("content-length", "+1")]),
    "a negative length": head(method="POST", more=[("content-length", "-1")]),
    "a length without a body": head(method="POST", more=[("content-length", "5")]),
}
# Fields that the library leaves out as if they had not come: what counts is that nobody gets them.
LEFT_OUT = {
    "an empty name": ("", "1"),
    "a name with a space": ("a b", "1"),
    "a name with a line": ("a\r\nb", "1"),
    "a name with a NUL": ("a\0", "1"),
    "a value with CR LF": ("x-a", "1\r\nevil: 1"),
    "a value with LF": ("x-a", "1\nevil: 1"),
    "a value with CR": ("x-a", "1\r"),
    "a value with a NUL": ("x-a", "1\0"),
    "a value with blanks before": ("x-a", " 1"),
    "a value with blanks behind": ("x-a", "1\t"),
}
OTHERWISE_REFUSED = {
    "an extended CONNECT": (400, [(":protocol", "websocket"), *head(method="CONNECT")]),
    "a length beyond numbers": (400, head(method="POST", more=[("content-length", "9" * 30)])),
    "an expectation": (417, head(more=[("expect", "the-unexpected")])),
    "too many fields": (431, head(more=[(f"x-{i}", "1") for i in range(101)])),
    "too large a head": (431, head(more=[("x-large", "a" * 33000)])),
}


@needs_tls("HTTP/3")
@sanitized
class Rules(Http3TestCase):
    def setUp(self):
        self.held = threading.Event()
        self.addCleanup(self.held.set)

        def answer(request, _):
            if request.target == "/held":
                self.held.wait(60)
            return ok(request.body or b"ok")
        self.up = self.upstream(answer)
        self.gw = self.serve_http3([route("/*", self.up)], moongate=LOG, workers=1)

    def test_a_broken_rule_ends_the_connection_with_the_code_that_says_which(self):
        for name, steps, code in CONNECTION_ERRORS:
            with self.subTest(name):
                done = self.take(steps.await_end())
                self.assertEqual((done.code, done.transport_code), (code, None), done.told)
        self.assertEqual(self.take(Steps().ask("a", GET)).status_of("a"), 200)

    def test_what_a_server_has_to_ignore_changes_nothing(self):
        for name, steps in IGNORED.items():
            with self.subTest(name):
                steps.open("before").send("before", GET[:5])
                done = self.take(steps.ask("a", frame(UNKNOWN, b"grease") + GET + frame(UNKNOWN, b"")))
                self.assertEqual((done.code, done.status_of("a"), done.is_whole("a")), (None, 200, True), done.told)

    def test_frames_may_come_in_pieces_of_any_size(self):
        body = frame(DATA, b"hello ") + frame(DATA) + frame(DATA, b"world")
        steps = Steps().open("a")
        for byte in headers(head(method="POST")) + body + headers([("x-late", "1")]):
            steps.send("a", bytes((byte,)))
        done = self.take(steps.finish("a").hear("a"))
        self.assertEqual((done.status_of("a"), done.bytes_of("a").endswith(b"hello world")), (200, True), done.told)
        self.assertEqual(self.up.requests[-1].body, b"hello world")

    def test_the_gateways_own_streams_begin_as_they_must(self):
        done = self.take(Steps().ask("a", GET))
        kinds = sorted(data[0] for data in done.opened.values())
        self.assertEqual(kinds, [CONTROL_STREAM, ENCODER_STREAM, DECODER_STREAM])
        own = next(data for data in done.opened.values() if data[0] == CONTROL_STREAM)
        self.assertEqual(own[1], SETTINGS)

    def test_a_handshake_for_another_protocol_is_refused(self):
        no_application_protocol = 0x178
        done = self.take(Steps(), protocol="h3-29")
        self.assertEqual((done.refused["kind"], done.refused["code"]), ("transport", no_application_protocol))

    def test_a_cancelled_request_is_over_at_once(self):
        steps = Steps()
        for i in range(20):
            steps.open(f"s{i}").send(f"s{i}", headers(head(method="POST"))).reset(f"s{i}")
            steps.open(f"t{i}").send(f"t{i}", headers(head(method="POST"))).stop(f"t{i}")
        done = self.take(steps.ask("a", GET))
        self.assertEqual((done.code, done.status_of("a")), (None, 200), done.told)

    def test_cancelled_requests_without_end_end_the_connection(self):
        ways = {
            "cut": lambda s: s.send("s", headers(head(method="POST"))).reset("s").stop("s"),
            "not wanted": lambda s: s.send("s", headers(head("/held"))).finish("s").stop("s"),
            "not wanted, with a friendly code": lambda s: s.send("s", headers(head("/held"))).finish("s").stop("s", NO_ERROR),
            "cut before they began": lambda s: s.reset("s").stop("s"),
        }
        for name, way in ways.items():
            with self.subTest(name):
                self.held.clear()
                steps = Steps()
                for _ in range(600):
                    way(steps.open("s"))
                done = self.take(steps.await_end())
                self.assertEqual(done.code, EXCESSIVE_LOAD, [done.told.get("close"), done.failures[:3]])
                self.held.set()

    def test_priorities_of_requests_that_never_come_end_the_connection(self):
        steps = Steps().ask("first", GET)
        for i in range(1, 600):
            steps.open("s").send("control", frame(0xf0700, number(4 * i) + b"u=1")).reset("s").stop("s")
        self.assertEqual(self.take(steps.await_end()).code, EXCESSIVE_LOAD)

    def test_a_client_that_keeps_its_requests_open_is_let_go(self):
        gw = self.serve_http3([route("/none", self.up)], moongate={"client": {"send_timeout": 1, "keepalive_timeout": 1, "header_timeout": 1}}, workers=1)
        steps = Steps()
        for i in range(10):
            steps.open(f"s{i}").send(f"s{i}", headers(head("/x", "POST")))  # and no end
        self.assertEqual(self.take(steps.await_end()).code, NO_ERROR)
        wait_for(lambda: sum(worker["connections"] for worker in gw.status()["workers"]) == 0, 10, "no connection left")


@needs_tls("HTTP/3")
@sanitized
class Smuggling(Http3TestCase):
    def setUp(self):
        self.up = self.upstream(lambda request, _: ok(request.body or b"ok"))
        self.gw = self.serve_http3([route("/*", self.up)], moongate=LOG, workers=1)

    def log_statuses(self):
        try:
            with open(os.path.join(self.gw.run_dir, "access.log"), encoding="utf-8") as f:
                return [json.loads(line)["status"] for line in f]
        except FileNotFoundError:
            return []

    def test_no_malformed_head_reaches_an_upstream(self):
        steps = Steps()
        cases = [(name, 400, fields) for name, fields in MALFORMED.items()]
        cases += [(name, status, fields) for name, (status, fields) in OTHERWISE_REFUSED.items()]
        for name, _, fields in cases:
            steps.ask(name, headers(fields))
        done = self.take(steps.ask("good", headers(head("/good"))))
        self.assertEqual(done.code, None)
        for name, status, _ in cases:
            with self.subTest(name):
                self.assertEqual((done.status_of(name), done.is_whole(name)), (status, True), done.told["heard"][name])
        self.assertEqual(done.status_of("good"), 200)
        self.assertEqual([r.target for r in self.up.requests], ["/good"])
        statuses = wait_for(lambda: len(self.log_statuses()) == len(cases) + 1 and self.log_statuses(), what="a line for each request")
        self.assertEqual(sorted(statuses), sorted([c[1] for c in cases] + [200]))

    def test_fields_that_may_not_be_reach_nobody(self):
        steps = Steps()
        for name, field in LEFT_OUT.items():
            steps.ask(name, headers(head(more=[field, ("x-good", "1")])))
        done = self.take(steps)
        for name in LEFT_OUT:
            with self.subTest(name):
                self.assertIn(done.status_of(name), (200, 400))
        for request in self.up.requests:
            self.assertEqual({name.lower() for name, _ in request.fields} & {"x-a", "evil", "a", "a b", ""}, set())
            self.assertEqual(request.get("x-good"), "1")
        self.assertEqual(self.up.faults, [])

    def test_bodies_that_differ_from_their_length_are_not_passed_on_as_whole(self):
        steps = Steps()
        for name, length, body in (("more", "3", b"abcGET /evil HTTP/1.1\r\n\r\n"), ("less", "30", b"abc"), ("some", "0", b"GET /evil HTTP/1.1\r\n\r\n")):
            steps.ask(name, headers(head(method="POST", more=[("content-length", length)])) + frame(DATA, body))
        done = self.take(steps.ask("good", headers(head("/good"))))
        self.assertEqual([done.status_of(name) for name in ("more", "less", "good")], [400, 400, 200], done.told)
        self.assertEqual([r.target for r in self.up.requests if r.is_complete and r.target != "/"], ["/good"])
        self.assertNotIn("/evil", [r.target for r in self.up.requests])

    def test_bodies_that_differ_from_their_length_cost_no_window(self):
        # More than the connection's window in all: what is thrown away counts as read.
        steps = Steps()
        for i in range(60):
            steps.open(f"s{i}").send(f"s{i}", headers(head(method="POST", more=[("content-length", "1")])) + frame(DATA, b"x" * 40000)).finish(f"s{i}")
            steps.hear(f"s{i}")
        done = self.take(steps.ask("good", headers(head("/good", "POST")) + frame(DATA, b"y" * 500000)))
        self.assertEqual((done.code, done.status_of("good")), (None, 200))
        self.assertEqual(len(self.up.requests[-1].body), 500000)

    def test_malformed_trailers_are_not_passed_on(self):
        cases = {"pseudo": [(":path", "/evil")], "upper": [("X-A", "1")], "connection": [("connection", "close")]}
        steps = Steps()
        for name, fields in cases.items():
            steps.ask(name, headers(head(method="POST")) + frame(DATA, b"abc") + headers(fields))
        done = self.take(steps.ask("good", headers(head("/good"))))
        self.assertEqual([done.status_of(name) for name in (*cases, "good")], [400, 400, 400, 200], done.told)
        self.assertEqual([r.target for r in self.up.requests if r.is_complete], ["/good"])

    def test_malformed_requests_without_end_end_the_connection(self):
        steps = Steps()
        for i in range(300):
            steps.ask(f"s{i}", headers(head(more=[("connection", "close")])))
        done = self.take(steps.await_end())
        self.assertEqual(done.code, EXCESSIVE_LOAD, str(done.told)[:300] + str(done.told)[-300:])

    def test_a_chunk_in_data_stays_data(self):
        body = b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.take(Steps().ask("a", headers(head(method="POST")) + frame(DATA, body))).status_of("a"), 200)
        self.assertEqual([(r.target, r.body) for r in self.up.requests], [("/", body)])

    def test_fields_without_end_are_an_attack_also_where_they_are_left_out(self):
        many = b"\0\0" + b"\x23a a\x011" * 60000  # a name with a space, again and again
        steps = Steps().open("a").send("a", frame(HEADERS, many))
        self.assertEqual(self.take(steps.await_end()).code, EXCESSIVE_LOAD)

    def test_frames_that_say_nothing_are_an_attack_without_end(self):
        for piece in (frame(DATA), frame(UNKNOWN, b"x" * 50)):
            steps = Steps().open("a").send("a", headers(head(method="POST")))
            for _ in range(40):
                steps.send("a", piece * 4000)
            self.assertEqual(self.take(steps.await_end()).code, EXCESSIVE_LOAD)
        small = headers(head(method="POST")) + frame(DATA, b"12345") * 20000  # gRPC's smallest messages are none
        self.assertEqual(self.take(Steps().ask("a", small)).status_of("a"), 200)
