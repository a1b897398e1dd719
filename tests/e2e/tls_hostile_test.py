# SPDX-License-Identifier: Apache-2.0
"""What clients must not get out of a TLS listener, and what must not cut those that are there."""

import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import unittest

from certificates import authority, certificate
from harness import HOST, Client, Upstream, is_sanitized, memory_kb, need, needs_tls, ok, route, sanitized, tls_versions, wait_for
from tls_client import VARIABLES, TlsClient, TlsTestCase, resource, trusting


@sanitized
class Hostile(TlsTestCase):
    def setUp(self):
        self.gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"), certs=[certificate("a.test", kind="rsa").cert],
                                           keys=[certificate("a.test", kind="rsa").key])])

    def probe(self, *arguments, said=""):
        """(whether the handshake worked, what openssl printed)"""
        done = subprocess.run([need("openssl"), "s_client", "-connect", f"{HOST}:{self.tls_port}", "-servername", "a.test",
                               "-CAfile", authority().cert_path, *arguments], input=said, capture_output=True, text=True, timeout=60)
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
                                   f"{HOST}:{self.tls_port}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=880)
            with open(report) as f:
                findings = json.load(f)
        by_id = {finding["id"]: finding for finding in findings}
        good = ["TLS1_2", "heartbleed", "secure_client_renego"] + (["TLS1_3"] if ssl.TLSVersion.TLSv1_3 in tls_versions() else [])
        self.assertEqual([by_id[id]["severity"] for id in good], ["OK"] * len(good), done.stdout)
        bad = [finding for finding in findings if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
        self.assertEqual(bad, [])

    test_testssl_finds_nothing_worse_than_low.limit_s = 900     # it takes half a minute of a quick machine's time

    def test_gnutls_debug_client_finds_what_there_should_be_and_nothing_else(self):
        self.serve_tls([resource("1", ["*"], certificate("a.test"), certs=[certificate("a.test", kind="rsa").cert],
                                 keys=[certificate("a.test", kind="rsa").key])])
        done = subprocess.run([need("gnutls-cli-debug"), "-p", str(self.tls_port), HOST], capture_output=True, text=True, timeout=280)
        found = dict(line.strip().rsplit("... ", 1) for line in done.stdout.splitlines() if "... " in line)
        with_13 = "yes" if ssl.TLSVersion.TLSv1_3 in tls_versions() else "no"
        for what, answer in {
                "for TLS 1.0 (RFC2246) support": "no", "for TLS 1.1 (RFC4346) support": "no", "for TLS 1.2 (RFC5246) support": "yes",
                "for TLS 1.3 (RFC8446) support": with_13, "TLS1.2 neg fallback from TLS 1.6 to": "TLS1.2",
                "for certificate chain order": "sorted", "for safe renegotiation (RFC5746) support": "yes",
                "for ext master secret (RFC7627) support": "yes", "for heartbeat (RFC6520) support": "no",
                "whether small records (512 bytes) are tolerated on handshake": "yes",
                "whether a bogus TLS record version in the client hello is accepted": "yes",
                "whether the server understands TLS closure alerts": "yes", "whether the server supports session resumption": "yes",
                "for anonymous authentication support": "no", "for RSA key exchange support": "no", "for ephemeral Diffie-Hellman support": "no",
                "for ephemeral EC Diffie-Hellman support": "yes", "for curve X25519 (RFC8422)": "yes", "for AES-GCM cipher (RFC5288) support": "yes",
                "for AES-CBC cipher (RFC3268) support": "no", "for 3DES-CBC cipher (RFC2246) support": "no",
                "for ARCFOUR 128 cipher (RFC2246) support": "no", "for MD5 MAC support": "no", "for SHA1 MAC support": "no",
                "for max record size (RFC6066) support": "yes"}.items():
            self.assertEqual(found.get(what), answer, f"{what}: {done.stdout}")

    def test_sslscan_finds_strong_suites_and_quick_groups_alone(self):
        self.serve_tls([resource("1", ["*"], certificate("a.test"), certs=[certificate("a.test", kind="rsa").cert],
                                 keys=[certificate("a.test", kind="rsa").key])])
        done = subprocess.run([need("sslscan"), "--no-colour", "--sni-name=a.test", f"{HOST}:{self.tls_port}"], capture_output=True, text=True, timeout=280)
        versions = [v for v, name in (("TLSv1.2", "TLSv1_2"), ("TLSv1.3", "TLSv1_3")) if ssl.TLSVersion[name] in tls_versions()]
        self.assertEqual(re.findall(r"^(\S+) +enabled$", done.stdout, re.MULTILINE), versions)
        groups = set(re.findall(r"^(TLS\S+) +\d+ bits +(x\d+|ffdhe\d+|sec\w+|brain\w+|sect\w+)", done.stdout, re.MULTILINE))
        self.assertEqual(groups, {(v, g) for v in versions for g in ("x25519", "secp256r1", "secp384r1", "secp521r1")})
        suites = re.findall(r"^(?:Preferred|Accepted) +\S+ +(\d+) bits +(\S+)", done.stdout, re.MULTILINE)
        self.assertEqual(len(suites), 3 * len(versions) + 3, done.stdout)
        for bits, suite in suites:
            self.assertGreaterEqual(int(bits), 128)
            self.assertRegex(suite, "^(TLS_|ECDHE-).*(GCM|CHACHA20)")
        for said in ("Server supports TLS Fallback SCSV", "Session renegotiation not supported", "TLSv1.2 not vulnerable to heartbleed"):
            self.assertIn(said, done.stdout)


@sanitized
class ManySnapshots(TlsTestCase):
    CONNECTIONS, SNAPSHOTS = 100, 60 if is_sanitized() else 200

    def ssls(self, number):
        return [resource("1", ["a.test"], certificate("a.test", serial=1 + number // 20 % 2), labels={"n": str(number)})]

    def test_streams_live_through_snapshots_and_memory_stays_flat(self):
        opened = []

        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1")
            opened.append(connection)

        with Upstream(answer) as up:
            routes = [VARIABLES, route("/stream", up, timeout={"connect": 60, "send": 60, "read": 3600})]
            gw = self.serve_tls(self.ssls(0), routes)
            clients = [TlsClient(self.tls_port, timeout=60.0) for _ in range(self.CONNECTIONS)]
            for client in clients:
                client.send(b"GET /stream HTTP/1.1\r\nHost: a.test\r\n\r\n")
                self.addCleanup(client.close)
            wait_for(lambda: len(opened) == self.CONNECTIONS, 30, "every stream being open")
            after = {}
            for number in range(1, self.SNAPSHOTS + 1):
                gw.apply({"routes": routes, "ssls": self.ssls(number)})
                if number in (self.SNAPSHOTS // 2, self.SNAPSHOTS):
                    after[number] = memory_kb(gw.worker_pids())
            for connection in opened:
                connection.send(b"2345")
            self.assertEqual([client.read().body for client in clients], [b"12345"] * self.CONNECTIONS)
            with TlsClient(self.tls_port) as client:
                self.assertEqual(client.sock.getpeercert()["serialNumber"], "0%d" % (1 + self.SNAPSHOTS // 20 % 2))
            if not is_sanitized():  # the sanitizer keeps what was freed
                self.assertLess(after[self.SNAPSHOTS] - after[self.SNAPSHOTS // 2], 6_000, after)


if __name__ == "__main__":
    unittest.main()
