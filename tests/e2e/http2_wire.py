# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 on bare sockets: a client that can say anything, frame by frame.

It writes its own frames and field blocks (literals only, so that every byte is the test's); the gateway's field blocks are
read with the decoder of libnghttp2. Windows are opened only when the test says so.
"""

import ctypes
import ctypes.util
import socket
import struct
import time

from wire import HOST, PATIENCE, Fields, WireError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 3, 7, 8, 11
INITIAL_WINDOW_SIZE, ENABLE_CONNECT_PROTOCOL = 4, 8


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def integer(value, bits, first=0):
    """An HPACK integer whose first byte has `first` in its upper bits."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out, value = bytearray((first | limit,)), value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out) + bytes((value,))


def text(value):
    value = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(value), 7) + value


def literal(name, value):
    return b"\x00" + text(name) + text(value)


def block(fields):
    return b"".join(literal(n, v) for n, v in fields)


def head(method="GET", path="/", authority="a.test", scheme="http", more=()):
    """The fields of an ordinary request; None leaves a pseudo-field out."""
    pseudo = ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path))
    return [(n, v) for n, v in pseudo if v is not None] + list(more)


class _Nv(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_uint8)), ("value", ctypes.POINTER(ctypes.c_uint8)),
                ("name_size", ctypes.c_size_t), ("value_size", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


class Inflater:
    """Decodes the field blocks of one connection, in order."""

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("nghttp2"))
        self.library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        self.state = ctypes.c_void_p()
        self.library.nghttp2_hd_inflate_new(ctypes.byref(self.state))

    def decode(self, data):
        fields, at = Fields(), 0
        while True:
            nv, flags = _Nv(), ctypes.c_int()
            rest = data[at:]
            size = self.library.nghttp2_hd_inflate_hd2(self.state, ctypes.byref(nv), ctypes.byref(flags), rest,
                                                       ctypes.c_size_t(len(rest)), 1)
            if size < 0:
                raise WireError("a field block that cannot be decoded")
            at += size
            if flags.value & 2:
                fields.append(tuple(ctypes.string_at(p, n).decode("latin-1")
                                    for p, n in ((nv.name, nv.name_size), (nv.value, nv.value_size))))
            if flags.value & 1:
                self.library.nghttp2_hd_inflate_end_headers(self.state)
                return fields
            if size == 0 and not flags.value & 2:
                raise WireError("a field block that ends too early")

    def close(self):
        self.library.nghttp2_hd_inflate_del(self.state)


class Answer:
    """What has come on one stream."""

    def __init__(self):
        self.interim, self.fields, self.trailers = [], None, None
        self.body, self.is_ended, self.reset = b"", False, None

    @property
    def status(self):
        return int(self.fields.get(":status")) if self.fields is not None else None

    def get(self, name, default=None):
        return self.fields.get(name, default)

    @property
    def is_over(self):
        return self.is_ended or self.reset is not None

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r} ended={self.is_ended} reset={self.reset}>"


class Http2Client:
    """One connection. `settings` is a dict for the first SETTINGS frame; `window` opens the connection's by that much."""

    def __init__(self, port, settings=None, window=0, sock=None, timeout=50.0, greet=True):
        self.sock = sock or socket.create_connection((HOST, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout, self.inflater, self.buffer = timeout, Inflater(), bytearray()
        self.answers, self.goaways, self.settings, self.window_opened = {}, [], {}, {}
        self.pings, self.is_ended, self.next_stream, self.partial = [], False, 1, None
        if greet:
            entries = b"".join(struct.pack(">HI", k, v) for k, v in (settings or {}).items())
            self.send(PREFACE + frame(SETTINGS, 0, 0, entries) + (self.window_update(0, window) if window else b""))

    def close(self):
        self.sock.close()
        self.inflater.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.settimeout(self.timeout)  # what take() waited may have been short
        self.sock.sendall(data)

    @staticmethod
    def window_update(stream, size):
        return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))

    def open(self, fields=None, body=None, is_last=True, raw_block=None):
        """Opens a stream; its number. `body` is sent behind the head without looking at windows."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        payload = raw_block if raw_block is not None else block(fields if fields is not None else head())
        ends = is_last and body is None
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, payload))
        if body is not None:
            self.data(stream, body, is_last)
        return stream

    def data(self, stream, body, is_last=False):
        parts = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b""]
        for i, part in enumerate(parts):
            self.send(frame(DATA, END_STREAM if is_last and i + 1 == len(parts) else 0, stream, part))

    def reset(self, stream, code=CANCEL):
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", code)))

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def fetch(self, fields=None, **more):
        """One request and its whole answer, with windows opened for it."""
        stream = self.open(fields, **more)
        return self.wait(lambda: self.answer(stream).is_over and self.answer(stream), opens=True)

    def wait(self, condition, limit_s=None, opens=False):
        """Takes frames in until the condition gives something true."""
        end = time.monotonic() + (limit_s * PATIENCE if limit_s else self.timeout)
        while True:
            value = condition()
            if value:
                return value
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"the condition did not hold: {self.answers} goaways {self.goaways}")
            if self.is_ended:
                raise WireError(f"closed: {self.answers} goaways {self.goaways}")
            self.take(left, opens)

    def wait_end(self, limit_s=None):
        """Until the gateway closes; its last GOAWAY's code."""
        self.wait(lambda: self.is_ended, limit_s)
        return self.goaways[-1][1] if self.goaways else None

    def take(self, limit_s, opens=False):
        """Receives once and deals with the whole frames."""
        self.sock.settimeout(max(limit_s, 0.001))
        try:
            part = self.sock.recv(65536)
        except (TimeoutError, socket.timeout):
            return
        except OSError:
            part = b""
        self.is_ended = not part
        self.buffer += part
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                return
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
            payload = bytes(self.buffer[9:9 + size])
            del self.buffer[:9 + size]
            self.on_frame(kind, flags, stream, payload, opens)

    def on_frame(self, kind, flags, stream, payload, opens):
        if kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
            self.reply(frame(SETTINGS, ACK))
        elif kind == PING:
            self.pings.append((flags, payload))
            if not flags & ACK:
                self.reply(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", payload[:8]))
        elif kind == WINDOW_UPDATE:
            self.window_opened[stream] = self.window_opened.get(stream, 0) + struct.unpack(">I", payload)[0]
        elif kind == RST_STREAM:
            self.answer(stream).reset = struct.unpack(">I", payload)[0]
        elif kind == DATA:
            self.answer(stream).body += payload
            if opens and payload:
                self.reply(self.window_update(0, len(payload)) + self.window_update(stream, len(payload)))
        elif kind in (HEADERS, CONTINUATION):
            self.partial = (self.partial or b"") + payload
            if flags & END_HEADERS:
                self.on_fields(self.answer(stream), self.inflater.decode(self.partial))
                self.partial = None
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.answer(stream).is_ended = True

    @staticmethod
    def on_fields(answer, fields):
        if answer.fields is not None:
            answer.trailers = fields
        elif fields.get(":status", "").startswith("1"):
            answer.interim.append(fields)
        else:
            answer.fields = fields

    def reply(self, data):
        try:
            self.send(data)
        except OSError:
            pass
