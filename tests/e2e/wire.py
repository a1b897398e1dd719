# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 on bare sockets: what the tests see of the gateway is exactly the bytes it sent.

`raw` sends bytes and collects bytes; `Client` keeps a connection and takes answers apart. Neither repairs anything:
an answer that is not well-formed raises WireError. Upstreams are in upstream.py, load in load.py.
"""

import errno
import fcntl
import json
import os
import random
import socket
import ssl
import tempfile
import time

HOST = "127.0.0.1"
PATIENCE = 5    # limits say what is long for a machine with nothing else to do; waits give up after so many times that


class WireError(Exception):
    """The peer sent something that is not HTTP, or closed in the middle of a message."""


class ClosedError(WireError):
    """The peer closed before the first byte of a message."""


def wait_for(condition, limit_s=10.0, what="the condition"):
    """Returns the first true value of condition(); fails after PATIENCE times limit_s."""
    limit_s *= PATIENCE
    end = time.monotonic() + limit_s
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not hold within {limit_s} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def can_bind(port, host=HOST):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended are no obstacle
        try:
            s.bind((host, port))
            s.listen(1)
            return True
        except OSError:
            return False


_given = set()
_claims = open(os.path.join(tempfile.gettempdir(), f"moongate-test-ports-{os.getuid()}"), "ab")


def claim(port):
    """False when another process has the port for its tests: it may not have bound it yet, and two gateways may listen on one
    port without an error, each answering some of the other's requests. A lock on one byte of a file, for this process's life."""
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    except OSError:
        return False


def free_port(host=HOST):
    """A port below the ephemeral range, so that no outgoing connection takes it before its server binds it; no other process
    that asks here gets it."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        if port not in _given and claim(port) and can_bind(port, host):
            _given.add(port)
            return port


class Fields(list):
    """Header fields as (name, value) pairs of str, in order."""

    def get(self, name, default=None):
        for n, v in self:
            if n.lower() == name.lower():
                return v
        return default

    def get_all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]

    def __contains__(self, name):
        return self.get(name) is not None


def parse_fields(lines):
    fields = Fields()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise WireError(f"bad field line {line!r}")
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


class Reader:
    """Takes messages out of a socket; `log` keeps every byte received."""

    def __init__(self, sock, keep_log=True):
        self.sock, self.buffer, self.is_ended = sock, bytearray(), False
        self.log = bytearray() if keep_log else None

    def fill(self, size=65536):
        """Receives once; False at the end."""
        if self.is_ended:
            return False
        part = self.sock.recv(size)
        if not part:
            self.is_ended = True
            return False
        self.buffer += part
        if self.log is not None:
            self.log += part
        return True

    def until(self, mark, limit=1 << 20):
        start = 0
        while True:
            at = self.buffer.find(mark, start)
            if at >= 0:
                out = bytes(self.buffer[:at + len(mark)])
                del self.buffer[:at + len(mark)]
                return out
            if len(self.buffer) > limit:
                raise WireError(f"no {mark!r} within {limit} bytes")
            start = max(0, len(self.buffer) - len(mark) + 1)
            if not self.fill():
                if not self.buffer:
                    raise ClosedError("closed before a message")
                raise WireError(f"closed within a message: {bytes(self.buffer[:200])!r}")

    def exactly(self, size):
        parts, left = [], size
        while left:
            if not self.buffer and not self.fill(min(max(left, 4096), 1 << 20)):
                raise WireError(f"closed with {left} of {size} bytes missing")
            part = bytes(self.buffer[:left])
            del self.buffer[:len(part)]
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def to_end(self):
        while self.fill(1 << 20):
            pass
        out = bytes(self.buffer)
        self.buffer.clear()
        return out

    def head(self):
        """(start line, fields, exact bytes)"""
        bytes_ = self.until(b"\r\n\r\n")
        lines = bytes_[:-4].split(b"\r\n")
        return lines[0], parse_fields(lines[1:]), bytes_

    def chunked(self):
        """(body, trailer fields, chunk sizes)"""
        parts, sizes = [], []
        while True:
            line = self.until(b"\r\n")[:-2]
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise WireError(f"bad chunk size {line!r}") from None
            if size == 0:
                break
            parts.append(self.exactly(size))
            sizes.append(size)
            if self.exactly(2) != b"\r\n":
                raise WireError("a chunk does not end in CRLF")
        trailers = []
        while True:
            line = self.until(b"\r\n")[:-2]
            if not line:
                return b"".join(parts), parse_fields(trailers), sizes
            trailers.append(line)


