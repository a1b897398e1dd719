# SPDX-License-Identifier: Apache-2.0
"""HTTP/3 from outside: ngtcp2's own client, quic-go's, streams that carry any bytes, and bare datagrams."""

import json
import os
import random
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading

from certificates import certificate
from harness import HOST, TestCase, free_port, need
from libraries import http3_peer
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


def arguments(port, targets, *flags, relay=None, ends=True):
    """The client's name of the server is that by which it finds its address. `relay`: the port of an address to go through.
    `ends`: with its requests."""
    host = (HOST, str(relay)) if relay else ("localhost", str(port))
    flags = [*flags, "--exit-on-all-streams-close"] if ends else flags
    return [need("gtlsclient"), "--no-quic-dump", "--no-http-dump", *flags, *host, *[f"https://localhost:{port}{target}" for target in targets]]


def fetch(port, targets, *flags, body=None, limit_s=LIMIT_S, relay=None):
    """One connection with a request for each target. Bodies of answers are had by the last parts of their paths, which differ."""
    folder = tempfile.mkdtemp(prefix="moongate-http3-")
    try:
        more = [f"--download={folder}"]
        if body is not None:
            path = os.path.join(folder, "request-body")
            with open(path, "wb") as f:
                f.write(body)
            more += ["-d", path, "-m", "POST"]
        done = subprocess.run(arguments(port, targets, *more, *flags, relay=relay), capture_output=True, timeout=limit_s, check=False,
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


class HoppingRelay:
    """Passes a client's packets on, each from one of two ports, by chance, over a path that carries no large ones back."""

    def __init__(self, port, seed, hops=True):
        self.chance, self.hops, self.packets_back = random.Random(seed), hops, 0
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind((HOST, 0))
        self.port = self.front.getsockname()[1]
        self.backs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for back in self.backs:
            back.connect((HOST, port))
        self.wake, self.stop = os.pipe()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        client, packets = None, 0
        while True:
            ready, _, _ = select.select([self.front, *self.backs, self.wake], [], [])
            if self.wake in ready:
                break
            for sock in ready:
                try:
                    data, sender = sock.recvfrom(4096)
                except OSError:
                    continue
                if sock is self.front:
                    client, packets = sender, packets + 1
                    self.backs[0 if packets < 4 or not self.hops else self.chance.randrange(2)].send(data)
                elif client and len(data) <= 1250:
                    self.packets_back += 1
                    self.front.sendto(data, client)
        for sock in (self.front, *self.backs):
            sock.close()
        os.close(self.wake)

    def close(self):
        os.close(self.stop)


def run_peer(mode, wanted, limit_s=LIMIT_S):
    done = subprocess.run([http3_peer(), mode], input=json.dumps(wanted).encode(), capture_output=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return json.loads(done.stdout)


class PeerAnswer:
    """An answer as quic-go tells it; `fault` is how the request failed, or None."""

    def __init__(self, told):
        self.status, self.body, self.is_resumed, self.fault = told["status"], told["body"].encode(), told["resumed"], told.get("fault")
        self.fields = [(name.lower(), value) for name, value in (told["headers"] or []) + (told["trailers"] or [])]

    def get(self, name):
        return next((value for key, value in self.fields if key == name), None)


# Streams with any bytes. RFC 9114's frames, and fields as RFC 9204 has them without its tables.

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
CONTROL_STREAM, PUSH_STREAM, ENCODER_STREAM, DECODER_STREAM = 0, 1, 2, 3


def number(value):
    """RFC 9000 16."""
    for bits, mark in ((6, 0), (14, 1), (30, 2), (62, 3)):
        if value < 1 << bits:
            return (value | mark << bits).to_bytes((bits + 2) // 8, "big")
    raise ValueError(value)


def frame(kind, payload=b""):
    return number(kind) + number(len(payload)) + payload


def prefixed(value, bits, mark):
    """RFC 7541 5.1."""
    top = (1 << bits) - 1
    if value < top:
        return bytes((mark | value,))
    out, value = bytes((mark | top,)), value - top
    while value >= 128:
        out, value = out + bytes((value % 128 + 128,)), value // 128
    return out + bytes((value,))


def block(fields):
    """Each field with its name, in the order given."""
    out = b"\0\0"
    for name, value in fields:
        name, value = (part if isinstance(part, bytes) else part.encode() for part in (name, value))
        out += prefixed(len(name), 3, 0x20) + name + prefixed(len(value), 7, 0) + value
    return out


def head(path="/", method="GET", authority="localhost", more=()):
    return [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path), *more]


def headers(fields):
    return frame(HEADERS, block(fields))


class Steps:
    """What to do on the streams of one connection, which has an orderly control stream unless it is told otherwise."""

    def __init__(self, is_orderly=True):
        self.steps = []
        if is_orderly:
            self.open_one_way("control").send("control", number(CONTROL_STREAM) + frame(SETTINGS))

    def add(self, do, on="", **more):
        self.steps.append({"do": do, "on": on, **more})
        return self

    def open(self, name):
        return self.add("open", name)

    def open_one_way(self, name):
        return self.add("open_one_way", name)

    def send(self, name, data):
        return self.add("send", name, hex=data.hex())

    def finish(self, name):
        return self.add("finish", name)

    def reset(self, name, code=0x10c):
        return self.add("reset", name, code=code)

    def stop(self, name, code=0x10c):
        return self.add("stop", name, code=code)

    def hear(self, name, limit_s=20):
        return self.add("hear", name, ms=int(limit_s * 1000))

    def await_end(self, limit_s=20):
        return self.add("await_end", ms=int(limit_s * 1000))

    def ask(self, name, data):
        """A whole request and what comes of it."""
        return self.open(name).send(name, data).finish(name).hear(name)


class Stepped:
    """What came of it."""

    def __init__(self, told):
        self.told, self.failures = told, told["failures"]
        close = told.get("close")
        # As the gateway said it: an error of the application's, HTTP/3's, or QUIC's own.
        self.code = close["code"] if close and close["kind"] == "application" and close["remote"] else None
        self.transport_code = close["code"] if close and close["kind"] == "transport" and close["remote"] else None
        self.refused = told.get("refused")
        self.opened = {int(stream): bytes.fromhex(data) for stream, data in told["opened"].items()}

    def bytes_of(self, name):
        return bytes.fromhex(self.told["heard"][name]["hex"])

    def status_of(self, name):
        """Of the answer on a stream, found in its first frame; None when there is none. The gateway's fields use the static table."""
        text = self.bytes_of(name)
        static = {24: 103, 25: 200, 26: 304, 27: 404, 28: 503, 63: 100, 64: 204, 65: 206, 66: 302, 67: 400, 68: 403, 69: 421, 70: 425, 71: 500}
        if len(text) < 5 or text[0] != HEADERS:
            return None
        fields = text[1 + (1, 2, 4, 8)[text[1] >> 6]:][2:]
        if fields[0] & 0xc0 == 0xc0:
            index = fields[0] & 0x3f
            return static[index if index < 0x3f else 0x3f + fields[1]]
        literal = re.search(rb"\x03(\d\d\d)|\x82(..)", fields)
        return int(literal.group(1)) if literal and literal.group(1) else -1

    def body_of(self, name):
        """The payloads of the answer's DATA frames."""
        data, at, body = self.bytes_of(name), 0, b""

        def take():
            nonlocal at
            size = 1 << (data[at] >> 6)
            value = int.from_bytes(data[at:at + size], "big") & (1 << 8 * size - 2) - 1
            at += size
            return value
        while at < len(data):
            kind, length = take(), take()
            body += data[at:at + length] if kind == DATA else b""
            at += length
        return body

    def is_whole(self, name):
        return self.told["heard"][name]["ended"]

    def reset_code(self, name):
        return self.told["heard"][name].get("reset")


class Http3TestCase(TestCase):
    def peer(self, mode, **wanted):
        return run_peer(mode, {"address": f"{HOST}:{self.port}", "name": "localhost", **wanted})

    def ask_peer(self, connections, **more):
        """For each connection, one after the other with one store of sessions, its answers. A request is a target, or what
        http3_peer takes."""
        def request(one, name):
            wanted = dict(one) if isinstance(one, dict) else {"target": one}
            return {"method": "GET", "url": f"https://{name}:{self.port}{wanted.pop('target', '/')}", **wanted}
        names = more.get("names") or [more.get("name", "localhost")] * len(connections)
        told = self.peer("fetch", connections=[[request(one, name) for one in requests] for name, requests in zip(names, connections)], **more)
        return [[PeerAnswer(answer) for answer in answers] for answers in told]

    def crowd(self, count, **more):
        """Handshakes that nobody ends, until the test is over."""
        peer = subprocess.Popen([http3_peer(), "crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def end():
            peer.kill()
            peer.wait(10)
            peer.stdout.close()
        self.addCleanup(end)
        with peer.stdin:
            peer.stdin.write(json.dumps({"address": f"{HOST}:{self.port}", "name": "localhost", "from": HOST, "count": count, **more}).encode())
        self.assertEqual(peer.stdout.readline(), b"begun\n")

    def take(self, steps, **more):
        return Stepped(self.peer("steps", steps=steps.steps, **more))

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
