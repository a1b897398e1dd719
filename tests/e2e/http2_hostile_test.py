# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 from clients that mean harm: requests that could be read in two ways, and floods."""

import socket
import struct
import threading

from harness import HOST, is_sanitized, memory_kb, ok, route, sanitized, wait_for
from http2_wire import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, HEADERS,
                        INITIAL_WINDOW_SIZE, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE,
                        REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, Http2Client, block, frame, head, integer, literal)
from http2_test import LOG, Http2TestCase
from wire import WireError

POST = head("POST")
NOT_CANONICAL = ("a path with a fragment", "a path with an encoded slash", "a path above the root")  # well-formed, and refused all the same

# Heads that are answered 400, and reach no upstream. Each differs from a good one by what its name says.
MALFORMED = {
    "no method": head(method=None),
    "no scheme": head(scheme=None),
    "no path": head(path=None),
    "no host at all": head(authority=None),
    "an empty path": head(path=""),
    "a path without slash": head(path="a"),
    "an absolute path": head(path="http://a.test/"),
    "an asterisk for GET": head(path="*"),
    "a path with a space": head(path="/a b"),
    "a path with a request in it": head(path="/ HTTP/1.1\r\nHost: b.test\r\n\r\nGET /evil"),
    "a path with a NUL": head(path="/\0"),
    "a path with a fragment": head(path="/#a"),
    "a path with an encoded slash": head(path="/a%2fb"),
    "a path above the root": head(path="/../a"),
    "a method with a space": head("GET /evil HTTP/1.1\r\nX:"),
    "an empty method": head(""),
    "another scheme": head(scheme="ftp"),
    "a scheme with a line": head(scheme="http\r\nx: y"),
    "a method twice": [(":method", "GET"), *head()],
    "a path twice": [*head(), (":path", "/evil")],
    "an authority twice": [*head(), (":authority", "a.test")],
    "an unknown pseudo-field": [*head(), (":evil", "1")],
    "a pseudo-field of answers": [*head(), (":status", "200")],
    "a pseudo-field behind others": [("x-a", "1"), *head()],
    "a path behind others": [*head(path=None), ("x-a", "1"), (":path", "/")],
    "protocol without CONNECT": [*head(), (":protocol", "websocket")],
    "an authority with userinfo": head(authority="a@b.test"),
    "an authority with a path": head(authority="a.test/evil"),
    "an authority with a line": head(authority="a.test\r\nx: y"),
    "an empty authority": head(authority=""),
    "an authority with a wrong port": head(authority="a.test:0"),
    "host and authority that differ": head(more=[("host", "b.test")]),
    "two hosts": head(authority=None, more=[("host", "a.test"), ("host", "a.test")]),
    "an upper case name": head(more=[("X-Upper", "1")]),
    "an empty name": head(more=[("", "1")]),
    "a name with a space": head(more=[("a b", "1")]),
    "a name with a colon": head(more=[("a:b", "1")]),
    "a name with a line": head(more=[("a\r\nb", "1")]),
    "a name with a NUL": head(more=[("a\0", "1")]),
    "a value with CR LF": head(more=[("a", "1\r\nevil: 1")]),
    "a value with LF": head(more=[("a", "1\nevil: 1")]),
    "a value with CR": head(more=[("a", "1\r")]),
    "a value with a NUL": head(more=[("a", "1\0")]),
    "a value with blanks before": head(more=[("a", " 1")]),
    "a value with blanks behind": head(more=[("a", "1\t")]),
    "connection": head(more=[("connection", "close")]),
    "connection that lists a field": head(more=[("connection", "x-consumer-name")]),
    "keep-alive": head(more=[("keep-alive", "1")]),
    "proxy-connection": head(more=[("proxy-connection", "1")]),
    "transfer-encoding": head("POST", more=[("transfer-encoding", "chunked")]),
    "transfer-encoding, spelled": head("POST", more=[("transfer-encoding", "identity")]),
    "upgrade": head(more=[("upgrade", "websocket")]),
    "te other than trailers": head(more=[("te", "chunked")]),
    "te with more than trailers": head(more=[("te", "trailers, chunked")]),
    "two lengths": head("POST", more=[("content-length", "1"), ("content-length", "1")]),
    "a list of lengths": head("POST", more=[("content-length", "1, 1")]),
    "a length that is no number": head("POST", more=[("content-length", "+1")]),
    "a negative length": head("POST", more=[("content-length", "-1")]),
    "an empty length": head("POST", more=[("content-length", "")]),
    "a length with a leading zero": head("POST", more=[("content-length", "01")]),
    "a length without a body": head("POST", more=[("content-length", "5")]),
}
OTHERWISE_REFUSED = {
    "CONNECT": (501, head("CONNECT", path=None, scheme=None)),
    "CONNECT with a path": (501, head("CONNECT")),
    "CONNECT for another protocol": (501, [(":protocol", "connect-udp"), *head("CONNECT")]),
    "a length beyond numbers": (413, head("POST", more=[("content-length", "9" * 30)])),
    "an expectation": (417, head(more=[("expect", "the-unexpected")])),
    "too many fields": (431, head(more=[(f"x-{i}", "1") for i in range(101)])),
    "too large a head": (431, head(more=[("x-large", "a" * 33000)])),
}


