# SPDX-License-Identifier: Apache-2.0
"""TLS to clients: the right certificate for the name or none, and nothing that clear text does not do as well."""

import glob
import os
import re
import ssl
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, Client, Upstream, memory_kb, needs_tls, ok, route, sanitized, tls_versions, wait_for
from tls_client import VARIABLES, TlsClient, TlsTestCase, resource, trusting
from wire import request_bytes


@sanitized
class Tls(TlsTestCase):
    def test_each_name_gets_its_certificate_and_unknown_names_none(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test")),
                        resource("2", ["*.w.test"], certificate("w.test", ("*.w.test",)))])
        for name in ("a.test", "x.w.test", "A.Test"):
            with TlsClient(self.tls_port, name) as client:
                answer = client.get("/who")
                self.assertEqual((answer.status, answer.get("x-name"), answer.get("x-scheme")), (200, name.lower(), "https"))
        for name in ("b.test", "y.x.w.test", "w.test"):
            self.assertTrue(self.refused(name=name), name)

    def test_a_client_without_a_name_gets_the_certificate_for_all_or_none(self):
        gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"))])
        context = trusting()
        context.check_hostname = False
        self.assertTrue(self.refused(name=None, context=context))
        gw.apply({"routes": [VARIABLES], "ssls": [resource("1", ["*"], certificate("a.test"))]})
        with TlsClient(self.tls_port, None, context) as client:
            self.assertEqual(client.get("/who", host="a.test").status, 200)

    def test_both_versions_are_spoken_and_no_older_one(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"))])
        for version, text in tls_versions().items():
            with TlsClient(self.tls_port, context=trusting(version=version)) as client:
                self.assertEqual(client.get("/who").get("x-version"), text)
        old = trusting()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        self.assertTrue(self.refused(context=old))

    def test_connections_go_on_after_a_pause_of_any_length(self):
        clock = Clock(self)
        gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], workers=1, env=clock.env)
        for version, text in tls_versions().items():
            with TlsClient(self.tls_port, context=trusting(version=version)) as client:
                for pause_s in (0.1, 1, 2.5, 30):
                    clock.advance(pause_s)
                    self.assertEqual(gw.get("/who").status, 200)    # a turn in which the pause is noticed
                    answer = client.get("/who")
                    self.assertEqual((answer.get("x-version"), answer.get("x-name")), (text, "a.test"))
                clock.advance(30)
                self.assertEqual(gw.get("/who").status, 200)

    @needs_tls("TLSv1.3")
    def test_ssl_protocols_holds_for_its_names_only(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"), ssl_protocols=["TLSv1.3"]),
                        resource("2", ["b.test"], certificate("b.test"))])
        old = trusting(version=ssl.TLSVersion.TLSv1_2)
        self.assertTrue(self.refused(context=old))
        with TlsClient(self.tls_port, "b.test", old) as client:
            self.assertEqual(client.get("/who").status, 200)

    def test_each_client_gets_the_kind_of_certificate_it_takes(self):
        more = certificate("a.test", kind="rsa")
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"), certs=[more.cert], keys=[more.key])])
        for ciphers in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
            context = trusting(version=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(ciphers)
            with TlsClient(self.tls_port, context=context) as client:
                self.assertEqual(client.sock.cipher()[0], ciphers)

    def test_a_session_is_resumed_by_every_worker_and_under_its_own_certificate_only(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test")), resource("2", ["b.test"], certificate("b.test"))])
        context = trusting()
        with TlsClient(self.tls_port, context=context) as client:
            self.assertEqual(client.get("/who").get("x-resumed"), ".")
            session = client.sock.session
        resumed = set()
        for _ in range(12):  # connections are spread over two workers
            with TlsClient(self.tls_port, context=context, session=session) as client:
                resumed.add(client.get("/who").get("x-resumed"))
        self.assertEqual(resumed, {"r"})
        with TlsClient(self.tls_port, "b.test", context, session) as client:
            self.assertEqual(client.get("/who").get("x-resumed"), ".")

    def test_a_new_certificate_serves_new_connections_and_leaves_the_old_ones_alone(self):
        first, second = certificate("a.test", serial=1), certificate("a.test", serial=2)
        gw = self.serve_tls([resource("1", ["a.test"], first)])
        with TlsClient(self.tls_port) as old:
            self.assertEqual(old.get("/who").status, 200)
            self.assertEqual(old.sock.getpeercert()["serialNumber"], "01")
            gw.apply({"routes": [VARIABLES], "ssls": [resource("1", ["a.test"], second)]})
            with TlsClient(self.tls_port) as new:
                self.assertEqual(new.sock.getpeercert()["serialNumber"], "02")
            self.assertEqual(old.get("/who").status, 200)

    def test_a_client_certificate_is_asked_for_checked_and_told(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"), client={"ca": authority("clients").cert})])
        known = certificate("jack", issuer="clients", serial=7)
        with TlsClient(self.tls_port, context=trusting(client=known)) as client:
            headers = client.get("/who")
            self.assertEqual((headers.get("x-verify"), headers.get("x-subject"), headers.get("x-serial")), ("SUCCESS", "CN=jack", "07"))
        self.assertTrue(self.refused())
        self.assertTrue(self.refused(context=trusting(client=certificate("jack", issuer="strangers"))))

    def test_a_host_that_wants_a_client_certificate_is_not_reached_over_another_name(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test")),
                        resource("2", ["b.test"], certificate("b.test"), client={"ca": authority("clients").cert})])
        for host in ("b.test", "B.TEST", "b.test.", "b.test:443"):
            with TlsClient(self.tls_port, "a.test") as client:
                self.assertEqual(client.get("/who", host=host).status, 421, host)

    def test_bodies_stream_both_ways_whole(self):
        size = 3_000_000
        body = bytes(range(256)) * (size // 256)
        with Upstream(lambda request, _: ok(request.body)) as up:
            self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], [route("/*", up)])
            with TlsClient(self.tls_port, timeout=60.0) as client:
                for headers, sent in (({}, body), ({"Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
                    client.sock.settimeout(60.0)
                    answer = client.request("POST", "/up", headers, sent, host="a.test")
                    self.assertEqual((answer.status, answer.body == body), (200, True))

    def test_pipelined_requests_are_answered_in_order(self):
        with Upstream(lambda request, _: ok(request.target)) as up:
            self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], [route("/*", up)])
            with TlsClient(self.tls_port) as client:
                client.send(b"".join(request_bytes("GET", f"/{i}", host="a.test") for i in range(20)))
                self.assertEqual([client.read().body for _ in range(20)], [f"/{i}".encode() for i in range(20)])

    def test_a_proxy_protocol_header_comes_before_the_handshake(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], [route("/who", plugins={
            "mocking": {"response_example": "x", "content_type": "text/plain"},
            "response-rewrite": {"headers": {"set": {"X-Address": "$remote_addr"}}}}, id="who")],
            proxy_protocol=True, moongate={"trusted_addresses": [HOST]})
        with TlsClient(self.tls_port, before=b"PROXY TCP4 203.0.113.9 192.0.2.1 1234 443\r\n") as client:
            self.assertEqual(client.get("/who").get("x-address"), "203.0.113.9")

    def test_a_silent_handshake_is_ended(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], moongate={"client": {"header_timeout": 1}})
        with Client(self.tls_port) as silent, Client(self.tls_port) as slow:
            slow.send(b"\x16\x03\x01\x02\x00")
            self.assertTrue(silent.is_closed(10.0))
            self.assertTrue(slow.is_closed(10.0))

    def test_garbage_in_place_of_a_handshake_costs_its_own_connection_only(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"))])
        for garbage in (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 200, b"\0" * 1000):
            with Client(self.tls_port) as client:
                client.send(garbage)
                wait_for(lambda c=client: self.ended(c), 5, "the end of a broken handshake")
        with TlsClient(self.tls_port) as client:
            self.assertEqual(client.get("/who").status, 200)

    def test_a_client_that_offers_only_other_protocols_is_refused(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"))])
        context = trusting()
        context.set_alpn_protocols(["smtp"])
        self.assertTrue(self.refused(context=context))
        context.set_alpn_protocols(["smtp", "http/1.1"])
        with TlsClient(self.tls_port, context=context) as client:
            self.assertEqual(client.sock.selected_alpn_protocol(), "http/1.1")

    def test_private_keys_are_in_no_log_and_no_status(self):
        issued = certificate("a.test")
        gw = self.serve_tls([resource("1", ["a.test"], issued)])
        secret = re.sub(r"-----.*?-----|\s", "", issued.key)[40:100]
        with TlsClient(self.tls_port) as client:
            client.get("/who")
        texts = gw.log_text() + gw.run("status", "--json").stdout + gw.run("status").stdout + gw.metrics().body.decode()
        self.assertNotIn(secret, texts.replace("\n", ""))
        for path in glob.glob(os.path.join(gw.run_dir, "**"), recursive=True):
            if os.path.isfile(path) and secret.encode() in open(path, "rb").read().replace(b"\\n", b"").replace(b"\n", b""):
                self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)


class Idle(TlsTestCase):
    CONNECTIONS = 300
    EACH_MAX_BYTES = 10 * 1024

    def connect(self, context):
        client = TlsClient(self.tls_port, context=context)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/who").status, 200)
        return client

    def test_idle_connections_need_little_memory_and_go_on_as_if_nothing_had_been(self):
        for version, text in tls_versions().items():
            gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], workers=1)
            context = trusting(version=version)
            for client in [self.connect(context) for _ in range(50)]:   # what the first ones cost once
                client.close()
            before = memory_kb(gw.worker_pids())
            clients = [self.connect(context) for _ in range(self.CONNECTIONS)]
            for _ in range(2):
                wait_for(lambda: (memory_kb(gw.worker_pids()) - before) * 1024 < self.CONNECTIONS * self.EACH_MAX_BYTES, 20,
                         f"{self.CONNECTIONS} idle connections with {text} taking less")
                for client in clients:
                    self.assertEqual(client.get("/who").get("x-version"), text)
            gw.close()


if __name__ == "__main__":
    unittest.main()
