# SPDX-License-Identifier: Apache-2.0
"""WebSockets that the gateway ends itself, because the credential that let them in is gone or because it stops: both sides are told by
a close frame, but for a side that is within a frame, and nobody holds the gateway by not reading or not leaving."""

import signal
import threading
import unittest

import http2_test
from clock import Clock
from harness import HOST, ClosedError, TestCase, route, sanitized, wait_for
from http2_wire import CANCEL, INTERNAL_ERROR, NO_ERROR
from libraries import node_peer
from websocket_limits_test import BINARY, CLOSE, FINAL, MASK, PING, TEXT, Chat, Pouring, Socket1, Socket2, close_of, frame, take_frames
from websocket_test import WebSocketTestCase

REASON = b"the credential that let this WebSocket in is gone"
REVOKED = close_of(1008, REASON)
LIMITS = {"max_message_bytes": 1 << 20}


def consumers(*names):
    return [{"username": name, "plugins": {"key-auth": {"key": f"{name}-key"}}} for name in names]


def header_alone():
    """The whole header of a frame, and nothing of what it announces."""
    return bytes((FINAL | BINARY, 0x80 | 126, 1, 0)) + MASK


class Saying(Chat):
    """One that sends `half` and reads on; what it is told is in `frames` and `left`."""

    def __call__(self, request, connection):
        connection.send(self.handshake(request))
        data, reader = b"", connection.reader
        while True:
            try:
                is_more = reader.fill()
            except ConnectionResetError:
                is_more = False
            data += bytes(reader.buffer)
            reader.buffer.clear()
            frames, data = take_frames(data)
            self.frames += frames
            self.left = data
            if not is_more:
                self.has_ended = True
                connection.close()
                return


