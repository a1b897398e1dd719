# SPDX-License-Identifier: Apache-2.0
"""Streams that live long: they outlive snapshots that do not concern them, and not the credential that let them in."""

import threading
import time
import unittest

from harness import IS_FULL, TestCase, ClosedError, full_size, is_sanitized, memory_kb, route, sanitized

STREAMS = 100
SNAPSHOTS = 1000 if IS_FULL else 40 if is_sanitized() else 200
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: a\r\nApikey: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


class Events:
    """An upstream whose streams each get an event when a test says so."""

    def __init__(self, test):
        self.open, self.lock = [], threading.Lock()
        self.over = threading.Event()
        self.up = test.upstream(self.answer)
        test.addCleanup(self.over.set)

    def answer(self, request, connection):
        if request.target == "/other":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        with self.lock:         # before the client hears of it, so that `open` has the order of the clients
            self.open.append(connection)
        connection.send(SWITCH if request.get("Upgrade") else HEAD)
        self.over.wait()

    def say(self, event):
        with self.lock:
            for connection in self.open:
                connection.send(b"%x\r\n%s\r\n" % (len(event), event))


def read_event(client):
    size = int(client.reader.until(b"\r\n"), 16)
    return client.reader.exactly(size + 2)[:-2]


@sanitized
class Outliving(TestCase):
    @full_size
    def test_streams_outlive_snapshots_that_do_not_concern_them(self):
        events = Events(self)
        plugins = {"key-auth": {}, "gzip": {}}

        def config(number):
            other = {"uri": "/other", "id": "other", "plugins": {"echo": {"body": f"snapshot {number}"}},
                     "upstream": {"nodes": events.up.nodes}}
            rare = {"connect": 6, "send": 6, "read": 3600}      # events are
            streams = {"uri": "/*", "id": "events", "plugins": plugins, "upstream": {"nodes": events.up.nodes, "timeout": rare}}
            return {"routes": [streams, other],
                    "consumers": [{"username": "jane", "plugins": {"key-auth": {"key": "jane-key"}}},
                                  {"username": f"guest{number}", "plugins": {"key-auth": {"key": f"guest-{number}"}}}]}
        gw = self.serve(config(0), workers=1)
        clients = [gw.client(timeout=60) for _ in range(STREAMS)]
        for c in clients:
            self.addCleanup(c.close)
            c.send(b"GET /events HTTP/1.1\r\nHost: a\r\nApikey: jane-key\r\n\r\n")
        for c in clients:
            c.reader.head()
        after_some = 0
        for number in range(1, SNAPSHOTS + 1):
            gw.apply(config(number))
            if number % (SNAPSHOTS // 4) == 0:
                event = b"data: %d\n\n" % number
                events.say(event)
                self.assertEqual({read_event(c) for c in clients}, {event})
                after_some = after_some or memory_kb(gw.worker_pids())
        self.assertEqual(gw.get("/other").body, f"snapshot {SNAPSHOTS}".encode())
        if not is_sanitized():      # which keeps what was freed
            self.assertLess(memory_kb(gw.worker_pids()) - after_some, 4 * 1024)


@sanitized
class Revoked(TestCase):
    GRACE_S = 0.2

    def setUp(self):
        self.events = Events(self)
        self.gw = self.serve(self.config(jane="jane-key", john="john-key"), workers=2,
                             moongate={"client": {"revocation_grace": self.GRACE_S}})

    def config(self, route_id="events", **keys):
        consumers = [{"username": name, "plugins": {"key-auth": {"key": key}}} for name, key in keys.items()]
        r = {**route("/*", self.events.up), "id": route_id, "enable_websocket": True, "plugins": {"key-auth": {}}}
        return {"routes": [r], "consumers": consumers}

    def stream(self, key):
        c = self.gw.client(timeout=60)
        self.addCleanup(c.close)
        c.send(b"GET /events HTTP/1.1\r\nHost: a\r\nApikey: %s\r\n\r\n" % key)
        self.assertIn(b"200 OK", c.reader.head()[2])
        return c

    def tunnel(self, key):
        c = self.gw.client(timeout=60)
        self.addCleanup(c.close)
        c.send(UPGRADE % key)
        self.assertIn(b"101 ", c.reader.head()[2])
        return c

    def assert_ends(self, client, since):
        with self.assertRaises((ClosedError, ConnectionResetError)):
            client.reader.until(b"\r\n")        # not even the last chunk, which would make it look whole
        self.assertLess(time.monotonic() - since, self.GRACE_S + 20)

    def test_streams_end_with_their_consumer(self):
        jane, john, janes_tunnel = self.stream(b"jane-key"), self.stream(b"john-key"), self.tunnel(b"jane-key")
        self.gw.apply(self.config(john="john-key"))
        since = time.monotonic()
        self.assert_ends(jane, since)
        self.assertEqual(janes_tunnel.reader.to_end()[:4], b"\x88\x33\x03\xf0")      # 1008: websocket_close_test.py has the rest
        self.events.open[1].send(b"2\r\nhi\r\n")
        self.assertEqual(read_event(john), b"hi")
        self.gw.wait_log("requests ended with the credentials that let them in")

    def test_streams_end_when_their_key_is_changed(self):
        jane = self.stream(b"jane-key")
        self.gw.apply(self.config(jane="another-key", john="john-key"))
        self.assert_ends(jane, time.monotonic())
        self.stream(b"another-key")

    def test_a_stream_stays_when_something_else_about_its_consumer_changes(self):
        jane = self.stream(b"jane-key")
        config = self.config(jane="jane-key")
        config["consumers"][0]["desc"] = "who pays"
        config["consumers"][0]["plugins"]["echo"] = {"body": "x"}
        self.gw.apply(config)
        gone = self.stream(b"jane-key")
        self.gw.apply(self.config(jane="jane-key", route_id="other"))
        self.gw.apply(self.config(john="john-key"))
        self.assert_ends(gone, time.monotonic())        # by when jane's first one would have ended before
        self.assert_ends(jane, time.monotonic())

    def test_revocations_that_follow_each_other_do_not_put_one_another_off(self):
        jane = self.stream(b"jane-key")
        since = time.monotonic()
        self.gw.apply(self.config(john="john-key"))
        ended = threading.Event()

        def watch():
            self.assert_ends(jane, since)
            ended.set()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for number in range(100):
            if ended.is_set():
                break
            self.gw.apply(self.config(john="john-key", **{f"guest{number}": f"guest-{number}"}))
        else:
            self.fail("the stream did not end while snapshots went on")

    def test_what_was_let_in_without_a_credential_goes_on(self):
        self.gw.apply({"routes": [{**route("/*", self.events.up), "id": "open"}]})
        anyone = self.stream(b"none")
        self.gw.apply({"routes": [{**route("/*", self.events.up), "id": "open-again"}]})
        self.gw.apply(self.config(jane="jane-key"))
        jane = self.stream(b"jane-key")
        self.gw.apply(self.config(john="john-key"))
        self.assert_ends(jane, time.monotonic())
        self.events.open[0].send(b"2\r\nhi\r\n")
        self.assertEqual(read_event(anyone), b"hi")


if __name__ == "__main__":
    unittest.main()
