# SPDX-License-Identifier: Apache-2.0
"""A scriptable origin server that remembers the exact bytes it was sent.

An answer is bytes to send as they are, or a callable `answer(request, connection)`. A callable may call
connection.send() as often as it likes, connection.close() or connection.reset() at any point, and return more bytes or
None. One thread for each connection; closed with the Upstream.
"""

import os
import socket
import threading

from wire import HOST, ClosedError, Fields, Reader, WireError, free_port, wait_for


def ok(body=b"ok", status="200 OK", headers=(), length=True):
    """An answer with Content-Length."""
    body = body.encode() if isinstance(body, str) else body
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines = "".join(f"{n}: {v}\r\n" for n, v in pairs)
    if length:
        lines += f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def chunked(*parts, headers=(), trailers=(), status="200 OK"):
    """An answer in chunks, one for each part."""
    lines = "".join(f"{n}: {v}\r\n" for n, v in headers)
    out = f"HTTP/1.1 {status}\r\n{lines}Transfer-Encoding: chunked\r\n\r\n".encode("latin-1")
    for p in parts:
        out += b"%x\r\n%s\r\n" % (len(p), p)
    return out + b"0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers).encode("latin-1") + b"\r\n"


class Request:
    """One request as it arrived. `raw` is every byte of it, head and body."""

    def __init__(self, head, line, fields, connection):
        self.raw_head, self.fields, self.connection = head, fields, connection
        parts = line.split(b" ")
        self.line = line.decode("latin-1")
        if len(parts) != 3:
            raise WireError(f"bad request line {line!r}")
        self.method, self.target, self.version = (p.decode("latin-1") for p in parts)
        self.body, self.trailers, self.chunk_sizes, self.raw = b"", Fields(), [], head
        self.is_complete = False

    def get(self, name, default=None):
        return self.fields.get(name, default)

    def __repr__(self):
        return f"<{self.line} {list(self.fields)} {self.body[:100]!r}>"


class Connection:
    def __init__(self, upstream, sock, number):
        self.upstream, self.sock, self.number = upstream, sock, number
        self.reader = Reader(sock)
        self.is_closed, self.request_count = False, 0

    def send(self, data):
        self.sock.sendall(data)
        return self

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()

    def reset(self):
        """Closes with a RST."""
        self.is_closed = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def wait_closed_by_peer(self, limit_s=50.0):
        """True once the gateway has closed its side."""
        try:
            self.sock.settimeout(limit_s)  # OSError: our own thread has seen it close already
            while self.reader.fill():
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def serve(self):
        while not self.is_closed:
            request = self.read_head()
            if request is None:
                return
            self.request_count += 1
            if self.upstream.at_head is not None:
                more = self.upstream.at_head(request, self)
                if more is not None:
                    self.send(more)
                if self.is_closed:
                    return
            self.read_body(request)
            request.is_complete = True
            answer = self.upstream.answer
            if callable(answer):
                answer = answer(request, self)
            if answer is not None and not self.is_closed:
                self.send(answer)

    def read_head(self):
        try:
            line, fields, head = self.reader.head()
            request = Request(head, line, fields, self)
        except (ClosedError, ConnectionResetError):
            return None
        except WireError as e:
            self.upstream.faults.append(str(e))
            return None
        self.upstream.note(request)
        return request

    def read_body(self, request):
        before = len(self.reader.log) - len(self.reader.buffer)
        length, coding = request.get("Content-Length"), request.get("Transfer-Encoding")
        if length is not None and coding is not None:
            self.upstream.faults.append("both Content-Length and Transfer-Encoding")
        if coding is not None:
            request.body, request.trailers, request.chunk_sizes = self.reader.chunked()
        elif length is not None:
            request.body = self.reader.exactly(int(length))
        request.raw = request.raw_head + bytes(self.reader.log[before:len(self.reader.log) - len(self.reader.buffer)])


class Upstream:
    """`requests` are the requests in order of arrival, `faults` what was wrong with bytes from the gateway."""

    def __init__(self, answer=None, at_head=None, host=HOST, port=None, unix=None, tls=None, keep_log=True):
        self.answer = answer if answer is not None else ok()
        self.at_head, self.tls, self.unix, self.host = at_head, tls, unix, host
        self.keep_log = keep_log
        self.lock = threading.Lock()
        self.requests, self.faults, self.connections = [], [], []
        self.connection_count, self.request_count = 0, 0
        if unix:
            self.listener, self.port = socket.socket(socket.AF_UNIX), 0
            self.listener.bind(unix)
        else:
            self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.port = port or free_port(host)
            self.listener.bind((host, self.port))
        self.listener.listen(512)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def node(self):
        """How a configuration names this server."""
        if self.unix:
            return "unix:" + self.unix
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def nodes(self):
        return {self.node: 1}

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            if not self.unix:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        with self.lock:
            self.connection_count += 1
            connection = Connection(self, sock, self.connection_count)
            self.connections.append(connection)
        try:
            connection.serve()
        except (WireError, ValueError) as e:
            self.faults.append(str(e))
        except OSError:
            pass
        finally:
            connection.close()
            with self.lock:
                if not self.keep_log:
                    self.connections.remove(connection)

    def note(self, request):
        with self.lock:
            self.request_count += 1
            if self.keep_log:
                self.requests.append(request)
            elif request.connection.reader.log is not None:
                request.connection.reader.log = bytearray(request.connection.reader.buffer)

    def last(self):
        return self.requests[-1]

    def take(self):
        """The requests so far, and forgets them."""
        with self.lock:
            out, self.requests = self.requests, []
            return out

    def wait_requests(self, count, limit_s=10.0):
        wait_for(lambda: len(self.requests) >= count, limit_s, f"request {count} at the upstream")
        return self.requests

    def drop_connections(self):
        """Closes every connection, as a server does that restarts."""
        with self.lock:
            connections = list(self.connections)
        for c in connections:
            c.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)    # wakes the thread in accept()
        except OSError:
            pass
        self.listener.close()
        self.drop_connections()
        if self.unix and os.path.exists(self.unix):
            os.unlink(self.unix)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def describe(request, _connection):
    """An answer that tells what was received, as JSON."""
    import json
    body = json.dumps({"method": request.method, "target": request.target, "fields": list(request.fields),
                       "body_size": len(request.body)}).encode()
    return ok(body, headers=[("Content-Type", "application/json")])
