# SPDX-License-Identifier: Apache-2.0
"""websocket-limits: messages of a client that are too large or too many end its WebSocket, over HTTP/1.1 and over HTTP/2, and do
not reach the upstream. Without limits a tunnel is a tunnel."""

import base64
import hashlib
import os
import signal
import struct
import threading

import http2_test
from clock import Clock
from harness import TestCase, route, sanitized, wait_for
from http2_wire import INITIAL_WINDOW_SIZE

FINAL, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 1, 2, 8, 9, 10
MASK = b"\x11\x22\x33\x44"


def frame(first, payload=b"", mask=MASK):
    """A client's frame; without a mask a server's."""
    bit, size = 0x80 if mask else 0, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + (mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)


def take_frame(data):
    """(first byte, payload, rest), or None when there is no whole frame."""
    if len(data) < 2:
        return None
    size, at = data[1] & 127, 2
    if size > 125:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(data[2:2 + width], "big"), 2 + width
    mask = data[at:at + 4] if data[1] & 128 else b"\0\0\0\0"
    at += len(mask) if data[1] & 128 else 0
    if len(data) < at + size:
        return None
    return data[0], bytes(b ^ mask[i % 4] for i, b in enumerate(data[at:at + size])), data[at + size:]


def take_frames(data):
    """([(first byte, payload)], what is left)"""
    frames = []
    while (taken := take_frame(data)) is not None:
        frames.append(taken[:2])
        data = taken[2]
    return frames, data


def close_of(code, text=b""):
    return (FINAL | CLOSE, struct.pack("!H", code) + text)


class Chat:
    """An upstream that answers messages with their size, writes down every frame, and leaves when it is told to."""

    def __init__(self, extensions=b"", half=b"", rest=b""):
        """`half` is sent behind the handshake, `rest` when a close frame has come."""
        self.extensions, self.half, self.rest, self.frames, self.has_ended = extensions, half, rest, [], False

    def handshake(self, request):
        key = request.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepts = base64.b64encode(hashlib.sha1(key.encode()).digest())
        return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accepts +
                b"\r\n" + (b"Sec-WebSocket-Extensions: " + self.extensions + b"\r\n" if self.extensions else b"") + b"\r\n" + self.half)

    def __call__(self, request, connection):
        connection.send(self.handshake(request))
        data, reader = b"", connection.reader
        while True:
            data += bytes(reader.buffer)
            reader.buffer.clear()
            frames, data = take_frames(data)
            self.frames += frames
            for first, payload in frames:
                if first & 15 in (TEXT, BINARY):
                    connection.send(frame(FINAL | TEXT, str(len(payload)).encode(), mask=None))
                if first & 15 == CLOSE and self.rest:
                    connection.send(self.rest)
            if not reader.fill():
                self.left, self.has_ended = data, True
                connection.close()
                return


class Breaking(Chat):
    """One that resets the connection when it is told to."""

    def __init__(self):
        super().__init__()
        self.orders, self.has_broken = threading.Event(), threading.Event()

    def __call__(self, request, connection):
        connection.send(self.handshake(request))
        self.orders.wait(120)
        connection.reset()
        self.has_broken.set()


class Silent(Chat):
    """One that says `half` and then nothing, nor leaves."""

    def __call__(self, request, connection):
        connection.send(self.handshake(request))
        while connection.reader.fill():
            pass
        self.has_ended = True
        self.over.wait(120)
        connection.close()

    def __init__(self, case, half=b""):
        super().__init__(half=half)
        self.over = threading.Event()
        case.addCleanup(self.over.set)


class Deaf(Chat):
    """One that takes nothing; what it says, and when it leaves, is the test's."""

    def __init__(self, case):
        super().__init__()
        self.over = threading.Event()
        case.addCleanup(self.over.set)

    def __call__(self, request, connection):
        self.connection = connection
        connection.send(self.handshake(request))
        self.over.wait(60)
        connection.close()