class Closing:
    """The same promises for both protocols."""

    def open(self, chat, limits=None, **more):
        """(gateway, what makes its configuration for these consumers, client)"""
        up = self.upstream(chat)

        def config(*names):
            plugins = {"key-auth": {}, **({"websocket-limits": limits} if limits else {})}
            return {"routes": [route("/*", up, enable_websocket=True, plugins=plugins)], "consumers": consumers(*names)}
        more.setdefault("moongate", {}).setdefault("client", {})["revocation_grace"] = 0
        gw = self.serve(config("jane", "john"), workers=1, **self.LISTEN, **more)
        return gw, config, self.socket(gw, "jane")

    def revoke(self, gw, config):
        gw.apply(config("john"))

    @staticmethod
    def pass_time(gw, clock, seconds):
        """The worker is done with what came before, and sees the clock."""
        gw.raw(b"?\r\n\r\n")
        clock.advance(seconds)
        gw.raw(b"?\r\n\r\n")

    def assert_upstream_told(self, chat):
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        self.assertEqual((chat.frames[-1], chat.left), (close_of(1001), b""))

    def test_both_sides_are_told_when_the_credential_goes(self):
        for limits in (None, LIMITS):
            with self.subTest(limits=limits):
                chat = Chat()
                gw, config, jane = self.open(chat, limits)
                john = self.socket(gw, "john")
                for client in (jane, john):
                    client.send(frame(FINAL | TEXT, b"12345") + frame(TEXT, b"a message that has begun"))   # and may be interrupted
                    client.wait(lambda c=client: c.frames == [(FINAL | TEXT, b"5"), (FINAL | TEXT, b"24")])
                self.revoke(gw, config)
                jane.wait_end()
                self.assertEqual(jane.frames[2:], [REVOKED])
                jane.leave()
                self.assert_upstream_told(chat)
                self.assertEqual([first for first, _ in chat.frames].count(FINAL | CLOSE), 1)
                self.assertIn("1 requests ended with the credentials", gw.wait_log("requests ended with the credentials"))
                john.send(frame(FINAL, b"123"))
                self.assertFalse(john.frames[2:])

    def test_a_mask_is_made_for_the_upstreams_frame(self):
        seen = []

        class Raw(Saying):
            def __call__(self, request, connection):
                connection.send(self.handshake(request))
                seen.append(connection.reader.to_end())
        gw, config, jane = self.open(Raw())
        self.revoke(gw, config)
        jane.wait_end()
        jane.leave()
        wait_for(lambda: seen, 10, "the upstream's end")
        self.assertEqual((seen[0][:2], len(seen[0])), (bytes((FINAL | CLOSE, 0x82)), 8))

    def test_an_upstream_that_is_within_a_clients_frame_is_cut_and_the_client_told(self):
        for limits in (None, LIMITS):
            for sent in (frame(FINAL | TEXT, b"x" * 100)[:50], header_alone(), frame(FINAL | TEXT, b"x" * 100)[:-1]):
                with self.subTest(limits=limits, size=len(sent)):
                    chat = Saying()
                    gw, config, jane = self.open(chat, limits)
                    jane.send(frame(FINAL | PING, b"?") + sent)
                    wait_for(lambda c=chat, s=sent: len(c.frames) == 1 and len(c.left) == len(s), 10, "the begun frame")
                    self.revoke(gw, config)
                    jane.wait_end()
                    self.assertEqual(jane.frames, [REVOKED])
                    wait_for(lambda c=chat: c.has_ended, 10, "the upstream's end")
                    self.assertEqual((chat.frames, chat.left), ([(FINAL | PING, b"?")], sent))

    def test_a_header_of_the_clients_that_is_not_whole_is_a_frame_that_has_begun(self):
        chat = Saying()
        gw, config, jane = self.open(chat)
        jane.send(frame(FINAL | TEXT, b"x" * 200)[:3])
        wait_for(lambda: getattr(chat, "left", b""), 10, "the begun header")
        self.revoke(gw, config)
        jane.wait_end()
        self.assertEqual(jane.frames, [REVOKED])
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        self.assertEqual((chat.frames, len(chat.left)), ([], 3))

    def test_a_client_that_is_within_an_upstreams_frame_is_cut_and_the_upstream_told(self):
        begun = frame(FINAL | TEXT, b"h" * 200, mask=None)
        for limits, half in ((None, begun[:100]), (None, begun[:1]), (None, begun[:3]), (LIMITS, begun[:100])):
            with self.subTest(limits=limits, size=len(half)):
                chat = Saying(half=frame(FINAL | TEXT, b"hello", mask=None) + half)
                gw, config, jane = self.open(chat, limits)
                jane.wait(lambda j=jane, h=half: self.left_of(j) == h)
                self.revoke(gw, config)
                jane.wait_end()
                self.assertEqual((jane.frames, self.left_of(jane)), ([(FINAL | TEXT, b"hello")], half))
                self.assert_upstream_told(chat)
                self.assert_cut(jane)

    def test_what_breaks_the_protocol_has_no_frames_to_be_between(self):
        bad = frame(FINAL | 3, b"", mask=None)
        chat = Saying(half=frame(FINAL | TEXT, b"hello", mask=None) + bad + b"whatever")
        gw, config, jane = self.open(chat)
        jane.wait(lambda: len(jane.frames) >= 2)
        self.revoke(gw, config)
        jane.wait_end()
        self.assertEqual((len(jane.frames), self.left_of(jane)), (2, b"whatever"))
        self.assert_upstream_told(chat)

    def test_who_has_had_a_close_frame_gets_no_other(self):
        bye = frame(FINAL | CLOSE, b"\x03\xe8", mask=None)
        for limits in (None, LIMITS):
            with self.subTest(limits=limits):
                chat = Saying(half=bye)
                gw, config, jane = self.open(chat, limits)
                jane.wait(lambda j=jane: j.frames == [close_of(1000)])
                jane.send(frame(FINAL | CLOSE, b"\x03\xe8"))
                wait_for(lambda c=chat: c.frames == [close_of(1000)], 10, "the client's close frame")
                self.revoke(gw, config)
                jane.wait_end()
                jane.leave()
                wait_for(lambda c=chat: c.has_ended, 10, "the upstream's end")
                self.assertEqual((jane.frames, chat.frames, chat.left), ([close_of(1000)], [close_of(1000)], b""))

    def test_nothing_passes_behind_the_close_frame(self):
        chat = Saying(half=frame(FINAL | TEXT, b"hello", mask=None))
        gw, config, jane = self.open(chat, env=Clock(self).env)     # so that the time to leave in does not pass
        jane.wait(lambda: jane.frames)
        self.revoke(gw, config)
        jane.wait_end()
        jane.send(frame(FINAL | TEXT, b"still here"))
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        self.assertEqual((jane.frames, chat.frames), ([(FINAL | TEXT, b"hello"), REVOKED], [close_of(1001)]))

    def test_who_is_leaving_is_ended_once(self):
        gw, config, jane = self.open(Saying(), env=Clock(self).env)     # so that the time to leave in does not pass
        john = self.socket(gw, "john")
        self.revoke(gw, config)
        jane.wait_end()
        gw.apply(config())
        john.wait_end()
        wait_for(lambda: gw.log_text().count("requests ended with the credentials") == 2, 10, "both ends in the log")
        self.assertEqual(gw.log_text().count(" 1 requests ended with the credentials"), 2)
        self.assertEqual((jane.frames, john.frames), ([REVOKED], [REVOKED]))

    def test_a_client_that_takes_nothing_is_left(self):
        chat, clock = Pouring(), Clock(self)
        gw, config, jane = self.open(chat, env=clock.env)
        wait_for(lambda: chat.is_blocked, 20, "an upstream that has to wait")
        self.revoke(gw, config)
        gw.wait_log("requests ended with the credentials")
        self.pass_time(gw, clock, 5.1)
        wait_for(lambda: chat.is_over, 20, "the tunnel's end")
        jane.leave()

    def test_both_are_told_when_the_gateway_stops(self):
        for number, settings in ((signal.SIGTERM, {}), (signal.SIGQUIT, {"drain_timeout": 0.3})):
            for limits in (None, LIMITS):
                with self.subTest(number=number, limits=limits):
                    chat = Saying(half=frame(FINAL | TEXT, b"hello", mask=None))
                    gw, _, jane = self.open(chat, limits, moongate=settings)
                    jane.wait(lambda j=jane: j.frames)
                    gw.send_signal(number)
                    self.wait_gone(jane)
                    self.assertEqual(jane.frames, [(FINAL | TEXT, b"hello"), close_of(1001)])
                    self.assert_upstream_told(chat)

    def test_who_is_within_a_frame_is_cut_when_the_gateway_stops(self):
        begun = frame(FINAL | TEXT, b"h" * 200, mask=None)[:100]
        chat = Saying(half=begun)
        gw, _, jane = self.open(chat)
        jane.wait(lambda: self.left_of(jane) == begun)
        gw.send_signal(signal.SIGTERM)
        self.wait_gone(jane)
        self.assertEqual(self.left_of(jane), begun)
        self.assert_upstream_told(chat)


