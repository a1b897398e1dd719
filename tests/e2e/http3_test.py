# SPDX-License-Identifier: Apache-2.0
"""HTTP/3 to clients: the same requests, rules and ends as on every other wire, over paths that lose, move and lie."""

import os
import signal
import subprocess
import threading

from browser import start_browser
from certificates import authority, certificate
from clock import Clock
from content_coding_test import ALL, TEXT, decode
from harness import HOST, Gateway, TestCase, needs_tls, ok, route, sanitized, wait_for
from http3_client import HoppingRelay, Http3TestCase, Steps, arguments, fetch, head, headers
from tls_client import TlsClient, resource

LONG_HEADER = 0xc0
WHO = route("/who/*", plugins={
    "mocking": {"response_example": "who", "content_type": "text/plain"},
    "response-rewrite": {"headers": {"set": {
        "X-Version": "$ssl_protocol", "X-Name": "$ssl_server_name", "X-Scheme": "$scheme", "X-Protocol": "$server_protocol",
        "X-Http3": "$http3", "X-Verify": "$ssl_client_verify", "X-Subject": "$ssl_client_s_dn", "X-Peer": "$remote_addr"}}}}, id="who")


def flags_of(issued):
    return [f"--cert={issued.cert_path}", f"--key={issued.key_path}"]