class Pouring(Chat):
    """One that sends messages until they are taken no more."""

    is_blocked = is_over = False

    def __call__(self, request, connection):
        connection.send(self.handshake(request))
        connection.sock.settimeout(1)
        try:
            while not self.is_over:
                try:
                    connection.send(frame(FINAL | BINARY, b"x" * 60000, mask=None))
                except TimeoutError:
                    self.is_blocked = True
        except OSError:
            self.is_over = True


class Socket1:
    """A client over HTTP/1.1."""

    HANDSHAKE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}

    def __init__(self, case, gw, target="/", more=None):
        self.client = gw.client()
        case.addCleanup(self.client.close)
        self.answer = self.client.request("GET", target, {**self.HANDSHAKE, **(more or {})})
        case.assertEqual(self.answer.status, 101)
        self.frames, self.data, self.is_over = [], b"", False

    def send(self, data):
        self.client.send(data)

    def pour(self, data):
        """Sends it again and again, until it is taken no more."""
        sock = self.client.sock
        sock.settimeout(0)
        try:
            while True:
                sock.send(data)
        except BlockingIOError:
            sock.settimeout(10)

    def step(self):
        """Takes what has come, or waits for it."""
        reader = self.client.reader
        if not reader.buffer and not self.is_over:
            self.is_over = not reader.fill()
        frames, self.data = take_frames(self.data + bytes(reader.buffer))
        reader.buffer.clear()
        self.frames += frames

    def wait(self, condition):
        wait_for(lambda: condition() or self.step() or condition(), 10, f"{self.frames}")

    def wait_end(self):
        self.wait(lambda: self.is_over)

    def say_no_more(self):
        self.client.finish_sending()

    def leave(self):
        self.client.close()


class Socket2:
    """A client over HTTP/2 (RFC 8441)."""

    def __init__(self, case, gw, target="/", more=None):
        self.client = case.client(gw)
        fields = [(n, target if n == ":path" else v) for n, v in http2_test.WEBSOCKET] + list((more or {}).items())
        self.stream = self.client.open(fields, is_last=False)
        self.client.wait(lambda: self.client.answer(self.stream).status == 200)
        self.poured = 0

    def send(self, data):
        for i in range(0, len(data), 16000):
            self.client.data(self.stream, data[i:i + 16000])

    def pour(self, data):
        client = self.client
        client.take(0.01)   # what windows are open
        first = {0: 65535, self.stream: client.settings.get(INITIAL_WINDOW_SIZE, 65535)}
        size = min(first[n] + client.window_opened.get(n, 0) for n in first) - self.poured
        for i in range(0, size, len(data)):
            self.send(data[:size - i])
        self.poured += max(size, 0)

    @property
    def frames(self):
        return take_frames(bytes(self.client.answer(self.stream).body))[0]

    def wait(self, condition):
        self.client.wait(condition)

    def wait_end(self):
        self.client.wait(lambda: self.client.answer(self.stream).is_over)

    def leave(self):
        self.client.data(self.stream, b"", is_last=True)

    say_no_more = leave