class Response:
    def __init__(self, line, fields, raw_head):
        parts = line.split(b" ", 2)
        if len(parts) < 2 or parts[0] not in (b"HTTP/1.1", b"HTTP/1.0") or not parts[1].isdigit():
            raise WireError(f"bad status line {line!r}")
        self.version, self.status = parts[0].decode(), int(parts[1])
        self.reason = parts[2].decode("latin-1") if len(parts) > 2 else ""
        self.fields, self.raw_head = fields, raw_head
        self.body, self.trailers, self.chunk_sizes, self.interim = b"", Fields(), [], []

    def get(self, name, default=None):
        return self.fields.get(name, default)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason} {list(self.fields)} {self.body[:300]!r}>"


def read_response(reader, method="GET"):
    """Reads one answer with its body; interim (1xx) answers end up in `.interim`, but for 101."""
    interim = []
    while True:
        r = Response(*reader.head())
        if r.status >= 200 or r.status == 101:
            break
        interim.append(r)
    r.interim = interim
    if method == "HEAD" or r.status in (101, 204, 304):
        return r
    coding, length = r.get("Transfer-Encoding"), r.fields.get_all("Content-Length")
    if coding is not None and length:
        raise WireError("both Transfer-Encoding and Content-Length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise WireError(f"coding {coding!r}")
        r.body, r.trailers, r.chunk_sizes = reader.chunked()
    elif length:
        if len(length) != 1 or not length[0].isdigit():
            raise WireError(f"Content-Length {length!r}")
        r.body = reader.exactly(int(length[0]))
    else:
        r.body = reader.to_end()
    return r


def connect(port, host=HOST, unix=None, timeout=50.0, tls=None, source=None):
    if unix:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(unix)
    else:
        s = socket.create_connection((host, port), timeout, source_address=source)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is not None:
        s = tls.wrap_socket(s, server_hostname="localhost")
    return s


def untrusting_tls():
    """A TLS context that takes any certificate: the tests talk to themselves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def request_bytes(method, target, headers=None, body=None, host="localhost", version="1.1"):
    """A request head and body. `headers` is a dict or a list of pairs; Host and Content-Length are added unless given."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or ())
    names = {n.lower() for n, _ in pairs}
    if "host" not in names and host is not None:
        pairs.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/{version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs) + "\r\n"
    return head.encode("latin-1") + (body or b"")


class Client:
    """One connection to the gateway."""

    def __init__(self, port=None, host=HOST, unix=None, timeout=50.0, tls=None):
        self.sock = connect(port, host, unix, timeout, tls)
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def read(self, method="GET"):
        return read_response(self.reader, method)

    def request(self, method="GET", target="/", headers=None, body=None, host="localhost", version="1.1"):
        self.send(request_bytes(method, target, headers, body, host, version))
        return self.read(method)

    def get(self, target="/", headers=None, **more):
        return self.request("GET", target, headers, **more)

    def is_closed(self, limit_s=5.0):
        """True when the peer closes, without sending more, within PATIENCE times the limit."""
        self.sock.settimeout(limit_s * PATIENCE)
        try:
            return not self.reader.buffer and self.sock.recv(1) == b""
        except socket.timeout:
            return False
        except OSError as e:
            return e.errno in (errno.ECONNRESET, errno.EPIPE)

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self):
        self.sock.close()


def raw(port, data, limit_s=20.0, finish=False, unix=None, quiet_s=None):
    """Sends bytes, returns what came back until the peer closed or `limit_s` (once there is something `quiet_s`, if given) passed
    without a byte."""
    s = connect(port, unix=unix, timeout=limit_s)
    got = bytearray()
    try:
        s.sendall(data)
        if finish:
            s.shutdown(socket.SHUT_WR)
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
            if quiet_s is not None:
                s.settimeout(quiet_s)
    except OSError as e:
        if not isinstance(e, socket.timeout) and e.errno not in (errno.ECONNRESET, errno.EPIPE):
            raise
    finally:
        s.close()
    return bytes(got)


def request(port, method="GET", target="/", headers=None, body=None, host="localhost", timeout=50.0):
    """One request on a connection of its own."""
    with Client(port, timeout=timeout) as c:
        return c.request(method, target, headers, body, host)


def get(port, target="/", headers=None, **more):
    return request(port, "GET", target, headers, **more)