@sanitized
class Smuggling(Http2TestCase):
    def test_no_malformed_head_reaches_an_upstream(self):
        gw, up = self.serve2(moongate=LOG)
        client = self.client(gw)
        cases = [(name, 400, fields) for name, fields in MALFORMED.items()]
        cases += [(name, status, fields) for name, (status, fields) in OTHERWISE_REFUSED.items()]
        for name, status, fields in cases:
            with self.subTest(name):
                payload = block(fields)
                stream, client.next_stream = client.next_stream, client.next_stream + 2
                parts = [payload[i:i + 16384] for i in range(0, len(payload), 16384)]
                client.send(frame(HEADERS, END_STREAM | (END_HEADERS if len(parts) == 1 else 0), stream, parts[0]))
                for i, part in enumerate(parts[1:]):
                    client.send(frame(CONTINUATION, END_HEADERS if i + 2 == len(parts) else 0, stream, part))
                client.wait(lambda s=stream: client.answer(s).is_over)
                self.assertEqual(client.answer(stream).status, status, client.answer(stream))
                is_malformed = status == 400 and name not in NOT_CANONICAL
                self.assertEqual(client.answer(stream).reset, PROTOCOL_ERROR if is_malformed else None)
        self.assertEqual(client.fetch(head(path="/good")).status, 200)
        self.assertEqual([r.target for r in up.requests], ["/good"])
        self.assertEqual(up.faults, [])
        statuses = wait_for(lambda: len(self.log_lines(gw)) == len(cases) + 1 and [x["status"] for x in self.log_lines(gw)])
        self.assertEqual(sorted(statuses), sorted([c[1] for c in cases] + [200]))

    def test_bodies_that_differ_from_their_length_are_not_passed_on_as_whole(self):
        gw, up = self.serve2()
        client = self.client(gw)
        for name, length, body in (("more", "3", b"abcGET /evil HTTP/1.1\r\n\r\n"), ("less", "30", b"abc")):
            with self.subTest(name):
                stream = client.open(head("POST", more=[("content-length", length)]), body=body)
                client.wait(lambda s=stream: client.answer(s).is_over)
                self.assertEqual((client.answer(stream).status, client.answer(stream).reset), (400, PROTOCOL_ERROR))
        self.assertEqual([r for r in up.requests if r.is_complete], [])
        stream = client.open(head("POST", more=[("content-length", "0")]), body=b"GET /evil HTTP/1.1\r\n\r\n")
        client.wait(lambda: client.answer(stream).is_over)
        self.assertEqual(client.fetch(head(path="/good")).status, 200)
        self.assertNotIn("/evil", [r.target for r in up.requests])

    def test_malformed_trailers_are_not_passed_on(self):
        gw, up = self.serve2()
        client = self.client(gw)
        cases = {"pseudo": [(":path", "/evil")], "upper": [("X-A", "1")], "line": [("a", "1\r\nb: 2")]}
        for name, fields in cases.items():
            with self.subTest(name):
                stream = client.open(POST, body=b"abc", is_last=False)
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(fields)))
                client.wait(lambda s=stream: client.answer(s).is_over)
                self.assertEqual((client.answer(stream).status, client.answer(stream).reset), (400, PROTOCOL_ERROR))
        stream = client.open(POST, body=b"abc", is_last=False)
        client.send(frame(HEADERS, END_HEADERS, stream, block([("a", "1")])))  # a second head that ends nothing
        client.wait(lambda: client.answer(stream).is_over)
        self.assertEqual((client.answer(stream).status, client.answer(stream).reset), (400, PROTOCOL_ERROR))
        self.assertEqual([r for r in up.requests if r.is_complete], [])

    def test_a_refused_head_is_answered_though_its_body_follows_at_once(self):
        gw, up = self.serve2()
        client = self.client(gw)
        for fields, status in ((head("POST", more=[("connection", "close")]), 400), (head("POST", more=[(f"x-{i}", "1") for i in range(101)]), 431)):
            with self.subTest(status):
                stream, client.next_stream = client.next_stream, client.next_stream + 2
                client.send(frame(HEADERS, END_HEADERS, stream, block(fields)) + frame(DATA, END_STREAM, stream, b"abc"))
                client.wait(lambda s=stream: client.answer(s).is_over)
                self.assertEqual(client.answer(stream).status, status)
        self.assertEqual(up.requests, [])

    def test_a_body_that_nobody_reads_is_an_error_when_it_is_malformed(self):
        gw, _ = self.serve2(route_more={"plugins": {"mocking": {"response_example": "hello"}}})
        client = self.client(gw)
        stream, client.next_stream = client.next_stream, client.next_stream + 2
        client.send(frame(HEADERS, END_HEADERS, stream, block(head("POST", more=[("content-length", "1")]))) + frame(DATA, END_STREAM, stream, b"abc"))
        client.wait(lambda: client.answer(stream).is_over)
        self.assertEqual((client.answer(stream).status, client.answer(stream).reset), (200, PROTOCOL_ERROR))

    def test_a_malformed_request_does_not_wait_for_a_window_for_ever(self):
        gw, _ = self.serve2(moongate={"client": {"send_timeout": 1}})
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 0})
        streams = [client.open(head(method, path="a")) for method in ("GET", "HEAD")]
        client.wait(lambda: all(client.answer(s).reset == CANCEL for s in streams))
        self.assertEqual([client.answer(s).status for s in streams], [400, 400])

    def test_a_chunk_in_data_stays_data(self):
        gw, up = self.serve2()
        body = b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.client(gw).fetch(POST, body=body).status, 200)
        self.assertEqual([(r.target, r.body) for r in up.requests], [("/", body)])

    def test_data_after_a_reset_reaches_nobody(self):
        gw, up = self.serve2()
        client = self.client(gw)
        stream = client.open(head("POST", more=[("content-length", "6")]), body=b"abc", is_last=False)
        up.wait_requests(1)
        client.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)) + frame(DATA, END_STREAM, stream, b"def"))
        self.assertTrue(up.last().connection.wait_closed_by_peer())
        self.assertFalse(up.last().is_complete)
        with Http2Client(gw.port) as other:
            self.assertEqual(other.fetch().status, 200)