class Limits:
    """The same promises for both protocols; `chat(limits)` makes a gateway, `socket(gw)` a client."""

    def open(self, limits, chat=None, **more):
        chat = chat or Chat()
        plugins = {"websocket-limits": limits} if limits else {}
        gw = self.gateway(chat, {"enable_websocket": True, "plugins": plugins}, **more)
        return self.socket(gw), chat

    def assert_ended(self, client, chat, code, text):
        """The client was told why, the upstream that it is over; neither got anything else at the end."""
        client.wait_end()
        self.assertEqual(client.frames[-1], close_of(code, text))
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        client.leave()
        self.assertEqual(chat.left, b"")
        self.assertEqual(chat.frames[-1], close_of(1001))

    def test_messages_within_the_limits_pass_in_any_number_of_frames(self):
        client, chat = self.open({"max_message_bytes": 70000, "messages_per_second": 1, "burst": 4})
        sent = [(FINAL | TEXT, b"x" * 70000), (TEXT, b"a" * 100), (FINAL | PING, b"?"), (0, b"b" * 69800), (FINAL, b"c" * 100), (FINAL | BINARY, b"")]
        client.send(b"".join(frame(*f) for f in sent))
        client.wait(lambda: len(client.frames) == 3)
        self.assertEqual(chat.frames, sent)

    def test_a_message_that_is_too_large_ends_it_before_any_of_it_passes(self):
        client, chat = self.open({"max_message_bytes": 1000})
        client.send(frame(FINAL | TEXT, b"x" * 1000) + frame(FINAL | TEXT, b"y" * 1001) + frame(FINAL | TEXT, b"z"))
        self.assert_ended(client, chat, 1009, b"message larger than 1000 bytes")
        self.assertEqual(chat.frames[:-1], [(FINAL | TEXT, b"x" * 1000)])

    def test_a_message_is_as_large_as_its_frames_together(self):
        client, chat = self.open({"max_message_bytes": 1000})
        client.send(frame(TEXT, b"x" * 600) + frame(0, b"x" * 400) + frame(FINAL, b"y"))
        self.assert_ended(client, chat, 1009, b"message larger than 1000 bytes")
        self.assertEqual(chat.frames[:-1], [(TEXT, b"x" * 600), (0, b"x" * 400)])

    def test_a_length_nobody_could_send_is_refused_at_once(self):
        client, chat = self.open({"max_message_bytes": 1000})
        client.send(struct.pack("!BBQ", FINAL | BINARY, 0xff, 2 ** 63 - 1) + MASK)
        self.assert_ended(client, chat, 1009, b"message larger than 1000 bytes")

    def test_too_many_messages_end_it(self):
        clock = Clock(self)
        client, chat = self.open({"messages_per_second": 0.1, "burst": 3}, env=clock.env)
        client.send(frame(FINAL | TEXT, b"1") + frame(FINAL | PING) + frame(FINAL | TEXT, b"3"))
        client.wait(lambda: len(client.frames) == 2)
        clock.advance(25)
        client.send(frame(FINAL | TEXT, b"4") + frame(FINAL | TEXT, b"5"))
        client.wait(lambda: len(client.frames) == 4)
        client.send(frame(FINAL | TEXT, b"6") + frame(FINAL | TEXT, b"7") + frame(FINAL | TEXT, b"8"))
        self.assert_ended(client, chat, 1008, b"too many messages")
        self.assertLessEqual(len(chat.frames), 7)

    def test_pieces_without_content_count_like_messages(self):
        client, chat = self.open({"messages_per_second": 0.001, "burst": 3})
        client.send(frame(TEXT, b"x") + frame(0) * 3)
        self.assert_ended(client, chat, 1008, b"too many messages")

    def test_what_breaks_the_protocol_ends_it(self):
        for bad, text in ((frame(FINAL | TEXT, b"x", mask=None), b"a frame that is not masked"),
                          (frame(FINAL | 0x40 | TEXT, b"x"), b"a reserved bit that nothing was agreed on for"),
                          (frame(FINAL | PING, b"x" * 126), b"a control frame of more than 125 bytes"),
                          (frame(PING, b"x"), b"a control frame in fragments"), (frame(FINAL, b"x"), b"a continuation of no message")):
            client, chat = self.open({"max_message_bytes": 1000})
            client.send(frame(FINAL | TEXT, b"before") + bad)
            self.assert_ended(client, chat, 1002, text)
            self.assertEqual(chat.frames[:-1], [(FINAL | TEXT, b"before")])

    def test_each_rule_of_frames_is_kept(self):
        chats = []
        gw = self.gateway(lambda request, connection: chats[-1](request, connection), {"enable_websocket": True, "plugins": {
            "websocket-limits": {"max_message_bytes": 1 << 20}}})
        cases = [(frame(FINAL | opcode, payload), b"an unknown opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for payload in (b"", b"x")]
        cases += [(frame(FINAL | bits | TEXT, b"x"), b"a reserved bit that nothing was agreed on for") for bits in (0x10, 0x20, 0x30, 0x70)]
        cases += [(frame(FINAL | bits | opcode, b""), b"a reserved bit that nothing was agreed on for") for bits, opcode in ((0x10, PING), (0x40, CLOSE), (0x20, PONG))]
        cases += [(frame(opcode, b""), b"a control frame in fragments") for opcode in (PING, PONG, CLOSE)]
        cases += [(frame(FINAL | opcode, b"x" * 126), b"a control frame of more than 125 bytes") for opcode in (PONG, CLOSE)]
        cases += [(frame(TEXT, b"x") + frame(FINAL | opcode, b"y"), b"a message within a message") for opcode in (TEXT, BINARY)]
        cases += [(frame(FINAL | CLOSE, b"x"), b"a close frame of one byte"), (frame(0, b""), b"a continuation of no message"),
                  (frame(TEXT, b"x") + frame(FINAL, b"y") + frame(FINAL, b"z"), b"a continuation of no message"),
                  (bytes((FINAL | TEXT, 0x80 | 126, 0, 125)) + MASK + b"x" * 125, b"a length that is not the shortest"),
                  (bytes((FINAL | TEXT, 0x80 | 127)) + struct.pack("!Q", 65535) + MASK, b"a length that is not the shortest"),
                  (bytes((FINAL | TEXT, 0x80 | 127)) + b"\xff" * 8 + MASK, b"a length of more than 63 bits")]
        for bad, text in cases:
            with self.subTest(bad[:16]):
                chats.append(Chat())
                client = self.socket(gw)
                client.send(bad)
                self.assert_ended(client, chats[-1], 1002, text)
                self.assertLessEqual(len(chats[-1].frames), 3)

    def test_frames_of_every_kind_and_size_pass_unchanged(self):
        client, chat = self.open({"max_message_bytes": 1 << 20})
        sent = [(FINAL | opcode, b"x" * size) for opcode in (TEXT, BINARY) for size in (0, 1, 125, 126, 127, 128, 65535, 65536)]
        sent += [(FINAL | PING, b""), (FINAL | PING, bytes(range(125))), (FINAL | PONG, b"unasked"), (FINAL | PONG, b"")]
        sent += [(TEXT, b""), (0, b"\xff\xfe"), (FINAL | PING, b"between"), (0, b""), (FINAL, b""), (BINARY, b"a"), (FINAL | PONG, b"?"), (FINAL, b"b")]
        sent += [(FINAL | CLOSE, struct.pack("!H", 4999) + b"r" * 123)]
        client.send(b"".join(frame(first, payload) for first, payload in sent))
        wait_for(lambda: len(chat.frames) == len(sent), 10, "all frames")
        self.assertEqual(chat.frames, sent)

    def test_compressed_messages_count_as_they_are_sent(self):
        client, chat = self.open({"max_message_bytes": 10}, Chat(b"permessage-deflate; server_no_context_takeover"))
        client.send(frame(FINAL | 0x40 | TEXT, b"0123456789"))
        client.wait(lambda: len(client.frames) == 1)
        client.send(frame(FINAL | 0x40 | TEXT, b"0123456789+"))
        self.assert_ended(client, chat, 1009, b"message larger than 10 bytes")

    def test_a_frame_of_the_upstream_that_has_begun_is_finished_first(self):
        begun = frame(FINAL | TEXT, b"h" * 50, mask=None)
        client, chat = self.open({"max_message_bytes": 10}, Chat(half=begun[:20], rest=begun[20:] + frame(FINAL | CLOSE, b"\x03\xe9", mask=None) +
                                                                 frame(FINAL | TEXT, b"more", mask=None)))
        client.send(frame(FINAL | TEXT, b"x" * 11))    # the upstream is told, and only then sends the rest
        self.assert_ended(client, chat, 1009, b"message larger than 10 bytes")
        self.assertEqual(client.frames[:-1], [(FINAL | TEXT, b"h" * 50)])

    def test_what_the_upstream_says_to_messages_before_arrives(self):
        last = frame(FINAL | TEXT, b"last", mask=None) + frame(FINAL | CLOSE, b"\x03\xe9", mask=None)
        chat = Chat(rest=last)
        _, _, client = self.patient(chat, {"max_message_bytes": 1000})    # whose second to answer in does not pass
        client.send(frame(FINAL | TEXT, b"123") + frame(FINAL | TEXT, b"1234") + frame(FINAL | PING, b"x" * 126))
        self.assert_ended(client, chat, 1002, b"a control frame of more than 125 bytes")
        self.assertEqual(client.frames[:-1], [(FINAL | TEXT, b"3"), (FINAL | TEXT, b"4"), (FINAL | TEXT, b"last")])

    def patient(self, chat, limits):
        """(gateway, its clock, client)"""
        clock = Clock(self)
        gw = self.gateway(chat, {"enable_websocket": True, "plugins": {"websocket-limits": limits} if limits else {}}, env=clock.env, workers=1)
        return gw, clock, self.socket(gw)

    @staticmethod
    def pass_time(gw, clock, seconds):
        """The worker is done with what came before, and sees the clock."""
        gw.raw(b"?\r\n\r\n")
        clock.advance(seconds)
        gw.raw(b"?\r\n\r\n")

    def test_an_upstream_that_does_not_answer_is_waited_for_a_second(self):
        gw, clock, client = self.patient(Silent(self, frame(FINAL | TEXT, b"hello", mask=None)), {"max_message_bytes": 10})
        client.send(frame(FINAL | TEXT, b"x" * 11))
        gw.wait_log("closed with 1009")
        self.pass_time(gw, clock, 1.1)
        client.wait_end()
        self.assertEqual(client.frames, [(FINAL | TEXT, b"hello"), close_of(1009, b"message larger than 10 bytes")])

    def test_a_frame_of_the_upstream_that_never_ends_is_not_waited_for(self):
        gw, clock, client = self.patient(Silent(self, frame(FINAL | TEXT, b"hello", mask=None)[:3]), {"max_message_bytes": 10})
        client.send(frame(FINAL | TEXT, b"x" * 11))
        gw.wait_log("closed with 1009")
        self.pass_time(gw, clock, 5.1)
        client.wait_end()
        self.assertEqual(client.frames, [])

    def test_a_client_that_has_ended_does_not_hold_a_silent_upstream(self):
        for limits in (None, {"max_message_bytes": 10}):
            chat = Silent(self)
            gw, clock, client = self.patient(chat, limits)
            client.say_no_more()
            wait_for(lambda: chat.has_ended, 10, "the upstream hearing of it")
            self.pass_time(gw, clock, 61)
            client.wait_end()

    def test_a_client_that_takes_nothing_is_left_also_when_it_sends(self):
        chat = Pouring()
        gw, clock, client = self.patient(chat, None)
        wait_for(lambda: chat.is_blocked, 20, "an upstream that has to wait")

        def is_over():  # after a minute without progress, however often it says something
            try:
                client.send(frame(FINAL | PONG))
            except OSError:
                pass
            self.pass_time(gw, clock, 31)
            return chat.is_over
        wait_for(is_over, 20, "the tunnel's end")

    def test_an_upstream_that_takes_nothing_is_left_also_when_it_sends(self):
        chat = Deaf(self)
        gw, clock, client = self.patient(chat, None)

        def is_left():
            try:
                client.pour(b"x" * 4096)
                chat.connection.send(frame(FINAL | TEXT, b"still here", mask=None))
            except OSError:
                return True
            self.pass_time(gw, clock, 40)
            return False
        wait_for(is_left, 30, "the tunnel's end")

    def test_a_client_is_told_though_the_upstream_broke_meanwhile(self):
        chat = Breaking()
        gw = self.gateway(chat, {"enable_websocket": True, "plugins": {"websocket-limits": {"max_message_bytes": 10}}}, workers=1,
                          moongate={"script": {"watchdog_ms": 60_000}})
        client, (worker,) = self.socket(gw), gw.worker_pids()
        os.kill(worker, signal.SIGSTOP)     # so that it learns of both at once
        self.addCleanup(os.kill, worker, signal.SIGCONT)
        client.send(frame(FINAL | TEXT, b"x" * 11))
        chat.orders.set()
        self.assertTrue(chat.has_broken.wait(60))
        os.kill(worker, signal.SIGCONT)
        client.wait_end()
        self.assertEqual(client.frames, [close_of(1009, b"message larger than 10 bytes")])

    def test_an_upstream_that_breaks_the_protocol_ends_it(self):
        for bad, text in ((frame(FINAL | TEXT, b"x"), b"a masked frame"), (frame(FINAL | 3, b"", mask=None), b"an unknown opcode"),
                          (frame(FINAL | 0x40 | TEXT, b"x", mask=None), b"a reserved bit that nothing was agreed on for")):
            client, chat = self.open({"max_message_bytes": 10}, Chat(half=frame(FINAL | TEXT, b"before", mask=None) + bad))
            client.wait_end()
            self.assertEqual(client.frames, [(FINAL | TEXT, b"before"), close_of(1011, b"the upstream sent " + text)])
            wait_for(lambda c=chat: c.has_ended, 10, "the upstream's end")

    def test_a_client_that_closes_has_closed(self):
        client, chat = self.open({"max_message_bytes": 10})
        client.send(frame(FINAL | CLOSE, b"\x03\xe8") + frame(FINAL | TEXT, b"x" * 11))
        wait_for(lambda: chat.frames, 10, "the close frame")
        client.leave()
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        self.assertEqual(chat.frames, [close_of(1000)])

    def test_without_limits_a_tunnel_is_a_tunnel(self):
        client, chat = self.open(None)
        client.send(frame(FINAL | TEXT, b"x", mask=None) + frame(FINAL | 0x70 | TEXT, b"y" * 100000))
        client.wait(lambda: len(client.frames) == 2)
        self.assertEqual(chat.frames, [(FINAL | TEXT, b"x"), (FINAL | 0x70 | TEXT, b"y" * 100000)])


@sanitized
class OverHttp1(Limits, TestCase):
    def gateway(self, chat, route_more, **more):
        up = self.upstream(chat)
        return self.serve({"routes": [route("/*", up, **route_more)]}, **more)

    def socket(self, gw):
        return Socket1(self, gw)

    def test_frames_may_come_byte_by_byte(self):
        client, chat = self.open({"max_message_bytes": 300})
        for byte in frame(FINAL | TEXT, b"x" * 300):
            client.send(bytes([byte]))
        client.wait(lambda: len(client.frames) == 1)
        for byte in frame(FINAL | TEXT, b"x" * 301)[:8]:
            client.send(bytes([byte]))
        self.assert_ended(client, chat, 1009, b"message larger than 300 bytes")

    def test_a_client_that_does_not_leave_is_left(self):
        clock = Clock(self)
        client, _ = self.open({"max_message_bytes": 1}, env=clock.env)
        client.send(frame(FINAL | TEXT, b"xx"))
        client.wait_end()
        clock.advance(6)

        def is_left():
            try:
                client.send(b"x" * 1000)
                return False
            except OSError:
                return True
        wait_for(is_left, 10, "the connection being closed")


@sanitized
class OverHttp2(Limits, http2_test.Http2TestCase):
    def gateway(self, chat, route_more, **more):
        return self.serve2(chat, route_more=route_more, **more)[0]

    def socket(self, gw):
        return Socket2(self, gw)
