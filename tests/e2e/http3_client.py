# SPDX-License-Identifier: Apache-2.0
"""HTTP/3 from outside: ngtcp2's own client, and bare datagrams for what no client would send."""

import os
import re
import shutil
import socket
import subprocess
import tempfile

from certificates import certificate
from harness import HOST, TestCase, free_port, need
from tls_client import resource

LIMIT_S = 60


class Answer:
    def __init__(self):
        self.fields, self.body, self.is_closed = [], b"", False

    def get(self, name):
        return next((value for key, value in self.fields if key == name), None)

    @property
    def status(self):
        status = self.get(":status")
        return int(status) if status else None


class Fetched:
    """What the client said: an answer for each request, in the order of streams, and how the connection ended."""

    def __init__(self, text, bodies):
        self.text, answers = text, {}
        for stream, name, value in re.findall(r"^http: stream 0x([0-9a-f]+) \[(:?[^:\]]+): (.*)\]$", text, re.M):
            answers.setdefault(int(stream, 16), Answer()).fields.append((name, value))
        for stream in re.findall(r"^HTTP stream (\d+) closed with error code 256$", text, re.M):
            answers.setdefault(int(stream), Answer()).is_closed = True
        self.answers = [answers[stream] for stream in sorted(answers)]
        for answer, body in zip(self.answers, bodies):
            answer.body = body

    @property
    def alert(self):
        """Of TLS, by which the server ended the handshake."""
        found = re.search(r"CRYPTO_ERROR\(0x1([0-9a-f]{2})\)", self.text)
        return int(found.group(1), 16) if found else None


def arguments(port, targets, *flags):
    """The client's name of the server is that by which it finds its address."""
    return [need("gtlsclient"), "--exit-on-all-streams-close", *flags, "localhost", str(port),
            *[f"https://localhost:{port}{target}" for target in targets]]


def fetch(port, targets, *flags, body=None, limit_s=LIMIT_S):
    """One connection with a request for each target. Bodies of answers are had by the last parts of their paths, which differ."""
    folder = tempfile.mkdtemp(prefix="moongate-http3-")
    try:
        more = [f"--download={folder}"]
        if body is not None:
            path = os.path.join(folder, "request-body")
            with open(path, "wb") as f:
                f.write(body)
            more += ["-d", path, "-m", "POST"]
        done = subprocess.run(arguments(port, targets, *more, *flags), capture_output=True, timeout=limit_s, check=False,
                              stdin=subprocess.DEVNULL)
        bodies = []
        for target in targets:
            path = os.path.join(folder, target.partition("?")[0].rpartition("/")[2])
            bodies.append(open(path, "rb").read() if os.path.isfile(path) else b"")
        return Fetched((done.stdout + done.stderr).decode("latin-1"), bodies)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def loopbacks():
    """The client asks the first address of `localhost`, whichever that is."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return [HOST, "[::1]"]
    except OSError:
        return [HOST]


class Http3TestCase(TestCase):
    def serve_http3(self, routes, ssls=None, workers=2, **more):
        self.port = free_port()
        listen = [f"{HOST}:PORT", *({"address": f"{host}:{self.port}", "tls": True, "http2": True, "http3": True} for host in loopbacks())]
        ssls = ssls if ssls is not None else [resource("1", ["localhost"], certificate("localhost"))]
        return self.serve({"routes": list(routes), "ssls": ssls}, listen=listen, workers=workers, **more)

    def datagram_socket(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(10)
        sock.connect((HOST, self.port))
        return sock