# Bytes behind the preface that end a connection: frames that may not be.
BROKEN = {
    "no settings first": frame(PING, 0, 0, b"12345678"),
    "settings of an odd size": frame(SETTINGS, 0, 0, b"12345"),
    "settings on a stream": frame(SETTINGS, 0, 1),
    "a ping of seven bytes": frame(SETTINGS) + frame(PING, 0, 0, b"1234567"),
    "data before a head": frame(SETTINGS) + frame(DATA, 0, 1, b"x"),
    "data on stream 0": frame(SETTINGS) + frame(DATA, 0, 0, b"x"),
    "a head on an even stream": frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 2, block(head())),
    "a push from a client": frame(SETTINGS) + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + block(head())),
    "a continuation of nothing": frame(SETTINGS) + frame(CONTINUATION, END_HEADERS, 1, block(head())),
    "a frame within a block": frame(SETTINGS) + frame(HEADERS, END_STREAM, 1, block(head())) + frame(PING, 0, 0, b"12345678"),
    "a frame that is too large": frame(SETTINGS) + frame(DATA, 0, 1, b"x" * 16385),
    "padding beyond the frame": frame(SETTINGS) + frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + block(head())),
    "a window beyond all limits": frame(SETTINGS) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)),
    "a window update of nothing": frame(SETTINGS) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
    "a field block that is none": frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"),
    "an index that is nowhere": frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, integer(90, 7, 0x80)),
    "a table larger than allowed": frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, integer(1 << 20, 5, 0x20)),
    "an initial window beyond all limits": frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0x80000000)),
}