@sanitized
class OverHttp1(Closing, TestCase):
    LISTEN = {}

    def socket(self, gw, name):
        return Socket1(self, gw, more={"apikey": f"{name}-key"})

    def wait_gone(self, client):
        client.wait_end()

    def left_of(self, client):
        if not client.is_over and not client.data:
            client.step()
        return client.data

    def assert_cut(self, client):
        self.assertTrue(client.is_over)

    def test_a_client_that_does_not_leave_is_left(self):
        chat, clock = Saying(), Clock(self)
        gw, config, jane = self.open(chat, env=clock.env)
        self.revoke(gw, config)
        jane.wait_end()
        wait_for(lambda: chat.has_ended, 10, "the upstream's end")
        jane.send(b"x" * 1000)      # which is read, and resets nothing
        self.pass_time(gw, clock, 5.1)

        def is_left():
            try:
                jane.send(b"x" * 1000)
                return False
            except OSError:
                return True
        wait_for(is_left, 10, "the connection being closed")
        self.assertEqual(jane.frames, [REVOKED])

    def test_other_protocols_are_cut(self):
        def answer(request, connection):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\nhello\r\n")
            seen.append(connection.reader.to_end())
        seen = []
        gw, config, _ = self.open(Chat())
        up = self.upstream(answer)
        other = {**config("jane", "john")["routes"][0], "id": "other", "uri": "/other", "upstream": {"nodes": up.nodes}}

        def both(*names):
            return {"routes": [*config()["routes"], other], "consumers": consumers(*names)}
        gw.apply(both("jane", "john"))
        client = gw.client()
        self.addCleanup(client.close)
        answer = client.request("GET", "/other", {"apikey": "jane-key", "Connection": "Upgrade", "Upgrade": "chat"})
        self.assertEqual((answer.status, client.reader.until(b"\r\n")), (101, b"hello\r\n"))
        self.revoke(gw, both)
        with self.assertRaises((ClosedError, ConnectionResetError)):
            client.reader.until(b"\r\n")
        wait_for(lambda: seen, 10, "the upstream's end")
        self.assertEqual(seen, [b""])


