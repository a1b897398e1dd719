# SPDX-License-Identifier: Apache-2.0
"""Bodies far larger than any buffer: they stream both ways, or wait on disk, in memory that does not grow with them."""

import hashlib
import os
import re
import socket
import threading
import time
import unittest

from harness import HOST, IS_FULL, TestCase, full_size, ok, route, sanitized, wait_for

MEGABYTE = 1 << 20
SIZE_MB = 1024 if IS_FULL else 96
PIECE = bytes(range(256)) * 4096
GROWTH_MAX_KB = 12 * 1024

SPOOLER = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
return {
  version = 0.1, priority = 50, name = "spooler", schema = { type = "object" },
  check_schema = function() return true end,
  access = function(conf, ctx)
    if conf.max then
      local body, err = core.request.get_body(conf.max)
      core.response.set_header("X-Body", body and #body or err)
      return
    end
    ngx.req.read_body()
    local path = ngx.req.get_body_file()
    core.response.set_header("X-Data", tostring(ngx.req.get_body_data() ~= nil), "X-File", tostring(path ~= nil))
    if path then
      local file = assert(io.open(path, "rb"))
      core.response.set_header("X-Size", file:seek("end"))
      file:close()
    end
  end,
}
"""


def memory_of(pid, what):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(rf"^{what}:\s+(\d+) kB", f.read(), re.M).group(1))


class Growth:
    """How much more memory a worker had at its highest than when this began."""

    def __init__(self, gw):
        gw.get("/warm")
        self.pid = gw.worker_pids()[0]
        with open(f"/proc/{self.pid}/clear_refs", "w") as f:
            f.write("5")            # the peak begins anew
        self.before = memory_of(self.pid, "VmRSS")

    def kb(self):
        return memory_of(self.pid, "VmHWM") - self.before


def kernel_buffers_mb():
    """How much the kernel may hold of what goes over two connections: both ends of each have a buffer that grows."""
    total = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as f:
            total += 2 * int(f.read().split()[2])
    return total // MEGABYTE


class Bulk:
    """A server that counts what it is sent and sends as much as it is asked for, a megabyte at a time."""

    def __init__(self, test):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.received, self.sent, self.digest = 0, 0, None
        self.refusals = 0       # connections that are closed once a request has begun to come
        test.addCleanup(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def nodes(self):
        return {f"{HOST}:{self.port}": 1}

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock:
            try:
                while self.answer(sock):
                    pass
            except OSError:
                pass

    def answer(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return False
            data += more
        if self.refusals > 0:
            self.refusals -= 1
            return False
        head, rest = data.split(b"\r\n\r\n", 1)
        self.take_body(sock, head.lower(), rest)
        found = re.match(rb"GET /(length|chunked)/(\d+) ", head)
        if not found:
            sock.sendall(ok(b"taken"))
            return True
        self.send_body(sock, found.group(1) == b"chunked", int(found.group(2)))
        return True

    def take_body(self, sock, head, rest):
        length = re.search(rb"content-length: (\d+)", head)
        if not length and b"transfer-encoding" not in head:
            return
        digest, tail, buffer = hashlib.md5(rest), rest[-5:], bytearray(MEGABYTE)
        self.received = len(rest)
        while self.received < int(length.group(1)) if length else not tail.endswith(b"0\r\n\r\n"):
            size = sock.recv_into(buffer)
            if size == 0:
                return
            self.received += size
            digest.update(memoryview(buffer)[:size])
            tail = (tail + bytes(buffer[max(0, size - 5):size]))[-5:]
        self.digest = digest.hexdigest()

    def send_body(self, sock, is_chunked, count):
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % (count * MEGABYTE)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        self.sent = 0
        for _ in range(count):
            sock.sendall(b"100000\r\n" + PIECE + b"\r\n" if is_chunked else PIECE)
            self.sent += 1
        if is_chunked:
            sock.sendall(b"0\r\n\r\n")


def post(port, count, is_chunked=False, piece=PIECE):
    """Sends that many pieces as one body; the answer."""
    with socket.create_connection((HOST, port), timeout=60) as sock:
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % (count * len(piece))
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
        try:
            for _ in range(count):
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass                    # refused before the end; the answer says why
        answer = b""
        try:
            while more := sock.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def drain(sock):
    """Reads to the end of the connection; how much that was."""
    buffer, total = bytearray(MEGABYTE), 0
    while size := sock.recv_into(buffer):
        total += size
    return total


def digest_of(count):
    digest = hashlib.md5()
    for _ in range(count):
        digest.update(PIECE)
    return digest.hexdigest()


class Streaming(TestCase):
    def setUp(self):
        self.bulk = Bulk(self)
        self.gw = self.serve({"routes": [route("/*", self.bulk.nodes)]}, workers=1)

    def get(self, path, sock):
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())

    @full_size
    def test_uploads_stream_through(self):
        growth = Growth(self.gw)
        for is_chunked in (False, True):
            with self.subTest(is_chunked=is_chunked):
                self.assertIn(b"taken", post(self.gw.port, SIZE_MB, is_chunked))
                self.assertGreaterEqual(self.bulk.received, SIZE_MB * MEGABYTE)
                if not is_chunked:
                    self.assertEqual(self.bulk.digest, digest_of(SIZE_MB))
        self.assertLess(growth.kb(), GROWTH_MAX_KB)

    @full_size
    def test_downloads_stream_through(self):
        growth = Growth(self.gw)
        for form in ("length", "chunked"):
            with self.subTest(form=form), socket.create_connection((HOST, self.gw.port), timeout=60) as sock:
                self.get(f"/{form}/{SIZE_MB}", sock)
                self.assertGreater(drain(sock), SIZE_MB * MEGABYTE)
        self.assertLess(growth.kb(), GROWTH_MAX_KB)

    @full_size
    def test_a_reader_that_stops_holds_the_upstream_back(self):
        growth = Growth(self.gw)
        for form in ("length", "chunked"):
            with self.subTest(form=form), socket.create_connection((HOST, self.gw.port), timeout=60) as sock:
                self.bulk.sent = 0
                self.get(f"/{form}/{SIZE_MB}", sock)
                self.wait_still(lambda: self.bulk.sent)
                self.assertGreater(self.bulk.sent, 0)
                self.assertLessEqual(self.bulk.sent, kernel_buffers_mb() + 2)
                self.assertGreater(drain(sock), SIZE_MB * MEGABYTE)
        self.assertLess(growth.kb(), GROWTH_MAX_KB)

    def wait_still(self, value):
        """Until something has been the same for a while."""
        last = [None, time.monotonic()]

        def is_still():
            now = value()
            if now != last[0] or not now:
                last[:] = [now, time.monotonic()]
            return time.monotonic() - last[1] > 0.3
        wait_for(is_still, 20, "nothing to move any more")


class OnDisk(TestCase):
    def gateway(self, conf=None, client=None, upstream=None):
        self.bulk = Bulk(self)
        r = {**route("/*", self.bulk.nodes), "plugins": {"spooler": conf or {}}}
        r["upstream"].update(upstream or {})
        return self.serve({"routes": [r]}, plugins={"spooler": SPOOLER}, workers=1, moongate={"client": client or {}})

    @sanitized
    def test_a_long_body_waits_in_a_file_that_has_no_name(self):
        gw = self.gateway(client={"body_memory_kb": 64})
        for is_chunked in (False, True):
            answer = post(gw.port, 20, is_chunked)
            self.assertIn(b"X-Data: false\r\nX-File: true\r\n", answer)
            self.assertIn(b"X-Size: %d\r\n" % (20 * MEGABYTE), answer)
            self.assertEqual(self.bulk.digest, digest_of(20))
        answer = post(gw.port, 1, piece=b"x" * 65536)
        self.assertIn(b"X-Data: true\r\nX-File: false\r\n", answer)
        worker = gw.worker_pids()[0]
        names = [name for name in os.listdir(gw.run_dir) if name.startswith("body")]
        self.assertEqual(names, [])
        held = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
        self.assertEqual([path for path in held if "deleted" in path and gw.run_dir in path], [])

    @full_size
    def test_memory_does_not_grow_with_a_body_on_disk(self):
        gw = self.gateway()
        growth = Growth(gw)
        self.assertIn(b"taken", post(gw.port, SIZE_MB))
        self.assertEqual(self.bulk.digest, digest_of(SIZE_MB))
        self.assertLess(growth.kb(), GROWTH_MAX_KB)

    @sanitized
    def test_a_body_from_a_file_is_sent_again_to_the_next_node(self):
        gw = self.gateway(client={"body_memory_kb": 64})
        other = Bulk(self)
        other.refusals = 1
        up = {"type": "roundrobin", "nodes": {**other.nodes, **self.bulk.nodes}}
        gw.apply({"routes": [{"uri": "/*", "upstream": up, "plugins": {"spooler": {}}}]})
        put = b"PUT /up HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (8 * MEGABYTE)
        for _ in range(2):      # whichever node is first in turn
            self.assertIn(b" 200 OK", gw.raw(put + PIECE * 8, limit_s=20))
        self.assertEqual(other.refusals, 0)
        self.assertIn(digest_of(8), (self.bulk.digest, other.digest))

    @sanitized
    def test_a_body_over_a_plugins_limit_goes_on_from_the_file(self):
        gw = self.gateway({"max": 3 * MEGABYTE}, client={"body_memory_kb": 64})
        answer = post(gw.port, 20, True)
        self.assertRegex(answer, rb"X-Body: request size \d+ is greater than the maximum size 3145728 allowed")
        self.assertIn(b"taken", answer)
        self.assertGreater(self.bulk.received, 20 * MEGABYTE)

    @sanitized
    def test_a_plugin_gets_a_body_from_the_file_as_text(self):
        gw = self.gateway({"max": 5 * MEGABYTE}, client={"body_memory_kb": 64})
        self.assertIn(b"X-Body: %d\r\n" % (4 * MEGABYTE), post(gw.port, 4, True))
        self.assertIn(b"taken", post(gw.port, 4))
        self.assertEqual(self.bulk.digest, digest_of(4))

    @sanitized
    def test_bodies_beyond_the_disk_for_them_are_answered_507(self):
        gw = self.gateway(client={"body_memory_kb": 64, "body_disk_max_mb": 2})
        self.assertIn(b" 200 OK", post(gw.port, 2))
        for is_chunked in (False, True):
            self.assertRegex(post(gw.port, 8, is_chunked), rb"^HTTP/1.1 507 ")
        gw.wait_log("client.body_disk_max_mb")
        self.assertIn(b" 200 OK", post(gw.port, 2))        # what the refused ones took is free again

    def test_without_a_folder_for_them_long_bodies_are_answered_500(self):
        gw = self.gateway(client={"body_memory_kb": 64})
        os.rename(gw.run_dir, gw.run_dir + ".gone")
        try:
            self.assertRegex(post(gw.port, 2), rb"^HTTP/1.1 500 ")
            self.assertIn(b" 200 OK", post(gw.port, 1, piece=b"x" * 1000))
        finally:
            os.rename(gw.run_dir + ".gone", gw.run_dir)


if __name__ == "__main__":
    unittest.main()
