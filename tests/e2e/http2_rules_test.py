# SPDX-License-Identifier: Apache-2.0
"""HTTP/2's rules one by one: what RFC 9113 and RFC 7541 have a server do with each frame that may not be, and with those
that may. Rules about fields and about floods are in http2_hostile_test.py."""

import struct
import threading
import unittest

from harness import ok, sanitized, wait_for
from http2_test import Http2TestCase
from http2_wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PADDED, PING,
                        PREFACE, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE, FLOW_CONTROL_ERROR, Http2Client,
                        block, frame, head, integer, literal)

STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 5, 6, 9
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, ENABLE_CONNECT = 1, 2, 3, 5, 6, 8
UNKNOWN, PRIORITIES = 0xee, 32
GET, POST = block(head()), block(head("POST"))
WHOLE = END_HEADERS | END_STREAM


def number(value):
    return struct.pack(">I", value)


def setting(key, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", key, value))


def request(stream=1, data=GET, flags=WHOLE):
    return frame(HEADERS, flags, stream, data)


def get(*more):
    """A request on stream 1 whose block has these bytes behind a good head."""
    return request(1, GET + b"".join(more))


CANCELLED = request(1, POST, END_HEADERS) + frame(RST_STREAM, 0, 1, number(8))
# (section, what comes behind the preface and an empty SETTINGS frame, the code of the GOAWAY)
CONNECTION_ERRORS = [
    ("9113 4.2: a HEADERS frame over the maximum", request(1, GET + literal("a", "x" * 100) * 200), FRAME_SIZE_ERROR),
    ("9113 4.2: a SETTINGS frame over the maximum", frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 1) * 2731), FRAME_SIZE_ERROR),
    ("9113 4.3: another stream's HEADERS within a block", request(1, flags=END_STREAM) + request(3), PROTOCOL_ERROR),
    ("9113 4.3: another stream's CONTINUATION within a block", request(1, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3), PROTOCOL_ERROR),
    ("9113 4.3: PRIORITY within a block", request(1, flags=END_STREAM) + frame(PRIORITY, 0, 1, number(0) + b"\x10"), PROTOCOL_ERROR),
    ("9113 4.3: DATA within a block", request(1, flags=0) + frame(DATA, END_STREAM, 1, b"x"), PROTOCOL_ERROR),
    ("9113 5.5: an unknown frame within a block", request(1, flags=END_STREAM) + frame(UNKNOWN, 0, 1, b"x"), PROTOCOL_ERROR),
    ("9113 5.1: RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, number(8)), PROTOCOL_ERROR),
    ("9113 5.1: WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, number(1)), PROTOCOL_ERROR),
    ("9113 5.1: CONTINUATION on a half-closed stream", request() + frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL_ERROR),
    ("9113 5.1: CONTINUATION on a cancelled stream", CANCELLED + frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL_ERROR),
    ("9113 5.1: HEADERS on a stream that the client has cancelled", CANCELLED + request(), STREAM_CLOSED),
    ("9113 5.1: DATA on a stream that the client has cancelled", CANCELLED + frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
    ("9113 5.1: DATA on a stream that was passed over", request(9) + frame(DATA, 0, 3, b"x"), STREAM_CLOSED),
    ("7540 5.3.1: PRIORITY of a stream on itself", frame(PRIORITY, 0, 1, number(1) + b"\x10"), PROTOCOL_ERROR),
    ("9113 5.1.1: a number that was passed over", request(5) + request(3), PROTOCOL_ERROR),
    ("9113 5.1.1: one below the first", request(9) + request(1), PROTOCOL_ERROR),
    ("9113 6.1: padding as long as the frame", request(1, POST, END_HEADERS) + frame(DATA, PADDED, 1, b"\x06pad.."), PROTOCOL_ERROR),
    ("9113 6.1: a padded frame without room for the length", request(1, POST, END_HEADERS) + frame(DATA, PADDED, 1), PROTOCOL_ERROR),
    ("9113 6.2: HEADERS on stream 0", request(0), PROTOCOL_ERROR),
    ("9113 6.2: a priority that is cut", frame(HEADERS, WHOLE | PRIORITIES, 1, b"\0\0\0"), FRAME_SIZE_ERROR),
    ("9113 6.3: PRIORITY on stream 0", frame(PRIORITY, 0, 0, number(0) + b"\x10"), PROTOCOL_ERROR),
    ("9113 6.4: RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, number(8)), PROTOCOL_ERROR),
    ("9113 6.4: RST_STREAM of three bytes", request(1, POST, END_HEADERS) + frame(RST_STREAM, 0, 1, b"\0\0\0"), FRAME_SIZE_ERROR),
    ("9113 6.5: SETTINGS that acknowledge and say something", frame(SETTINGS, ACK, 0, struct.pack(">HI", 3, 1)), FRAME_SIZE_ERROR),
    ("9113 6.5: SETTINGS of seven bytes", frame(SETTINGS, 0, 0, b"\0\3\0\0\0\1x"), FRAME_SIZE_ERROR),
    ("9113 6.5: SETTINGS on a stream", frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 1)), PROTOCOL_ERROR),
    ("9113 6.5.2: ENABLE_PUSH of 2", setting(ENABLE_PUSH, 2), PROTOCOL_ERROR),
    ("9113 6.5.2: INITIAL_WINDOW_SIZE beyond 2^31-1", setting(INITIAL_WINDOW_SIZE, 1 << 31), FLOW_CONTROL_ERROR),
    ("9113 6.5.2: MAX_FRAME_SIZE below 16384", setting(MAX_FRAME_SIZE, 16383), PROTOCOL_ERROR),
    ("9113 6.5.2: MAX_FRAME_SIZE beyond 2^24-1", setting(MAX_FRAME_SIZE, 1 << 24), PROTOCOL_ERROR),
    ("8441 3: ENABLE_CONNECT_PROTOCOL of 2", setting(ENABLE_CONNECT, 2), PROTOCOL_ERROR),
    ("9113 6.7: PING on a stream", request(1, POST, END_HEADERS) + frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    ("9113 6.7: PING of nine bytes", frame(PING, 0, 0, b"123456789"), FRAME_SIZE_ERROR),
    ("9113 6.8: GOAWAY on a stream", request(1, POST, END_HEADERS) + frame(GOAWAY, 0, 1, number(0) + number(0)), PROTOCOL_ERROR),
    ("9113 6.8: GOAWAY of four bytes", frame(GOAWAY, 0, 0, number(0)), FRAME_SIZE_ERROR),
    ("9113 6.9: WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), FRAME_SIZE_ERROR),
    ("9113 6.9.1: the connection's window beyond 2^31-1", frame(WINDOW_UPDATE, 0, 0, number(0x7fffffff)), FLOW_CONTROL_ERROR),
    ("9113 6.10: CONTINUATION behind a whole block", request(1, POST, END_HEADERS) + frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
    ("9113 6.10: CONTINUATION behind the last of a block", request(1, GET[:1], END_STREAM) + frame(CONTINUATION, END_HEADERS, 1, GET[1:]) +
     frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
    ("9113 6.10: CONTINUATION on stream 0", request(1, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 0), PROTOCOL_ERROR),
    ("9113 6.10: CONTINUATION behind DATA", request(1, POST, END_HEADERS) + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
    ("7541 2.3.3: an index behind both tables", get(integer(62, 7, 0x80)), COMPRESSION_ERROR),
    ("7541 2.3.3: a name's index behind both tables", get(integer(70, 6, 0x40), b"\1v"), COMPRESSION_ERROR),
    ("7541 4.2: a table's size in the middle of a block", get(integer(0, 5, 0x20)), COMPRESSION_ERROR),
    ("7541 4.2: a table's size at the end of a block", get(integer(1, 5, 0x20)), COMPRESSION_ERROR),
    ("7541 5.1: an integer without end", get(b"\xff" + b"\xff" * 20), COMPRESSION_ERROR),
    ("7541 5.2: a text longer than its block", get(b"\0\1a\x7f\x20abc"), COMPRESSION_ERROR),
    ("7541 5.2: more than seven bits of padding", get(b"\0\1a\x82\x1f\xff"), COMPRESSION_ERROR),
    ("7541 5.2: padding of zeros", get(b"\0\1a\x81\x18"), COMPRESSION_ERROR),
    ("7541 5.2: the end-of-string symbol", get(b"\0\1a\x85\x1f\xff\xff\xff\xff"), COMPRESSION_ERROR),
    ("7541 6.1: index 0", get(b"\x80"), COMPRESSION_ERROR),
    ("7541 6.3: a table larger than was allowed", request(1, integer(4097, 5, 0x20) + GET), COMPRESSION_ERROR),
    ("7541 6: a block that is cut within a field", get(b"\0\1a"), COMPRESSION_ERROR),
]
# (section, what comes on stream 1, the code of its RST_STREAM, or of a GOAWAY)
STREAM_ERRORS = [
    ("9113 6.3: PRIORITY of four bytes", request(1, POST, END_HEADERS) + frame(PRIORITY, 0, 1, number(0)), FRAME_SIZE_ERROR),
    ("9113 6.9: a stream's WINDOW_UPDATE of nothing", request(1, POST, END_HEADERS) + frame(WINDOW_UPDATE, 0, 1, number(0)), PROTOCOL_ERROR),
    ("9113 6.9.1: a stream's window beyond 2^31-1", request(1, POST, END_HEADERS) + frame(WINDOW_UPDATE, 0, 1, number(0x7fffffff)), FLOW_CONTROL_ERROR),
    # The RFC would end the connection; the library ends the stream, and no window overflows either way.
    ("9113 6.9.2: a setting that takes a stream's window beyond 2^31-1", request(1, POST, END_HEADERS) +
     frame(WINDOW_UPDATE, 0, 1, number(0x7fff0000)) + setting(INITIAL_WINDOW_SIZE, 0x7fffffff), FLOW_CONTROL_ERROR),
    ("9113 5.1: DATA on a half-closed stream", request() + frame(DATA, END_STREAM, 1, b"x"), STREAM_CLOSED),
    ("9113 5.1: HEADERS on a half-closed stream", request() + request(), STREAM_CLOSED),
]
# (section, what comes before a request on stream 99 that is answered as if nothing had been)
IGNORED = [
    ("9113 4.1: an unknown frame", frame(UNKNOWN, 0xff, 0, b"x" * 100) + frame(UNKNOWN, 0, 7, b"")),
    ("9113 4.1: flags that mean nothing", frame(PING, 0xfe, 0, b"12345678")),
    ("9113 4.1: the reserved bit of a stream's number", frame(PRIORITY, 0, 0x80000003, number(0) + b"\x10")),
    ("9113 4.2: an empty frame of an unknown type", frame(UNKNOWN, 0, 0)),
    ("9113 5.1: PRIORITY on an idle stream", frame(PRIORITY, 0, 5, number(3) + b"\x10")),
    ("9113 5.1: PRIORITY, RST_STREAM and WINDOW_UPDATE on a closed stream", request(1) + frame(RST_STREAM, 0, 1, number(8)) +
     frame(PRIORITY, 0, 1, number(0) + b"\x10") + frame(RST_STREAM, 0, 1, number(8)) + frame(WINDOW_UPDATE, 0, 1, number(10))),
    ("9113 5.3: PRIORITY on another stream", request(1, POST, END_HEADERS) + frame(PRIORITY, 0, 1, number(3) + b"\x10")),
    ("9113 6.5.2: unknown settings", setting(0xabcd, 7)),
    ("9113 7: a reason to reset that nobody knows", request(1, POST, END_HEADERS) + frame(RST_STREAM, 0, 1, number(0xff))),
    ("9113 6.5.2: the largest frames and lists, the least table, no push", setting(MAX_FRAME_SIZE, (1 << 24) - 1) +
     setting(MAX_HEADER_LIST_SIZE, 0) + setting(HEADER_TABLE_SIZE, 0) + setting(ENABLE_PUSH, 0) + setting(MAX_CONCURRENT_STREAMS, 0)),
    ("9113 6.7: an acknowledgement of no PING", frame(PING, ACK, 0, b"12345678")),
    ("9113 6.9.2: an initial window of nothing and back", setting(INITIAL_WINDOW_SIZE, 0) + setting(INITIAL_WINDOW_SIZE, 65535)),
]
# Requests on stream 1.
FRAMED = [
    ("9113 6.10: a block in many CONTINUATIONs, some empty", request(1, GET[:1], END_STREAM) +
     b"".join(frame(CONTINUATION, 0, 1, GET[i:i + 1]) for i in range(1, len(GET))) + frame(CONTINUATION, 0, 1) + frame(CONTINUATION, END_HEADERS, 1)),
    ("9113 6.2: padding and a priority", frame(HEADERS, WHOLE | PADDED | PRIORITIES, 1, b"\x04" + number(0) + b"\x10" + GET + b"\0" * 4)),
    ("7541 6.1: fields of the static table alone", request(1, b"\x82\x86\x84" + literal(":authority", "a.test"))),
    ("7541 6.2.1: fields that are put into the table, by name and by index", request(1, b"\x82\x86\x84\x41\x06a.test\x40\x03x-a\x011\xbe")),
    ("7541 6.2.3: fields that are never to be indexed", request(1, b"\x12\x03GET\x16\x04http\x14\x01/\x11\x06a.test\x10\x03x-a\x011")),
    ("7541 5.2: texts in Huffman's code", request(1, b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff")),
    ("7541 4.2: a table's size before a block, twice", request(1, integer(0, 5, 0x20) + integer(4096, 5, 0x20) + GET)),
]


@sanitized
class Rules(Http2TestCase):
    def speak(self, gw, data):
        client = Http2Client(gw.port, greet=False)
        self.addCleanup(client.close)
        client.send(PREFACE + frame(SETTINGS) + data)
        return client

    def test_a_broken_rule_ends_the_connection_with_the_code_that_says_which(self):
        gw, _ = self.serve2()
        for section, data, code in CONNECTION_ERRORS:
            with self.subTest(section):
                client = self.speak(gw, data)
                self.assertEqual(client.wait_end(10), code, client.answers)
        self.assertEqual(self.client(gw).fetch().status, 200)

    def test_an_error_of_a_stream_resets_it_with_the_code_that_says_why(self):
        gate = threading.Event()
        self.addCleanup(gate.set)  # no answer closes the stream before
        gw, _ = self.serve2(at_head=lambda r, c: gate.wait(120) and None)
        for section, data, code in STREAM_ERRORS:
            with self.subTest(section):
                client = self.speak(gw, data)
                client.wait(lambda c=client: c.goaways or c.answer(1).reset is not None)
                self.assertEqual(client.goaways[-1][1] if client.goaways else client.answer(1).reset, code)

    def test_a_connection_that_does_not_begin_with_settings_is_none(self):
        gw, _ = self.serve2()
        for first in (request(), frame(WINDOW_UPDATE, 0, 0, number(1)), frame(SETTINGS, ACK), frame(UNKNOWN, 0, 0, b"x")):
            with self.subTest(first), Http2Client(gw.port, greet=False) as client:
                client.send(PREFACE + first)
                self.assertEqual(client.wait_end(10), PROTOCOL_ERROR)

    def test_what_a_server_has_to_ignore_changes_nothing(self):
        gw, _ = self.serve2()
        for section, data in IGNORED:
            with self.subTest(section):
                client = self.speak(gw, data + request(99))
                client.wait(lambda c=client: c.answer(99).is_over)
                self.assertEqual((client.answer(99).status, client.answer(99).reset, client.goaways), (200, None, []))

    def test_a_head_may_be_framed_in_many_ways(self):
        gw, _ = self.serve2()
        for section, data in FRAMED:
            with self.subTest(section):
                client = self.speak(gw, data)
                client.wait(lambda c=client: c.answer(1).is_over)
                self.assertEqual((client.answer(1).status, client.answer(1).body), (200, b"ok"))

    def test_a_stream_that_is_over_takes_nothing_more(self):
        gw, _ = self.serve2()
        for section, data, code in (("HEADERS", request(), STREAM_CLOSED), ("DATA", frame(DATA, END_STREAM, 1, b"x"), STREAM_CLOSED),
                                    ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL_ERROR)):
            with self.subTest(section):
                client = self.client(gw)
                self.assertEqual(client.fetch().status, 200)
                client.send(data)
                self.assertEqual(client.wait_end(10), code)

    def refused(self, client):
        """The number of a stream that the gateway has answered and reset before the request was whole."""
        stream = client.open(head("POST"), is_last=False)
        client.wait(lambda: client.answer(stream).reset is not None)
        return stream

    def serve_refusing(self):
        def refuse(request, connection):
            if request.target == "/":
                connection.send(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
        return self.serve2(at_head=refuse)

    def test_data_that_was_on_its_way_when_its_stream_was_reset_is_ignored(self):
        gw, _ = self.serve_refusing()
        client = self.client(gw)
        stream = self.refused(client)
        client.send(frame(DATA, 0, stream, b"x") + frame(DATA, END_STREAM, stream, b"y"))
        client.send(frame(PING, 0, 0, b"still up"))
        client.wait(lambda: client.pings)
        self.assertEqual(client.goaways, [])
        client.send(frame(DATA, 0, stream, b"z"))  # behind the end that the client has said itself
        self.assertEqual(client.wait_end(10), STREAM_CLOSED)

    def test_data_of_a_stream_that_was_reset_does_not_use_the_connections_window_up(self):
        gw, _ = self.serve_refusing()
        client = self.client(gw)
        stream = self.refused(client)
        for sent in range(0, 4 << 20, 16384):  # the window is a megabyte
            client.wait(lambda s=sent: s + 16384 <= 65535 + client.window_opened[0])
            client.send(frame(DATA, 0, stream, b"x" * 16384))
        self.assertEqual(client.fetch(head(path="/other")).status, 200)
        self.assertEqual(client.goaways, [])

    def test_the_last_of_two_values_of_a_setting_counts(self):
        gw, _ = self.serve2(ok(b"hello"))
        client = self.speak(gw, frame(SETTINGS, 0, 0, struct.pack(">HIHI", INITIAL_WINDOW_SIZE, 100, INITIAL_WINDOW_SIZE, 1)) + request())
        client.wait(lambda: client.answer(1).body)
        client.send(frame(PING, 0, 0, b"and now?"))
        client.wait(lambda: client.pings)
        self.assertEqual(client.answer(1).body, b"h")

    def test_a_client_that_says_goodbye_for_an_unknown_reason_still_gets_its_answers(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        gw, up = self.serve2(lambda *_: gate.wait(120) and ok(b"late"))
        client = self.client(gw)
        stream = client.open()
        up.wait_requests(1)
        client.send(frame(GOAWAY, 0, 0, number(0) + number(0xff)))
        gate.set()
        client.wait(lambda: client.answer(stream).is_ended)
        self.assertEqual(client.answer(stream).body, b"late")

    def test_settings_and_pings_are_acknowledged_in_order(self):
        gw, _ = self.serve2()
        client = self.speak(gw, setting(MAX_FRAME_SIZE, 20000) + frame(PING, 0, 0, b"first..1") + frame(PING, 0, 0, b"second.2"))
        client.wait(lambda: len(client.pings) == 2)
        self.assertEqual(client.pings, [(ACK, b"first..1"), (ACK, b"second.2")])

    def test_a_window_may_become_negative_and_is_respected(self):
        gw, _ = self.serve2(ok(b"x" * 60000))
        client = self.client(gw)
        stream = client.open()
        client.wait(lambda: len(client.answer(stream).body) == 60000)
        other = self.client(gw, settings={INITIAL_WINDOW_SIZE: 40000})
        stream = other.open()
        other.wait(lambda: len(other.answer(stream).body) == 40000)
        other.send(setting(INITIAL_WINDOW_SIZE, 10000))  # 30,000 less than nothing
        other.send(other.window_update(stream, 30000) + frame(PING, 0, 0, b"unmoved."))
        other.wait(lambda: other.pings)
        self.assertEqual(len(other.answer(stream).body), 40000)
        other.send(other.window_update(stream, 5000))
        other.wait(lambda: len(other.answer(stream).body) == 45000)
        other.send(setting(INITIAL_WINDOW_SIZE, 65535))
        other.wait(lambda: other.answer(stream).is_ended)
        self.assertEqual(len(other.answer(stream).body), 60000)

    def test_frames_are_no_larger_than_the_client_takes(self):
        gw, _ = self.serve2(ok(b"x" * 100000, headers=[("X-Large", "y" * 30000)]))
        client = self.client(gw, settings={INITIAL_WINDOW_SIZE: 1 << 20}, window=1 << 20)
        sizes, take = [], client.on_frame

        def note(kind, flags, stream, payload, opens):
            sizes.append(len(payload))
            take(kind, flags, stream, payload, opens)
        client.on_frame = note
        answer = client.fetch()
        self.assertEqual((len(answer.body), len(answer.get("x-large"))), (100000, 30000))
        self.assertLessEqual(max(sizes), 16384)

    def test_streams_may_be_numbered_up_to_the_last(self):
        gw, up = self.serve2()
        client = self.client(gw)
        client.next_stream = 0x7ffffffd
        self.assertEqual([client.fetch().status, client.fetch().status], [200, 200])
        self.assertEqual([r.target for r in up.requests], ["/", "/"])

    def test_the_last_stream_of_a_goaway_is_the_last_that_was_looked_at(self):
        gw, up = self.serve2()
        client = self.client(gw)
        client.fetch()
        client.fetch()
        client.send(frame(PING, 0, 1, b"12345678"))
        client.wait_end(10)
        self.assertEqual(client.goaways[-1], (3, PROTOCOL_ERROR))
        wait_for(lambda: len(up.requests) == 2, 10, "both requests")


if __name__ == "__main__":
    unittest.main()