@sanitized
class OverHttp2(Closing, http2_test.Http2TestCase):
    LISTEN = {"listen": http2_test.CLEAR}

    def socket(self, gw, name):
        return Socket2(self, gw, more={"apikey": f"{name}-key"})

    def wait_gone(self, client):
        client.client.wait(lambda: client.client.is_ended or client.client.answer(client.stream).is_over)

    def left_of(self, client):
        return take_frames(bytes(client.client.answer(client.stream).body))[1]

    def assert_cut(self, client):
        self.assertEqual(client.client.answer(client.stream).reset, INTERNAL_ERROR)

    def test_a_client_that_is_told_sees_the_stream_end_and_the_connection_stay(self):
        chat = Saying()
        gw, config, jane = self.open(chat)
        john = jane.client.open([*http2_test.WEBSOCKET, ("apikey", "john-key")], is_last=False)
        jane.wait(lambda: jane.client.answer(john).status == 200)
        self.revoke(gw, config)
        answer = jane.client.answer(jane.stream)
        jane.wait(lambda: answer.reset is not None)     # behind the end: what it still has to say is not waited for
        self.assertEqual((answer.is_ended, answer.reset, jane.frames), (True, NO_ERROR, [REVOKED]))
        self.assertFalse(jane.client.answer(john).is_over)

    def test_a_close_frame_that_no_window_is_opened_for_is_dropped(self):
        chat, clock = Saying(half=frame(FINAL | BINARY, b"x" * 70000, mask=None)), Clock(self)
        gw, config, jane = self.open(chat, env=clock.env)
        answer = jane.client.answer(jane.stream)
        jane.wait(lambda: len(answer.body) == 65535)    # the rest waits in the gateway
        self.revoke(gw, config)
        gw.wait_log("requests ended with the credentials")
        self.assert_upstream_told(chat)
        self.assertFalse(answer.is_over)
        self.pass_time(gw, clock, 5.1)
        jane.wait(lambda: answer.reset == CANCEL)
        self.assertEqual(len(answer.body), 65535)

    def test_what_waits_for_a_window_comes_before_the_close_frame(self):
        chat = Saying(half=frame(FINAL | BINARY, b"x" * 70000, mask=None))
        gw, config, jane = self.open(chat, env=Clock(self).env)
        jane.wait(lambda: len(jane.client.answer(jane.stream).body) == 65535)
        self.revoke(gw, config)
        gw.wait_log("requests ended with the credentials")
        jane.client.send(jane.client.window_update(0, 10000) + jane.client.window_update(jane.stream, 10000))
        jane.wait_end()
        self.assertEqual(jane.frames, [(FINAL | BINARY, b"x" * 70000), REVOKED])


@sanitized
class Library(WebSocketTestCase):
    def test_the_library_is_told_on_both_sides(self):
        is_open = threading.Event()

        def answer(request, connection):
            is_open.set()
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        open_up = self.upstream(answer)
        port = self.grpc_server(peer=node_peer("ws_peer.js"))

        def config(*names):
            chat = route("/echo", {f"{HOST}:{port}": 1}, id="chat", enable_websocket=True, plugins={"key-auth": {}})
            return {"routes": [chat, route("/last-close", {f"{HOST}:{port}": 1}, id="last"), route("/is-open", open_up, id="open")],
                    "consumers": consumers(*names)}
        gw = self.serve(config("jane"), workers=1, moongate={"client": {"revocation_grace": 0}})
        seen = {}
        caller = threading.Thread(target=lambda: seen.update(self.calls(gw.port, ["revoked"], peer=node_peer("ws_peer.js"))), daemon=True)
        caller.start()
        self.assertTrue(is_open.wait(60))
        gw.apply(config("john"))
        caller.join(60)
        self.assertEqual(seen, {"revoked": [[1008, REASON.decode()], [1001, ""]]})


if __name__ == "__main__":
    unittest.main()
