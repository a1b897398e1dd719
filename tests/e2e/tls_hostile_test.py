# SPDX-License-Identifier: Apache-2.0
"""What clients must not get out of a TLS listener, and what must not cut those that are there."""

import json
import os
import socket
import ssl
import subprocess
import tempfile
import unittest

from certificates import authority, certificate
from harness import HOST, Client, Upstream, elapsed, is_sanitized, memory_kb, need, needs_tls, ok, route, sanitized, tls_versions, wait_for
from tls_client import VARIABLES, TlsClient, TlsTestCase, resource, trusting


@sanitized
class Hostile(TlsTestCase):
    def setUp(self):
        self.gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"), certs=[certificate("a.test", kind="rsa").cert],
                                           keys=[certificate("a.test", kind="rsa").key])])

    def probe(self, *arguments, said=""):
        """(whether the handshake worked, what openssl printed)"""
        done = subprocess.run([need("openssl"), "s_client", "-connect", f"{HOST}:{self.tls_port}", "-servername", "a.test",
                               "-CAfile", authority().cert_path, *arguments], input=said, capture_output=True, text=True, timeout=20)
        text = done.stdout + done.stderr
        return "Cipher is (NONE)" not in text and "Verification: OK" in text, text

    def test_what_is_broken_is_not_agreed_on(self):
        self.assertTrue(self.probe()[0])
        self.assertTrue(self.probe("-tls1_2")[0])
        for refused in (("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0"),
                        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"), ("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"),
                        ("-tls1_2", "-groups", "P-192", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
                        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")):
            self.assertFalse(self.probe(*refused)[0], refused)

    @needs_tls("TLSv1.3")  # with one version there is nothing to fall back from
    def test_a_client_that_fell_back_is_told_that_it_need_not_have(self):
        works, text = self.probe("-tls1_2", "-fallback_scsv")
        self.assertFalse(works)
        self.assertIn("inappropriate fallback", text)

    def test_compression_is_off_and_a_connection_is_not_renegotiated(self):
        works, text = self.probe("-tls1_2", said="R\n")
        self.assertTrue(works)
        self.assertIn("Compression: NONE", text)
        self.assertIn("Secure Renegotiation IS supported", text)
        self.assertIn("no renegotiation", text)

    def test_garbage_within_a_connection_ends_it_and_no_other(self):
        with TlsClient(self.tls_port) as other:
            for record in (b"\x17\x03\x03\x00\x20" + b"x" * 32,  # data that does not decrypt
                           b"\x18\x03\x03\x00\x03\x01\x40\x00",  # a heartbeat that asks for more than it brings
                           b"\x16\x03\x03\xff\xff" + b"y" * 100,  # longer than a record may be
                           os.urandom(300)):
                with TlsClient(self.tls_port) as client:
                    self.assertEqual(client.get("/who").status, 200)
                    with socket.socket(fileno=os.dup(client.sock.fileno())) as raw:
                        raw.sendall(record)
                        wait_for(lambda c=client: self.ended(c), 5, "the end of a broken connection")
            self.assertEqual(other.get("/who").status, 200)

    @staticmethod
    def ended(client):
        try:
            return client.sock.recv(1000) == b""
        except OSError:
            return True

    def test_names_that_are_none_are_refused(self):
        hello = self.client_hello()
        at = hello.index(b"a.test")
        for name in (b"a.tes\0", b"\xff" * 6, b"......"):
            with Client(self.tls_port) as client:
                client.send(hello[:at] + name + hello[at + 6:])
                answer = client.sock.recv(100)
                self.assertEqual(answer[:1], b"\x15", name)
        with Client(self.tls_port) as client:
            client.send(hello)
            self.assertEqual(client.sock.recv(100)[:1], b"\x16")

    @staticmethod
    def client_hello():
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting().wrap_bio(incoming, outgoing, server_hostname="a.test")
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return outgoing.read()
        raise AssertionError("no handshake without a server")


class KnownAttacks(TlsTestCase):
    def test_testssl_finds_nothing_worse_than_low(self):
        self.serve_tls([resource("1", ["*"], certificate("a.test"))])
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            done = subprocess.run([need("testssl"), "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", report, "-p", "-U",
                                   f"{HOST}:{self.tls_port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110)
            with open(report) as f:
                findings = json.load(f)
        by_id = {finding["id"]: finding for finding in findings}
        good = ["TLS1_2", "heartbleed", "secure_client_renego"] + (["TLS1_3"] if ssl.TLSVersion.TLSv1_3 in tls_versions() else [])
        self.assertEqual([by_id[id]["severity"] for id in good], ["OK"] * len(good), done.stdout)
        bad = [finding for finding in findings if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
        self.assertEqual(bad, [])


@sanitized
class ManySnapshots(TlsTestCase):
    CONNECTIONS, SNAPSHOTS = 100, 200

    def ssls(self, number):
        return [resource("1", ["a.test"], certificate("a.test", serial=1 + number // 20 % 2), labels={"n": str(number)})]

    def test_streams_live_through_snapshots_and_memory_stays_flat(self):
        opened = []

        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1")
            opened.append(connection)

        with Upstream(answer) as up:
            routes = [VARIABLES, route("/stream", up)]
            gw = self.serve_tls(self.ssls(0), routes)
            clients = [TlsClient(self.tls_port, timeout=60.0) for _ in range(self.CONNECTIONS)]
            for client in clients:
                client.send(b"GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n")
                self.addCleanup(client.close)
            wait_for(lambda: len(opened) == self.CONNECTIONS, 30, "every stream being open")
            after = {}

            def change_all():
                for number in range(1, self.SNAPSHOTS + 1):
                    gw.apply({"routes": routes, "ssls": self.ssls(number)})
                    if number in (self.SNAPSHOTS // 2, self.SNAPSHOTS):
                        after[number] = memory_kb(gw.worker_pids())

            seconds = elapsed(change_all)[0]
            self.assertLess(seconds, 90)
            for connection in opened:
                connection.send(b"2345")
            self.assertEqual([client.read().body for client in clients], [b"12345"] * self.CONNECTIONS)
            with TlsClient(self.tls_port) as client:
                self.assertEqual(client.sock.getpeercert()["serialNumber"], "0%d" % (1 + self.SNAPSHOTS // 20 % 2))
            if not is_sanitized():  # the sanitizer keeps what was freed
                self.assertLess(after[self.SNAPSHOTS] - after[self.SNAPSHOTS // 2], 6_000, after)


if __name__ == "__main__":
    unittest.main()
