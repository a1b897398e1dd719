# SPDX-License-Identifier: Apache-2.0
"""Constant load from one thread: N keepalive connections, each with one request under way, every answer checked.

`make(i)` gives the i-th request as (bytes, check); check(status, body) returns None or what is wrong. `pace_s` is the pause
of a connection between an answer and its next request; without it the generator takes all the CPU it can get.
"""

import collections
import selectors
import socket
import threading
import time

from wire import HOST

CONNECT_LIMIT_S = 20.0
ANSWER_LIMIT_S = 50.0


class _Conn:
    def __init__(self):
        self.sock, self.buffer, self.check = None, bytearray(), None
        self.sent_at, self.due_at, self.pending = 0.0, 0.0, b""
        self.body_at = self.length = None


class Load:
    """start(), ... stop(); or run_for(seconds). Then `statuses`, `mismatches`, `errors`, `latencies`."""

    def __init__(self, port, make, connections=64, pace_s=0.0, host=HOST):
        self.address, self.make, self.pace_s = (host, port), make, pace_s
        self.conns = [_Conn() for _ in range(connections)]
        self.statuses, self.mismatches, self.errors = collections.Counter(), [], []
        self.latencies, self.sent, self.answered = [], 0, 0
        self.selector = selectors.DefaultSelector()
        self.is_stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        """Lets requests under way finish, then ends."""
        self.is_stopping = True
        self.thread.join(ANSWER_LIMIT_S + CONNECT_LIMIT_S + 5)
        if self.thread.is_alive():
            raise AssertionError("the load generator hangs")
        return self

    def run_for(self, seconds):
        self.start()
        self.thread.join(seconds)
        return self.stop()

    def failures(self):
        return len(self.errors) + len(self.mismatches)

    def summary(self):
        return (f"{self.answered} of {self.sent} answered, statuses {dict(self.statuses)}, {len(self.errors)} errors "
                f"{self.errors[:3]}, {len(self.mismatches)} wrong answers {self.mismatches[:3]}")

    def percentile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    # ----------------------------------------------------------- the thread

    def run(self):
        try:
            while self.turn():
                pass
        finally:
            for c in self.conns:
                self.drop(c)
            self.selector.close()

    def turn(self):
        now = time.monotonic()
        busy = 0
        next_due = now + 0.05
        for c in self.conns:
            if c.check is not None:
                busy += 1
                if now - c.sent_at > ANSWER_LIMIT_S:
                    self.fail(c, f"no answer within {ANSWER_LIMIT_S} s")
            elif not self.is_stopping:
                if c.due_at <= now:
                    self.send(c, now)
                    busy += 1
                else:
                    next_due = min(next_due, c.due_at)
        if self.is_stopping and not busy:
            return False
        for key, events in self.selector.select(max(0.0, next_due - now)):
            if events & selectors.EVENT_WRITE:
                self.on_writable(key.data)
            if events & selectors.EVENT_READ and key.data.sock is not None:
                self.on_readable(key.data)
        return True

    def connect(self, c):
        c.sock = socket.create_connection(self.address, CONNECT_LIMIT_S)
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock.setblocking(False)
        self.selector.register(c.sock, selectors.EVENT_READ, c)

    def send(self, c, now):
        data, c.check = self.make(self.sent)
        self.sent += 1
        c.sent_at = now
        try:
            if c.sock is None:
                self.connect(c)
            c.pending = data
            self.on_writable(c)
        except OSError as e:
            self.fail(c, f"connect or send: {e}")

    def on_writable(self, c):
        try:
            if c.pending:
                c.pending = c.pending[c.sock.send(c.pending):]
        except BlockingIOError:
            pass
        except OSError as e:
            self.fail(c, f"send: {e}")
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if c.pending else 0)
        self.selector.modify(c.sock, events, c)

    def on_readable(self, c):
        try:
            part = c.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as e:
            self.fail(c, f"receive: {e}")
            return
        if not part:
            if c.check is None:
                self.drop(c)    # an idle connection may be closed at any time
            else:
                self.fail(c, f"closed with {len(c.buffer)} bytes of the answer")
            return
        c.buffer += part
        while c.check is not None and self.take_answer(c):
            pass
        if c.check is None and c.buffer:
            self.errors.append(f"bytes after the answer: {bytes(c.buffer[:80])!r}")
            self.drop(c)

    def take_answer(self, c):
        """Handles one complete answer in the buffer; False when there is none yet."""
        end = c.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(c.buffer[:end]).lower()
        lines = head.split(b"\r\n")
        status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
        length, closes = None, False
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                closes = value.strip() == b"close"
            elif name == b"transfer-encoding":
                return self.take_chunked(c, status, end + 4, closes)
        if 100 <= status < 200:
            del c.buffer[:end + 4]
            return True
        if length is None:
            length = 0
        if len(c.buffer) < end + 4 + length:
            return False
        body = bytes(c.buffer[end + 4:end + 4 + length])
        del c.buffer[:end + 4 + length]
        self.finish(c, status, body, closes)
        return True

    def take_chunked(self, c, status, at, closes):
        parts = []
        while True:
            eol = c.buffer.find(b"\r\n", at)
            if eol < 0:
                return False
            size = int(bytes(c.buffer[at:eol]).split(b";")[0], 16)
            at = eol + 2
            if size == 0:
                break
            if len(c.buffer) < at + size + 2:
                return False
            parts.append(bytes(c.buffer[at:at + size]))
            at += size + 2
        # A trailer section ends with an empty line; there is none when that line follows at once.
        end = at + 2 if c.buffer[at:at + 2] == b"\r\n" else c.buffer.find(b"\r\n\r\n", at) + 4
        if end < at + 2 or len(c.buffer) < end:
            return False
        del c.buffer[:end]
        self.finish(c, status, b"".join(parts), closes)
        return True

    def finish(self, c, status, body, closes):
        now = time.monotonic()
        self.answered += 1
        self.statuses[status] += 1
        self.latencies.append(now - c.sent_at)
        wrong = c.check(status, body)
        if wrong:
            self.mismatches.append(wrong)
        c.check, c.due_at = None, now + self.pace_s
        if closes:
            self.drop(c)

    def fail(self, c, why):
        self.errors.append(why)
        c.check, c.due_at = None, time.monotonic() + max(self.pace_s, 0.01)
        self.drop(c)

    def drop(self, c):
        if c.sock is not None:
            try:
                self.selector.unregister(c.sock)
            except (KeyError, ValueError):
                pass
            c.sock.close()
        c.sock, c.pending = None, b""
        c.buffer.clear()


def expect(status, body=None):
    """A check for Load: this status, and this body unless None."""
    def check(got_status, got_body):
        if got_status != status:
            return f"{got_status} instead of {status}: {got_body[:200]!r}"
        if body is not None and got_body != body:
            return f"body {got_body[:200]!r} instead of {body[:200]!r}"
        return None
    return check