@sanitized
class Frames(Http2TestCase):
    def test_frames_that_may_not_be_end_the_connection_and_nothing_else(self):
        gw, _ = self.serve2()
        for name, data in BROKEN.items():
            with self.subTest(name), Http2Client(gw.port, greet=False) as client:
                client.send(PREFACE + data)
                self.assertNotIn(client.wait_end(10), (None, 0), client.goaways)
        self.assertEqual(self.client(gw).fetch().status, 200)

    def test_a_stream_number_that_goes_back_opens_nothing(self):
        gw, up = self.serve2()
        client = self.client(gw)
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, block(head(path="/5")))
                    + frame(HEADERS, END_HEADERS | END_STREAM, 3, block(head(path="/3"))))
        self.assertEqual(client.wait_end(10), PROTOCOL_ERROR)
        self.assertEqual(self.client(gw).fetch(head(path="/7")).status, 200)
        self.assertNotIn("/3", [r.target for r in up.requests])

    def test_more_body_than_the_window_ends_the_connection_or_its_stream(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, _ = self.serve2(at_head=lambda r, c: gate.wait(120) and None)
        client = self.client(gw)
        stream = client.open(POST, is_last=False)

        def is_ended():
            return client.goaways or client.answer(stream).reset is not None
        # The window opens by what the upstream's side takes, so that it is more than what fits into all buffers on the way.
        try:
            for _ in range(128):
                client.data(stream, b"x" * (1 << 20))
                client.take(0.001)
                if is_ended():
                    break
        except OSError:
            pass
        client.wait(is_ended)
        code = client.goaways[-1][1] if client.goaways else client.answer(stream).reset
        self.assertEqual(code, FLOW_CONTROL_ERROR)


@sanitized
class Floods(Http2TestCase):
    """Each is cut off with ENHANCE_YOUR_CALM; the gateway serves others all the while, and its memory stays."""

    def flood(self, gw, frames, prelude=b"", step=50, pause_s=0.0005):
        """Sends what frames(i) gives until the connection ends; how many it took."""
        client = self.client(gw)
        client.wait(lambda: client.settings)  # so that no acknowledgement comes between what is sent
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # little is on its way when the gateway is not quick
        client.send(prelude)
        count = 0
        try:
            while count < 200000 and not client.is_ended:
                client.send(b"".join(frames(i) for i in range(count, count + step)))
                count += step
                client.take(pause_s)  # or until something comes
        except (OSError, WireError):
            pass
        code = client.wait_end(20)
        self.assertEqual(code, ENHANCE_YOUR_CALM)
        self.assertEqual(self.client(gw).fetch().status, 200)
        return count

    def test_rapid_resets_end_the_connection(self):
        gw, up = self.serve2(moongate={"client": {"http2_resets_max": 50}})
        self.flood(gw, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block(head()))
                   + frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", CANCEL)))
        self.assertLess(len(up.requests), 100)

    def test_streams_that_a_client_breaks_count_as_reset(self):
        gw, up = self.serve2(moongate={"client": {"http2_resets_max": 50}})
        self.flood(gw, lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, block(POST))
                   + frame(WINDOW_UPDATE, 0, 2 * i + 1, struct.pack(">I", 0x7fffffff)), step=10, pause_s=1)
        self.assertLess(len(up.requests), 100)

    def test_a_few_resets_are_no_flood(self):
        gw, _ = self.serve2()
        client = self.client(gw)
        for _ in range(150):
            client.reset(client.open())
        self.assertEqual(client.fetch().status, 200)

    def test_pings_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(PING, 0, 0, b"12345678"))

    def test_settings_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(SETTINGS))

    def test_priorities_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(PRIORITY, 0, 2 * i + 1, b"\0\0\0\0\0"))

    def test_unknown_frames_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(0xee, 0, 0, b"x"))

    def test_window_updates_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)))

    def test_empty_data_without_end(self):
        gw, _ = self.serve2()
        self.flood(gw, lambda i: frame(DATA, 0, 1), prelude=frame(HEADERS, END_HEADERS, 1, block(POST)))

    def test_continuations_without_end(self):
        gw, _ = self.serve2()
        took = self.flood(gw, lambda i: frame(CONTINUATION, 0, 1, literal("x", "y" * 100)), prelude=frame(HEADERS, 0, 1, block(head())))
        self.assertLess(took, 2000)

    def test_a_block_that_unfolds_without_end(self):
        gw, _ = self.serve2()
        client = self.client(gw)
        # One field of 3 KB in the table, then a reference to it of one byte, again and again.
        bomb = b"\x40" + b"\x01x" + integer(3000, 7) + b"a" * 3000 + integer(62, 7, 0x80) * 13000
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(head()) + bomb))
        self.assertEqual(client.wait_end(), ENHANCE_YOUR_CALM)
        self.assertEqual(self.client(gw).fetch().status, 200)

    def test_streams_that_are_never_read_cost_little(self):
        gw, _ = self.serve2(ok(b"x" * (4 << 20)), moongate={"client": {"send_timeout": 2}})
        self.client(gw).fetch(head(path="/warm"))
        before = memory_kb(gw.descendants())
        clients = [self.client(gw, settings={INITIAL_WINDOW_SIZE: 0}) for _ in range(4)]
        for client in clients:
            for _ in range(50):
                client.open()
        for client in clients:
            client.wait(lambda c=client: sum(a.fields is not None for a in c.answers.values()) == 50)
        grown = memory_kb(gw.descendants()) - before
        self.assertLess(grown, (500 if is_sanitized() else 150) << 10)
        for client in clients:
            client.wait(lambda c=client: sum(a.reset == CANCEL for a in c.answers.values()) == 50)

    def check_end_without_window(self, end):
        """`end(connection)` is how an answer ends that has filled the client's window."""
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            gate.wait(120)
            end(connection)
        gw, _ = self.serve2(answer, moongate={"client": {"send_timeout": 1}})
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 5})
        stream = client.open()
        client.wait(lambda: client.answer(stream).body == b"hello")
        gate.set()
        client.wait(lambda: client.answer(stream).reset == CANCEL)

    def test_a_client_that_opens_no_window_for_the_mere_end_of_an_answer_is_let_go(self):
        self.check_end_without_window(lambda connection: connection.send(b"0\r\n\r\n"))

    def test_an_answer_that_breaks_off_before_a_client_without_a_window_ends_all_the_same(self):
        self.check_end_without_window(lambda connection: connection.reset())

    def answered_without_window(self):
        """A client, and its request that has not ended while the answer waits for a window."""
        def answer_early(request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        gw, _ = self.serve2(ok(), at_head=answer_early, moongate={"client": {"send_timeout": 1}})
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 0})
        stream = client.open(head("POST"), is_last=False)
        client.wait(lambda: client.answer(stream).status == 200)
        return client, stream

    def test_an_answer_that_waits_for_a_window_has_its_time_also_when_the_request_ends_meanwhile(self):
        client, stream = self.answered_without_window()
        client.data(stream, b"x", is_last=True)
        client.wait(lambda: client.answer(stream).reset == CANCEL)

    def test_a_client_without_a_window_gets_no_more_time_by_what_it_sends(self):
        client, stream = self.answered_without_window()

        def is_reset():
            client.data(stream, b"x")
            client.take(0.3)
            return client.answer(stream).reset == CANCEL
        wait_for(is_reset, 10, "the stream's reset")

    def test_a_client_that_reads_nothing_at_all_is_let_go(self):
        gw, _ = self.serve2(ok(b"x" * (4 << 20)), moongate={"client": {"send_timeout": 1}, **LOG})
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 0x7fffffff}, window=0x7fffffff - 65535)
        for _ in range(20):
            client.open()
        wait_for(lambda: len(self.log_lines(gw)) == 20)
        self.assertEqual(self.client(gw).fetch(head(path="/other")).status, 200)

    def test_more_streams_than_allowed_are_refused(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, up = self.serve2(lambda r, c: gate.wait(120) and ok(), moongate={"client": {"http2_streams_max": 10}})
        client = self.client(gw)
        streams = [client.open() for _ in range(10)]
        up.wait_requests(10)
        client.open()
        client.wait(lambda: client.goaways or any(a.reset is not None for a in client.answers.values()))
        self.assertEqual(len(up.requests), 10)
        gate.set()
        if not client.goaways:
            client.wait(lambda: all(client.answer(s).is_over for s in streams))

    def test_streams_beyond_the_limit_that_come_before_it_was_heard_of_cost_the_others_nothing(self):
        gw, up = self.serve2(moongate={"client": {"http2_streams_max": 10}})
        client = self.client(gw, greet=False)
        streams = range(1, 2 * 40, 2)
        client.send(PREFACE + frame(SETTINGS) + b"".join(frame(HEADERS, END_HEADERS, s, block(POST)) for s in streams)
                    + b"".join(frame(DATA, 0, s, b"ab") + frame(DATA, END_STREAM, s, b"cd") for s in streams))
        client.wait(lambda: all(client.answer(s).is_over for s in streams))
        answers = [client.answer(s) for s in streams]
        self.assertEqual([(a.status, a.reset) for a in answers], [(200, None)] * 10 + [(None, REFUSED_STREAM)] * 30)
        self.assertEqual([r.body for r in up.requests], [b"abcd"] * 10)
        self.assertEqual((client.goaways, client.fetch().status), ([], 200))

    def test_streams_beyond_a_limit_that_is_never_acknowledged_have_an_end(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, _ = self.serve2(lambda r, c: gate.wait(120) and ok(), moongate={"client": {"http2_streams_max": 10}})
        client = self.client(gw, greet=False)
        client.send(PREFACE + frame(SETTINGS))
        try:
            for first in range(1, 2 * 5000, 2 * 100):
                client.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, s, block(head())) for s in range(first, first + 200, 2)))
        except OSError:
            pass  # it is over already
        self.assertIn(client.wait_end(), (ENHANCE_YOUR_CALM, None))

    def test_a_client_that_opens_its_windows_in_small_steps_gets_its_answer(self):
        size = 8 << 20
        gw, _ = self.serve2(lambda *_: ok(b"x" * size))
        client = self.client(gw)
        stream = client.open()

        def opens():  # as clients do that read four kilobytes at a time
            left = len(client.answer(stream).body) - opens.opened
            for _ in range(left // 4096):
                client.send(client.window_update(0, 4096) + client.window_update(stream, 4096))
                opens.opened += 4096
            return client.answer(stream).is_over
        opens.opened = 0
        client.wait(opens)
        self.assertEqual((len(client.answer(stream).body), client.goaways), (size, []))

    def test_uploads_that_nobody_reads_are_not_blamed_on_the_others(self):
        # A node that takes no connection holds bodies up in the gateway; who has the connection to itself is late by its own fault.
        gw, up = self.serve2(moongate={"client": {"body_timeout": 1, "http2_window_kb": 64}})
        full = socket.create_server((HOST, 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(2):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        gw.apply({"routes": [route("/stalled", {f"{HOST}:{full.getsockname()[1]}": 1}), route("/*", up)]})
        client, other = self.client(gw), self.client(gw)
        stalled = [client.open(head("POST", path="/stalled"), body=b"x" * 60000, is_last=False) for _ in range(7)]
        slow = client.open(head("POST"), body=b"slow", is_last=False)
        alone = other.open(head("POST"), body=b"slow", is_last=False)
        other.wait(lambda: other.answer(alone).is_over)
        self.assertEqual(other.answer(alone).status, 408)
        client.take(0.5)
        self.assertEqual([client.answer(s).status for s in (*stalled, slow)], [None] * 8)


if __name__ == "__main__":
    import unittest
    unittest.main()