@needs_tls("HTTP/3")
@sanitized
class Http3(Http3TestCase):
    def test_a_request_knows_what_carried_it(self):
        self.serve_http3([WHO])
        answer = fetch(self.port, ["/who/1"]).answers[0]
        self.assertEqual((answer.status, answer.body, answer.is_closed), (200, b"who", True))
        self.assertEqual([answer.get(f"x-{name}") for name in ("version", "name", "scheme", "protocol", "http3")],
                         ["TLSv1.3", "localhost", "https", "HTTP/3.0", "h3"])
        self.assertIn(answer.get("x-peer"), (HOST, "::1"))

    def test_requests_of_a_connection_are_served_side_by_side(self):
        held, arrived = threading.Event(), threading.Semaphore(0)

        def answer(request, _):
            if request.target == "/last":
                held.set()
            else:
                arrived.release()
                held.wait(30)
            return ok(request.target)
        self.serve_http3([route("/*", self.upstream(answer))], workers=1)
        targets = [f"/{i}" for i in range(20)] + ["/last"]
        answers = fetch(self.port, targets).answers
        self.assertEqual([a.body.decode() for a in answers], targets)

    def test_bodies_come_and_go_whole(self):
        sent, big = os.urandom(3 << 20), os.urandom(5 << 20)
        got = []

        def answer(request, _):
            got.append(request.body)
            return ok(big)
        self.serve_http3([route("/*", self.upstream(answer))])
        answer = fetch(self.port, ["/big"], body=sent).answers[0]
        self.assertEqual((answer.status, answer.body == big, got == [sent]), (200, True, True))

    def test_nothing_is_lost_where_a_tenth_of_the_packets_is(self):
        big = os.urandom(300_000)
        self.serve_http3([route("/*", self.upstream(lambda request, _: ok(big + request.body)))])
        for _ in range(3):
            answer = fetch(self.port, ["/big"], "--tx-loss=0.1", "--rx-loss=0.1", body=b"x" * 100_000).answers[0]
            self.assertEqual((answer.status, answer.body == big + b"x" * 100_000), (200, True))

    def test_answers_are_coded_as_clients_take_them(self):
        codings = ("gzip", "br", "zstd")
        self.serve_http3([route("/*", self.upstream(ok(TEXT)), plugins=ALL)])
        asked = [{"target": "/", "headers": [("Accept-Encoding", coding)]} for coding in codings]
        self.assertEqual([answer.get("content-encoding") for answer in self.ask_peer([asked])[0]], list(codings))
        steps = Steps()
        for coding in codings:
            steps.ask(coding, headers(head(more=[("accept-encoding", coding)])))
        told = self.take(steps)
        for coding in codings:
            self.assertEqual((told.is_whole(coding), decode(coding, told.body_of(coding)) == TEXT), (True, True), coding)

    def test_trailers_and_interim_answers_arrive(self):
        self.serve_http3([route("/*", self.upstream(
            lambda *_: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: yes\r\n\r\n"))])
        answer = fetch(self.port, ["/x"]).answers[0]
        self.assertEqual((answer.body, answer.get("link"), answer.get("x-late")), (b"ok", "</a>", "yes"))

    def test_a_broken_answer_does_not_look_whole(self):
        up_broken = self.upstream(lambda _, connection: connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc").close())
        self.serve_http3([route("/*", up_broken)])
        answer = fetch(self.port, ["/x"]).answers[0]
        self.assertEqual((answer.status, answer.is_closed), (200, False))

    def test_plugins_refuse_as_on_every_wire(self):
        self.serve_http3([route("/closed", self.upstream(lambda *_: ok()), plugins={"key-auth": {}}),
                          route("/limited", self.upstream(lambda *_: ok()), plugins={
                              "limit-count": {"count": 1, "time_window": 600, "rejected_code": 429, "key": "remote_addr"}})], workers=1)
        answers = fetch(self.port, ["/closed", "/none"]).answers
        self.assertEqual([a.status for a in answers], [401, 404])
        self.assertEqual([fetch(self.port, ["/limited"]).answers[0].status for _ in range(2)], [200, 429])

    def test_a_request_body_that_is_too_large_is_refused(self):
        self.serve_http3([route("/*", self.upstream(lambda *_: ok()))], moongate={"client": {"body_max_mb": 1}})
        answer = fetch(self.port, ["/x"], body=b"x" * (2 << 20)).answers[0]
        self.assertEqual(answer.status, 413)

    def test_other_wires_say_where_it_is_to_be_had(self):
        self.serve_http3([WHO])
        with TlsClient(self.port, "localhost") as client:
            self.assertEqual(client.get("/who/1").get("alt-svc"), f'h3=":{self.port}"; ma=86400')

    def test_a_browser_comes_over_http3(self):
        issued = certificate("site.test")
        self.serve_http3([route("/*", self.upstream(lambda *_: ok("<title>here</title>", headers={"Content-Type": "text/html"})))],
                         [resource("1", ["site.test"], issued)])
        browser = start_browser(self, "--enable-quic", f"--origin-to-force-quic-on=site.test:{self.port}",
                                f"--host-resolver-rules=MAP site.test {HOST}",
                                "--ignore-certificate-errors-spki-list=" + issued.key_pin, without=("--disable-quic",))
        browser.get(f"https://site.test:{self.port}/")
        told = browser.execute_script("return [document.title, performance.getEntriesByType('navigation')[0].nextHopProtocol]")
        self.assertEqual(told, ["here", "h3"])


@needs_tls("HTTP/3")
@sanitized
class Certificates(Http3TestCase):
    def test_a_name_without_a_certificate_is_not_to_be_had_until_it_has_one(self):
        gw = self.serve_http3([WHO], [resource("1", ["a.test"], certificate("a.test"))])
        unrecognized_name = 112
        told = fetch(self.port, ["/who/1"])
        self.assertEqual((told.answers, told.alert), ([], unrecognized_name))
        gw.apply({"routes": [WHO], "ssls": [resource("1", ["localhost"], certificate("localhost"))]})
        self.assertEqual(fetch(self.port, ["/who/1"]).answers[0].get("x-name"), "localhost")
        gw.apply({"routes": [WHO], "ssls": [resource("1", ["a.test"], certificate("a.test"))]})
        self.assertEqual(fetch(self.port, ["/who/1"]).alert, unrecognized_name)

    def test_a_name_without_tls_1_3_is_not_to_be_had(self):
        self.serve_http3([WHO], [resource("1", ["localhost"], certificate("localhost"), ssl_protocols=["TLSv1.2"])])
        self.assertEqual(fetch(self.port, ["/who/1"]).answers, [])

    def test_a_client_shows_the_certificate_that_its_name_asks_for_or_stays_out(self):
        self.serve_http3([WHO], [resource("1", ["localhost"], certificate("localhost"), client={"ca": authority("clients").cert})])
        good = certificate("client", issuer="clients")
        answer = fetch(self.port, ["/who/1"], *flags_of(good)).answers[0]
        self.assertEqual((answer.status, answer.get("x-verify"), answer.get("x-subject")), (200, "SUCCESS", "CN=client"))
        for flags in ([], flags_of(certificate("client", issuer="others"))):
            self.assertEqual(fetch(self.port, ["/who/1"], *flags).answers, [])

    def test_where_some_paths_need_no_certificate_the_others_do(self):
        self.serve_http3([WHO], [resource("1", ["localhost"], certificate("localhost"), client={
            "ca": authority("clients").cert, "skip_mtls_uri_regex": ["^/who/open$"]})])
        for flags in ([], flags_of(certificate("client", issuer="others"))):
            answers = fetch(self.port, ["/who/open", "/who/closed"], *flags).answers
            self.assertEqual([a.status for a in answers], [200, 400])
        answers = fetch(self.port, ["/who/open", "/who/closed"], *flags_of(certificate("client", issuer="clients"))).answers
        self.assertEqual([a.status for a in answers], [200, 200])


@needs_tls("HTTP/3")
@sanitized
class Names(Http3TestCase):
    """Several of them on one listener, asked for with quic-go's client."""

    SSLS = [resource("1", ["a.test"], certificate("a.test")), resource("2", ["b.test", "c.test"], certificate("b.test", ("b.test", "c.test"))),
            resource("3", ["*.wild.test"], certificate("*.wild.test")),
            resource("4", ["mutual.test"], certificate("mutual.test"), client={"ca": authority("clients").cert})]
    PLACE = route("/*", plugins={"mocking": {"response_example": "who"}, "response-rewrite": {"headers": {"set": {
        "X-Resumed": "$ssl_session_reused", "X-Name": "$ssl_server_name", "X-Subject": "$ssl_client_s_dn"}}}})

    def met(self, names, **more):
        """For connections one after the other: whether the session was resumed, as the client and as the gateway say, and the name."""
        answers = self.ask_peer([["/"]] * len(names), names=names, **more)
        return [(answer.is_resumed, answer.get("x-resumed"), answer.get("x-name")) for answer in sum(answers, [])]

    def test_each_name_has_its_own_certificate(self):
        self.serve_http3([self.PLACE], self.SSLS)
        for name in ("a.test", "b.test", "c.test", "x.wild.test"):
            answer = self.ask_peer([["/"]], name=name, ca=authority().cert)[0][0]
            self.assertEqual((answer.fault, answer.status, answer.get("x-name")), (None, 200, name))
        for name in ("y.x.wild.test", "wild.test", "none.test"):
            self.assertIn("0x170", self.ask_peer([["/"]], name=name)[0][0].fault["text"])

    def test_another_name_on_the_same_connection_is_misdirected_where_its_rules_differ(self):
        self.serve_http3([self.PLACE], self.SSLS)
        asked = [{"target": "/", "headers": [("Host", f"{host}:{self.port}")]} for host in ("a.test", "b.test", "mutual.test", "none.test")]
        answers = self.ask_peer([asked], name="a.test")[0]
        self.assertEqual([answer.status for answer in answers][2], 421)
        self.assertEqual(answers[0].status, 200)

    def test_a_session_is_resumed_under_its_name_and_under_no_other(self):
        self.serve_http3([self.PLACE], self.SSLS)
        self.assertEqual(self.met(["a.test", "a.test", "b.test", "b.test", "c.test", "a.test"]),
                         [(False, ".", "a.test"), (True, "r", "a.test"), (False, ".", "b.test"), (True, "r", "b.test"), (False, ".", "c.test"),
                          (False, ".", "a.test")])

    def test_every_worker_resumes_a_session(self):
        self.serve_http3([self.PLACE], self.SSLS, workers=4)
        self.assertEqual(self.met(["a.test"] * 12), [(False, ".", "a.test"), *[(True, "r", "a.test")] * 11])

    def test_where_clients_show_certificates_each_shows_its_own_each_time(self):
        self.serve_http3([self.PLACE], self.SSLS)
        shown = certificate("client", issuer="clients")
        for answer in sum(self.ask_peer([["/"]] * 3, names=["mutual.test"] * 3, cert=shown.cert, key=shown.key), []):
            self.assertEqual((answer.status, answer.is_resumed, answer.get("x-subject")), (200, False, "CN=client"))

    def test_a_session_is_not_resumed_when_the_rules_for_clients_have_changed(self):
        gw = self.serve_http3([self.PLACE], self.SSLS)
        session = os.path.join(gw.dir, "session")

        def resumed(*flags):
            answers = fetch(self.port, ["/x"], f"--session-file={session}", "--disable-early-data", *flags).answers
            return answers[0].get("x-resumed") if answers else None
        gw.apply({"routes": [self.PLACE], "ssls": [resource("1", ["localhost"], certificate("localhost"))]})
        self.assertEqual([resumed(), resumed()], [".", "r"])
        gw.stop()
        gw.start()
        self.assertEqual(resumed(), "r")
        gw.apply({"routes": [self.PLACE], "ssls": [resource("1", ["localhost"], certificate("localhost"), client={"ca": authority("clients").cert})]})
        self.assertEqual(resumed(), None)
        self.assertEqual(resumed(*flags_of(certificate("client", issuer="clients"))), ".")


@needs_tls("HTTP/3")
@sanitized
class Connections(Http3TestCase):
    """Clients that move, and workers that end."""

    def serve_slow(self, **more):
        """An answer that goes on until it is let go."""
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.addCleanup(self.may_end.set)

        def answer(request, connection):
            if request.target != "/slow":
                return ok("at once")
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nbegin")
            self.begun.release()
            self.may_end.wait(60)
            return b" end.."
        return self.serve_http3([route("/*", self.upstream(answer))], **more)

    def start_slow(self, *flags):
        client = subprocess.Popen(arguments(self.port, ["/slow"], *flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.kill)
        self.assertTrue(self.begun.acquire(timeout=30))
        return client

    def finish(self, client):
        self.may_end.set()
        text = client.communicate(timeout=30)[0].decode("latin-1")
        return "HTTP stream 0 closed with error code 256" in text

    def test_a_client_that_gets_another_address_goes_on(self):
        self.serve_slow(workers=2)
        for flags in (["--change-local-addr=100ms"], ["--change-local-addr=100ms", "--nat-rebinding"], ["--key-update=100ms"]):
            with self.subTest(flags):
                self.may_end.clear()
                client = self.start_slow(*flags)
                threading.Timer(0.5, self.may_end.set).start()
                self.assertTrue(self.finish(client))

    def test_a_client_whose_packets_come_from_several_ports_harms_nobody(self):
        big = os.urandom(400_000)
        gw = self.serve_http3([route("/*", self.upstream(lambda *_: ok(big)))], workers=1)
        before = gw.worker_pids()
        for seed in range(6):
            relay = HoppingRelay(self.port, seed)
            self.addCleanup(relay.close)
            fetch(self.port, ["/big"], "--timeout=3s", "--handshake-timeout=5s", relay=relay.port)
        self.assertEqual(gw.worker_pids(), before)
        self.assertEqual(fetch(self.port, ["/big"]).answers[0].body, big)

    def test_a_snapshot_does_not_touch_an_answer_under_way(self):
        gw = self.serve_slow()
        client = self.start_slow()
        gw.apply({"routes": [WHO], "ssls": [resource("1", ["localhost"], certificate("localhost"))]})
        self.assertEqual(fetch(self.port, ["/who/1"]).answers[0].status, 200)
        self.assertTrue(self.finish(client))

    def test_a_drained_gateway_ends_what_it_has_begun_and_takes_nobody_new(self):
        gw = self.serve_slow()
        client = self.start_slow()
        gw.send_signal(signal.SIGQUIT)
        wait_for(lambda: not fetch(self.port, ["/other"], "--timeout=2s", "--handshake-timeout=2s").answers, 20, "new clients refused")
        self.assertTrue(self.finish(client))
        gw.wait_end()

    def test_the_death_of_a_worker_is_nobody_elses(self):
        gw = self.serve_slow(workers=2)
        gw.is_crash_expected = True
        clients = []

        def are_spread():
            workers = gw.status()["workers"]
            if not all(worker["connections"] for worker in workers) and len(clients) < 20:
                clients.append(self.start_slow())
            return all(worker["connections"] for worker in workers)
        wait_for(are_spread, 60, "clients with both workers")
        os.kill(gw.worker_pids()[0], signal.SIGKILL)
        wait_for(lambda: all(fetch(self.port, ["/other"]).answers for _ in range(4)), 30, "every client served again")
        self.assertEqual({self.finish(client) for client in clients}, {True, False})


@needs_tls("HTTP/3")
@sanitized
class Strangers(Http3TestCase):
    """Datagrams that belong to nobody."""

    def setUp(self):
        self.gw = self.serve_http3([WHO])

    def test_an_unknown_version_is_answered_with_ours_and_never_with_more_than_came(self):
        sock = self.datagram_socket()
        for size in (1200, 1300):
            ids = bytes((8,)) + b"12345678" + bytes((4,)) + b"abcd"
            sock.send((bytes((LONG_HEADER,)) + b"\x1a\x2a\x3a\x4a" + ids).ljust(size, b"\0"))
            answer = sock.recv(2000)
            self.assertEqual(answer[1:5], b"\0\0\0\0")
            self.assertEqual(answer[5:], bytes((4,)) + b"abcd" + bytes((8,)) + b"12345678" + b"\0\0\0\1")
        sock.send((bytes((LONG_HEADER,)) + b"\x1a\x2a\x3a\x4a" + ids))  # too small to be answered
        sock.send((bytes((LONG_HEADER,)) + b"\x1a\x2a\x3a\x4a" + ids).ljust(1200, b"\1"))
        self.assertEqual(sock.recv(2000)[1:5], b"\0\0\0\0")
        sock.send(bytes((LONG_HEADER | 0x10,)) + b"\0\0\0\1" + ids + b"\0\0")  # early data, which nobody asked for
        sock.send((bytes((LONG_HEADER,)) + b"\xff\0\0\x1d" + ids).ljust(1200, b"\0"))  # a draft
        self.assertEqual(sock.recv(2000)[-4:], b"\0\0\0\1")

    def test_packets_of_a_connection_that_is_gone_are_told_so_in_fewer_bytes(self):
        sock = self.datagram_socket()
        for size in (100, 60, 41):
            sock.send(b"\x40" + os.urandom(size - 1))
            self.assertLess(len(sock.recv(2000)), size)
        sock.send(b"\x40" + os.urandom(15))   # no room for an answer that is shorter
        sock.send(b"\x40" + os.urandom(49))
        self.assertLess(len(sock.recv(2000)), 50)

    def test_noise_harms_nobody(self):
        sock = self.datagram_socket()
        for i in range(2000):
            size = 1 + i * 7 % 1500
            first = bytes((i % 256,))
            version = b"\0\0\0\1" if i % 2 else os.urandom(4)
            sock.send((first + version + os.urandom(size))[:size])
        answer = fetch(self.port, ["/who/1"]).answers[0]
        self.assertEqual(answer.status, 200)

    def test_first_packets_that_are_none_leave_nothing_behind(self):
        clock = Clock(self)
        self.serve_http3([WHO], env=clock.env, workers=1)
        sock = self.datagram_socket()
        ids = [bytes((8,)) + b"%08d" % i + bytes((4,)) + b"abcd" for i in range(20)]
        token = b"\x01\0"  # of nobody's making
        packets = [(bytes((LONG_HEADER | 1,)) + b"\0\0\0\1" + id + (token if i % 2 else b"\0") + length).ljust(1200, b"\0")
                   for i, id in enumerate(ids) for length in (b"\x7f\xff", b"\x44\x90", b"\0\0")]
        for _ in range(4):
            for packet in packets:
                sock.send(packet)
            self.assertEqual(fetch(self.port, ["/who/1"]).answers[0].status, 200)
            clock.advance(15)  # whatever was begun is over

    def test_a_flood_of_first_packets_has_to_prove_its_addresses(self):
        # What looks like a first packet and is none costs no connection; nothing is remembered of it.
        sock = self.datagram_socket()
        for _ in range(3000):
            ids = bytes((8,)) + os.urandom(8) + bytes((4,)) + os.urandom(4)
            sock.send((bytes((LONG_HEADER | 1,)) + b"\0\0\0\1" + ids + b"\0" + b"\x44\x90").ljust(1200, b"\0"))
        self.assertEqual(fetch(self.port, ["/who/1"]).answers[0].status, 200)


@needs_tls("HTTP/3")
@sanitized
class Silence(Http3TestCase):
    def test_a_connection_without_requests_is_silent(self):
        self.serve_http3([WHO])
        relay = HoppingRelay(self.port, 0, hops=False)
        self.addCleanup(relay.close)
        client = subprocess.Popen(arguments(self.port, ["/who/1"], "--timeout=4s", relay=relay.port, ends=False), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        text = client.communicate(timeout=60)[0]
        self.assertIn(b"HTTP stream 0 closed with error code 256", text)
        self.assertLess(relay.packets_back, 60)


@needs_tls("HTTP/3")
@sanitized
class Crowds(Http3TestCase):
    """Handshakes that do not end, and those who come meanwhile."""

    def test_who_comes_has_to_prove_its_address_and_one_address_leaves_room_for_the_others(self):
        refused = 2
        self.serve_http3([WHO], workers=1)
        self.crowd(256)
        self.assertEqual(fetch(self.port, ["/who/1"]).answers[0].status, 200)  # a Retry, and then as ever
        self.crowd(64, hears=1)  # they prove it, and go no further
        self.assertEqual(self.ask_peer([["/who/1"]], **{"from": HOST})[0][0].fault["code"], refused)
        self.assertEqual(self.ask_peer([["/who/1"]], **{"from": "127.0.0.2"})[0][0].status, 200)


class Refusals(TestCase):
    def test_a_listener_that_cannot_speak_it_is_refused_with_its_place(self):
        for listener, text in (({"address": "127.0.0.1:1", "http3": True}, "add `tls: true`"),
                               ({"address": "unix:x.sock", "tls": True, "http3": True}, "needs an IP address"),
                               ({"address": "127.0.0.1:1", "tls": True, "http3": True, "proxy_protocol": True}, "PROXY protocol"),
                               ({"address": "127.0.0.1:1", "tls": True, "http3": 1}, "expected true or false")):
            gw = Gateway({"routes": []}, listen=[listener], start=False)
            self.addCleanup(gw.close)
            done = gw.run("check", *[part for path in gw.config_paths for part in ("-c", path)])
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("listen[0].http3", done.stdout + done.stderr)
            self.assertIn(text, done.stdout + done.stderr)
