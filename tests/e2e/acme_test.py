# SPDX-License-Identifier: Apache-2.0
"""ACME: certificates are got from an authority, kept, renewed and served; its challenges are answered whatever is configured."""

import glob
import http.client
import json
import os
import signal
import ssl
import shutil
import tempfile
import threading
import time
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, free_port, moongate, request, sanitized, wait_for
from pebble import EAB_KEY, EAB_KEY_ID, LIFETIME_S, Pebble
from tls_client import VARIABLES, TlsClient, TlsTestCase, resource
from upstream import Upstream, ok

DAY_S = 86400
PATH = "/.well-known/acme-challenge/"


def wanted(*names, id="1", **more):
    return {"id": id, "snis": list(names), "acme": True, **more}


class AcmeTestCase(TlsTestCase):
    def gateway(self, ssls, pebble=None, env=None, port=None, routes=(VARIABLES,), moongate=None, workers=2, **acme):
        """A gateway whose certificates come from `pebble`; from one that asks it under its own port when none is given."""
        port = port or free_port()
        self.pebble = pebble or Pebble(self, port)
        settings = {"acme": self.pebble.settings(**acme), "error_log": {"level": "info"}, **(moongate or {})}
        return self.serve_tls(ssls, routes=routes, port=port, env=env, moongate=settings, workers=workers)

    def connect(self, name, pebble=None):
        return TlsClient(self.tls_port, name, context=(pebble or self.pebble).trusting())

    def serial(self, name):
        """Of the certificate that a client gets; None when it is refused."""
        try:
            with self.connect(name) as client:
                self.assertEqual(client.get("/who").status, 200)
                return client.sock.getpeercert()["serialNumber"]
        except (ssl.SSLError, ConnectionError):
            return None

    def wait_for_certificate(self, name, limit_s=30.0):
        return wait_for(lambda: self.serial(name), limit_s, f"a certificate for {name}")

    @staticmethod
    def issued(gw):
        return gw.log_text().count("was issued")

    def set_acme(self, gw, **acme):
        """The same gateway under other settings of `moongate.acme`."""
        listen = [f"{HOST}:PORT", {"address": f"{HOST}:{self.tls_port}", "tls": True}]
        more = {"acme": self.pebble.settings(**acme), "error_log": {"level": "info"}}
        gw.add_config("harness.yaml", {"moongate": gw.settings(more, 2, listen)})
        self.assertEqual(gw.reload().returncode, 0)


@sanitized
class Acme(AcmeTestCase):
    def test_a_certificate_is_got_and_served_for_each_of_its_names_by_every_worker(self):
        gw = self.gateway([wanted("a.test", "WWW.a.test.")])
        serial = self.wait_for_certificate("a.test")
        self.assertEqual({self.serial(name) for name in ("a.test", "www.a.test") * 4}, {serial})
        gw.wait_log("ssls/1: a certificate for a.test, www.a.test was issued, it holds until 20")
        self.assertEqual(self.issued(gw), 1)
        self.assertTrue(self.refused(name="b.test", context=self.pebble.trusting()))
        status, = gw.status()["acme"]
        self.assertEqual((status["resource"], status["names"], status["last_error"]), ("ssls/1", ["a.test", "www.a.test"], None))
        self.assertLess(status["next_try"], status["until"])
        self.assertIn("ssls/1: a certificate until 20", gw.run("status").stdout)

    def test_a_single_process_gets_and_serves_one_too(self):
        gw = self.gateway([wanted("a.test")], workers=0)
        self.wait_for_certificate("a.test")
        self.assertEqual(self.issued(gw), 1)

    def test_keys_are_rsa_where_that_is_asked_for_and_a_change_of_it_brings_another_certificate(self):
        gw = self.gateway([wanted("a.test")])
        first = self.wait_for_certificate("a.test")
        self.set_acme(gw, key_type="rsa")
        wait_for(lambda: self.serial("a.test") not in (None, first), 60, "another certificate")
        rsa = self.pebble.trusting()
        rsa.maximum_version = ssl.TLSVersion.TLSv1_2
        rsa.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        with TlsClient(self.tls_port, "a.test", context=rsa) as client:
            self.assertEqual(client.get("/who").status, 200)

    def test_what_was_got_survives_a_start_without_the_authority_and_costs_no_other_order(self):
        gw = self.gateway([wanted("a.test")])
        serial = self.wait_for_certificate("a.test")
        context = self.pebble.trusting()
        self.pebble.stop()
        gw.stop()
        gw.start()
        with TlsClient(self.tls_port, "a.test", context=context) as client:
            self.assertEqual(client.sock.getpeercert()["serialNumber"], serial)
        gw.is_crash_expected = True
        control = gw.status()["control_pid"]
        os.kill(control, signal.SIGKILL)
        wait_for(lambda: gw.is_serving() and gw.status()["control_pid"] != control, 20, "another control process")
        pids = gw.worker_pids()
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: pids[0] not in gw.worker_pids() and gw.is_serving(), 20, "another worker")
        for _ in range(6):
            with TlsClient(self.tls_port, "a.test", context=context) as client:
                self.assertEqual(client.sock.getpeercert()["serialNumber"], serial)
        self.assertEqual(self.issued(gw), 1)
        self.assertNotIn("no certificate for a.test", gw.log_text())

    def test_keys_are_their_owners_alone_and_are_told_to_nobody(self):
        gw = self.gateway([wanted("a.test")])
        self.wait_for_certificate("a.test")
        paths = glob.glob(os.path.join(gw.run_dir, "acme", "*"))
        self.assertEqual(len(paths), 2, paths)
        self.assertEqual({os.stat(path).st_mode & 0o777 for path in paths}, {0o600})
        with open(next(path for path in paths if path.endswith(".json"))) as f:
            kept = json.load(f)
        shown = gw.log_text() + json.dumps(gw.status()) + gw.admin("GET", "/ssls/1").body.decode()
        self.assertNotIn("PRIVATE KEY", shown)
        self.assertNotIn(kept["key"].splitlines()[1], shown)

    def test_a_certificate_is_renewed_in_time_once_and_leaves_connections_alone(self):
        clock = Clock(self)
        gw = self.gateway([wanted("a.test")], env=clock.env, moongate={"client": {"keepalive_timeout": 0.9 * DAY_S}})
        first = self.wait_for_certificate("a.test")
        clock.advance(LIFETIME_S * 2 / 3 - DAY_S)
        wait_for(lambda: gw.status()["acme"][0]["next_try"], 10, "a turn under the new clock")
        self.assertEqual((self.serial("a.test"), self.issued(gw)), (first, 1))
        with self.connect("a.test") as kept:
            self.assertEqual(kept.get("/who").status, 200)
            for hours in (6, 12, 12):
                clock.advance(hours * 3600)
                self.assertEqual(kept.get("/who").status, 200)
            wait_for(lambda: self.serial("a.test") not in (None, first), 30, "another certificate")
            self.assertEqual(kept.get("/who").status, 200)
            self.assertEqual(kept.sock.getpeercert()["serialNumber"], first)
        clock.advance(DAY_S)
        wait_for(lambda: self.serial("a.test"), 20, "a handshake")
        self.assertEqual(self.issued(gw), 2)

    def test_renew_before_says_when(self):
        clock = Clock(self)
        gw = self.gateway([wanted("a.test")], env=clock.env, renew_before=44 * DAY_S)
        first = self.wait_for_certificate("a.test")
        clock.advance(47 * DAY_S)
        wait_for(lambda: self.serial("a.test") not in (None, first), 30, "another certificate")
        self.assertEqual(self.issued(gw), 2)

    def test_names_that_are_added_leave_the_others_with_what_they_have_until_all_have_one(self):
        gw = self.gateway([wanted("a.test")])
        first = self.wait_for_certificate("a.test")
        context = self.pebble.trusting()
        self.pebble.stop()
        gw.apply({"routes": [VARIABLES], "ssls": [wanted("a.test", "b.test")]})
        gw.wait_log("no certificate for a.test, b.test", 30)
        with TlsClient(self.tls_port, "a.test", context=context) as client:
            self.assertEqual(client.sock.getpeercert()["serialNumber"], first)
        self.assertTrue(self.refused(name="b.test", context=context))
        self.assertIn("TLS for b.test is refused, what is served is a former certificate until 20", gw.log_text())
        status, = gw.status()["acme"]
        self.assertRegex(status["state"], "^a former certificate until 20.* and none yet for b.test$")
        self.assertEqual(status["names_without"], ["b.test"])
        self.assertIn("ssls/1: a former certificate until 20", gw.run("status").stdout)

    def test_a_file_that_is_damaged_is_ordered_anew(self):
        gw = self.gateway([wanted("a.test"), wanted("b.test", id="2")])
        first, other = self.wait_for_certificate("a.test"), self.wait_for_certificate("b.test")
        gw.stop()
        for path in glob.glob(os.path.join(gw.run_dir, "acme", "*.json")):
            with open(path, "r+") as f:
                if json.load(f)["names"] == ["a.test"]:
                    f.truncate(100)
        gw.start()
        gw.wait_log(".json is not used: ")
        self.assertNotEqual(self.wait_for_certificate("a.test"), first)
        self.assertEqual((self.serial("b.test"), self.issued(gw)), (other, 3))

    def test_a_resource_that_goes_and_comes_back_costs_no_order(self):
        gw = self.gateway([wanted("a.test")])
        first = self.wait_for_certificate("a.test")
        context = self.pebble.trusting()
        gw.apply({"routes": [VARIABLES], "ssls": []})
        wait_for(lambda: self.refused(name="a.test", context=context), 20, "a refused handshake")
        gw.apply({"routes": [VARIABLES], "ssls": [wanted("a.test")]})
        self.assertEqual((self.wait_for_certificate("a.test"), self.issued(gw)), (first, 1))


@sanitized
class AcmeCalendar(AcmeTestCase):
    """The clock of a machine may be wrong, at a start most of all; its clients' are not."""

    def test_what_has_run_out_by_a_wrong_calendar_is_served_on_and_told(self):
        clock = Clock(self)
        gw = self.gateway([wanted("a.test")], env=clock.env)
        first = self.wait_for_certificate("a.test")
        context = self.pebble.trusting()
        clock.advance(20 * DAY_S)  # nothing is ordered again right after it was issued
        self.pebble.stop()

        def served():
            with TlsClient(self.tls_port, "a.test", context=context) as client:
                return client.sock.getpeercert()["serialNumber"]

        clock.set_calendar(400 * DAY_S)
        clock.advance(70)
        gw.wait_log("what is served is a certificate that has run out, 20", 30)
        self.assertEqual(served(), first)
        self.assertRegex(gw.run("status").stdout, "ssls/1: a certificate that has run out, 20.* for a.test")
        gw.apply({"routes": [VARIABLES], "ssls": [wanted("a.test"), wanted("b.test", id="2")]})
        self.assertEqual(served(), first)
        gw.stop()
        gw.start()
        self.assertEqual(served(), first)
        clock.set_calendar(-400 * DAY_S)
        clock.advance(70)
        wait_for(lambda: gw.status()["acme"][0]["state"].startswith("a certificate until 20"), 20, "a turn under the old clock")
        self.assertEqual((served(), self.issued(gw)), (first, 1))

    def test_a_calendar_that_is_ahead_costs_one_order_and_no_certificate(self):
        clock = Clock(self)
        gw = self.gateway([wanted("a.test")], env=clock.env)
        first = self.wait_for_certificate("a.test")
        clock.advance(20 * DAY_S)  # nothing is ordered again right after it was issued
        clock.set_calendar(400 * DAY_S)
        clock.advance(70)
        gw.wait_log("by this machine's clock the new certificate does not hold now", 30)
        second = self.wait_for_certificate("a.test")
        self.assertNotEqual(second, first)
        for _ in range(5):
            clock.advance(3600)
            self.assertEqual(self.serial("a.test"), second)
        clock.set_calendar(-400 * DAY_S)
        clock.advance(70)
        wait_for(lambda: gw.status()["acme"][0]["state"].startswith("a certificate until 20"), 20, "a turn under the old clock")
        self.assertEqual((self.serial("a.test"), self.issued(gw)), (second, 2))

    def test_a_certificate_that_does_not_hold_yet_by_a_calendar_that_is_behind_is_served(self):
        clock = Clock(self)
        clock.set_calendar(-2 * DAY_S)
        gw = self.gateway([wanted("a.test")], env=clock.env)
        first = self.wait_for_certificate("a.test")
        gw.wait_log("by this machine's clock the new certificate does not hold now")
        self.assertIn("a certificate that does not hold yet, until 20", gw.run("status").stdout)
        gw.stop()
        gw.start()
        self.assertEqual((self.wait_for_certificate("a.test"), self.issued(gw)), (first, 1))

    def test_a_pause_is_as_long_as_it_was_when_the_calendar_is_set_back(self):
        port, clock = free_port(), Clock(self)
        gw = self.gateway([wanted("a.test")], Pebble(self, port, start=False), port=port, env=clock.env)
        gw.wait_log("no certificate for a.test", 30)
        clock.set_calendar(-10 * DAY_S)
        self.pebble.start()
        clock.advance(70)
        self.wait_for_certificate("a.test")

    def test_pauses_are_shorter_towards_the_end_of_a_certificate(self):
        clock = Clock(self)
        gw = self.gateway([wanted("a.test")], env=clock.env)
        self.wait_for_certificate("a.test")
        trusted = os.path.join(gw.dir, "trusted.pem")
        shutil.copy(authority().cert_path, trusted)
        self.set_acme(gw, trusted_certificate=trusted)
        os.remove(trusted)  # so that each try fails at once
        failures = lambda: gw.log_text().count("no certificate for a.test")
        clock.advance(LIFETIME_S - 1800)
        wait_for(lambda: failures() == 1, 30, "a first failure")
        for count in range(2, 7):
            clock.advance(200)
            wait_for(lambda: failures() == count, 30, f"failure {count}")
        self.assertIn("what is served is a certificate until 20", gw.log_text())


@sanitized
class AcmeAuthority(AcmeTestCase):
    def test_a_refused_nonce_is_tried_again(self):
        port = free_port()
        gw = self.gateway([wanted("a.test")], Pebble(self, port, {"PEBBLE_WFE_NONCEREJECT": "50"}), port=port)
        self.wait_for_certificate("a.test")
        self.assertNotIn("no certificate for a.test", gw.log_text())

    def between(self, act):
        """An authority behind a server that calls act(request, pass_on) for each question; pass_on() is the authority's answer."""
        port = free_port()
        pebble = Pebble(self, port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = certificate("pebble", names=("IP:" + HOST,))
        context.load_cert_chain(own.cert_path, own.key_path)

        def answer(asked, connection):
            def pass_on():
                link = http.client.HTTPSConnection(HOST, pebble.port, timeout=30,
                                                   context=ssl.create_default_context(cafile=authority().cert_path))
                try:
                    fields = {name: value for name, value in asked.fields if name.lower() != "connection"}
                    link.request(asked.method, asked.target, asked.body or None, fields)
                    got = link.getresponse()
                    body = got.read()
                    skipped = ("content-length", "transfer-encoding", "connection")
                    return ok(body, f"{got.status} X", [pair for pair in got.getheaders() if pair[0].lower() not in skipped],
                              length=asked.method != "HEAD")
                finally:
                    link.close()
            return act(asked, connection, pass_on)

        self.front = Upstream(answer, tls=context)
        return pebble, port, {"directory": f"https://{HOST}:{self.front.port}/dir"}

    def test_a_question_that_meets_a_fault_is_asked_again(self):
        """Each for the first time: the answer is lost, or is 503 and the question never came."""
        for is_lost in (False, True):
            with self.subTest(is_lost=is_lost):
                seen = set()

                def act(asked, connection, pass_on):
                    if asked.target in seen:
                        return pass_on()
                    seen.add(asked.target)
                    if not is_lost:
                        return ok("busy", "503 X")
                    pass_on()
                    connection.close()

                pebble, port, settings = self.between(act)
                gw = self.gateway([wanted("a.test")], pebble, port=port, **settings)
                self.wait_for_certificate("a.test", 60)
                self.assertGreater(len(seen), 7)
                self.assertNotIn("no certificate for a.test", gw.log_text())
                self.assertIn("it is asked again in 1 s", gw.log_text())
                if is_lost:
                    self.assertEqual(pebble.log().count("Issued certificate"), 1)

    def test_a_limit_that_is_over_soon_is_waited_for(self):
        refused = []

        def act(asked, _, pass_on):
            if asked.target != "/order-plz" or refused:
                return pass_on()
            refused.append(time.monotonic())
            return ok('{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "slow down"}', "429 X", {"Retry-After": "3"})

        pebble, port, settings = self.between(act)
        gw = self.gateway([wanted("a.test")], pebble, port=port, **settings)
        self.wait_for_certificate("a.test")
        self.assertNotIn("no certificate for a.test", gw.log_text())
        self.assertIn("it is asked again in 3 s", gw.log_text())

    def begin_limited(self, target):
        """Three resources, and an authority that wants half an hour before it is asked for that again."""
        clock, is_limited = Clock(self), [True]

        def act(asked, _, pass_on):
            if asked.target != target or not is_limited:
                return pass_on()
            return ok('{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}', "429 X", {"Retry-After": "1800"})

        pebble, port, settings = self.between(act)
        gw = self.gateway([wanted(f"{name}.test", id=name) for name in "abc"], pebble, port=port, env=clock.env, **settings)
        gw.wait_log("rateLimited: too many; it is asked again when it allows", 30)
        return gw, clock, is_limited

    def test_a_limit_of_an_order_holds_for_that_and_the_others_wait_a_minute(self):
        gw, clock, is_limited = self.begin_limited("/order-plz")
        is_limited.clear()
        clock.advance(62)
        for name in "bc":
            self.wait_for_certificate(f"{name}.test")
        self.assertEqual((self.serial("a.test"), gw.log_text().count("ssls/a: no certificate for")), (None, 1))
        clock.advance(2000)
        self.wait_for_certificate("a.test")

    def test_a_limit_of_the_authority_holds_for_all_resources(self):
        gw, clock, is_limited = self.begin_limited("/sign-me-up")
        orders = lambda: sum(asked.target == "/sign-me-up" for asked in self.front.requests)
        for _ in range(4):
            clock.advance(400)
            gw.status()
        self.assertEqual((orders(), gw.log_text().count("no certificate for")), (1, 1))
        is_limited.clear()
        clock.advance(500)
        for name in "abc":
            self.wait_for_certificate(f"{name}.test")

    def test_an_account_that_belongs_to_another_is_made_with_its_key_and_found_again_without(self):
        port, clock = free_port(), Clock(self)
        pebble = Pebble(self, port, is_external_account_required=True)
        account = {"key_id": EAB_KEY_ID, "key": EAB_KEY}
        gw = self.gateway([wanted("a.test")], pebble, port=port, env=clock.env, external_account=account)
        first = self.wait_for_certificate("a.test")
        clock.advance(61 * DAY_S)
        wait_for(lambda: self.serial("a.test") not in (None, first), 30, "another certificate")
        self.assertNotIn(EAB_KEY, gw.log_text() + json.dumps(gw.status()))

    def test_a_wrong_key_of_the_other_account_and_none_at_all_are_told(self):
        for account, words in (({"key_id": EAB_KEY_ID, "key": "AAAA" * 12}, "check key_id and key of moongate.acme.external_account"),
                               ("off", "set moongate.acme.external_account")):
            with self.subTest(words):
                port = free_port()
                gw = self.gateway([wanted("a.test")], Pebble(self, port, is_external_account_required=True), port=port,
                                  external_account=account)
                gw.wait_log(words, 30)
                self.assertIn(words, gw.status()["acme"][0]["last_error"])

    def test_an_authority_that_is_away_is_asked_again_and_the_rest_is_served(self):
        port, clock = free_port(), Clock(self)
        other = resource("2", ["b.test"], certificate("b.test"))
        gw = self.gateway([wanted("a.test"), other], Pebble(self, port, start=False), port=port, env=clock.env)
        gw.wait_log("ssls/1: no certificate for a.test: ", 30)
        self.assertIn("TLS for a.test is refused, ", gw.log_text())
        self.assertEqual(gw.get("/who").status, 200)
        with TlsClient(self.tls_port, "b.test") as client:
            self.assertEqual(client.get("/who").status, 200)
        self.assertTrue(self.refused(name="a.test"))
        self.pebble.start()
        clock.advance(70)
        self.wait_for_certificate("a.test")
        self.assertIsNone(gw.status()["acme"][0]["last_error"])

    def test_pauses_between_failures_grow(self):
        port, clock = free_port(), Clock(self)
        gw = self.gateway([wanted("a.test")], Pebble(self, port, start=False), port=port, env=clock.env)
        failures = lambda: gw.log_text().count("no certificate for a.test")
        wait_for(lambda: failures() == 1, 30, "a first failure")
        clock.advance(70)
        wait_for(lambda: failures() == 2, 30, "a second")
        clock.advance(70)
        wait_for(lambda: gw.status()["acme"], 10, "a turn under the new clock")
        self.assertEqual(failures(), 2)
        clock.advance(70)
        wait_for(lambda: failures() == 3, 30, "a third")

    def test_a_name_that_does_not_lead_here_is_told_with_the_remedy(self):
        stranger = self.upstream(lambda request, _: ok("not here", "404 Not Found"))
        gw = self.gateway([wanted("a.test")], Pebble(self, stranger.port))
        gw.wait_log("the authority must reach this gateway under http://a.test/ on port 80", 30)
        self.assertIn("unauthorized", gw.status()["acme"][0]["last_error"])
        self.assertTrue(any(request.target.startswith(PATH) for request in stranger.requests))

    def test_an_authority_whose_own_certificate_is_not_trusted_is_told_nothing(self):
        gw = self.gateway([wanted("a.test")], trusted_certificate="off")
        gw.wait_log("no certificate for a.test: ", 30)
        self.assertRegex(gw.status()["acme"][0]["last_error"], "certificate")


@sanitized
class AcmeChallenges(AcmeTestCase):
    """The authority's questions pass through the test, which may do what it likes while the answers are live."""

    def during(self, act, ssls=(wanted("a.test"),), is_awaited=True, **more):
        """A gateway whose order waits for act(path) once, given the path that the authority asks for."""
        port, lock, self.outcome = free_port(), threading.Lock(), []
        ready = threading.Event()

        def pass_on(asked, _):
            with lock:
                if not self.outcome:
                    ready.wait(30)
                    try:
                        self.outcome.append(act(asked.target))
                    except Exception as e:  # noqa: it is raised where the test waits
                        self.outcome.append(e)
            return ok(request(port, "GET", asked.target, {"Host": "a.test"}).body)

        gw = self.gateway(list(ssls), Pebble(self, self.upstream(pass_on).port), port=port, **more)
        self.gw = gw
        ready.set()
        outcome, = wait_for(lambda: list(self.outcome), 40, "a question of the authority")
        if isinstance(outcome, Exception):
            raise outcome
        if is_awaited:
            self.wait_for_certificate("a.test")
        return gw, outcome

    def test_neither_plugins_nor_routes_hinder_it_and_other_requests_go_to_routing(self):
        def act(path):
            ask = lambda method, target: request(self.gw.port, method, target, {"Host": "a.test"})
            answer = ask("GET", path)
            self.assertEqual((answer.status, answer.get("content-type")), (200, "application/octet-stream"))
            self.assertEqual(answer.body.split(b".")[0].decode(), path[len(PATH):])
            head = ask("HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""))
            for method, target in (("POST", path), ("GET", path + "x"), ("GET", path[:-1]), ("GET", path + "?a"), ("GET", PATH + "x"),
                                   ("GET", PATH), ("GET", PATH + "..%2f" + path[len(PATH):])):
                self.assertIn(ask(method, target).status, (400, 401), (method, target))
            return True

        rule = {"id": "1", "uri": "/*", "priority": 1, "plugins": {"fault-injection": {"abort": {"http_status": 401, "body": "closed"}}}}
        gw, _ = self.during(act, routes=[VARIABLES, rule])
        self.assertEqual(gw.get(PATH + "x").status, 401)

    def test_it_is_answered_over_tls_too_also_where_client_certificates_are_asked_for(self):
        other = resource("2", ["b.test"], certificate("b.test"))
        closed = wanted("c.test", id="3", client={"ca": authority().cert})

        def act(path):
            statuses = []
            for host in ("a.test", "c.test"):
                with TlsClient(self.tls_port, "b.test") as client:
                    statuses.append(client.get(path, host=host).status)
            return statuses

        self.assertEqual(self.during(act, ssls=[wanted("a.test"), other, closed])[1], [200, 200])

    def test_a_worker_that_comes_up_meanwhile_answers_it(self):
        def act(path):
            self.gw.is_crash_expected = True
            pids = self.gw.worker_pids()
            os.kill(pids[0], signal.SIGKILL)
            wait_for(lambda: pids[0] not in self.gw.worker_pids() and self.gw.is_serving(), 4, "another worker")
            return {request(self.gw.port, "GET", path).status for _ in range(16)}

        self.assertEqual(self.during(act)[1], {200})

    def test_settings_that_change_meanwhile_do_not_end_it(self):
        def act(path):
            self.set_acme(self.gw, contact=["mailto:others@example.org"], renew_before=DAY_S)
            return request(self.gw.port, "GET", path, {"Host": "a.test"}).status

        gw, status = self.during(act)
        self.assertEqual((status, self.issued(gw)), (200, 1))
        self.assertEqual(self.pebble.log().count("/order-plz"), 1)

    def test_a_resource_or_setting_that_goes_meanwhile_ends_it(self):
        listen = lambda: [f"{HOST}:PORT", {"address": f"{HOST}:{self.tls_port}", "tls": True}]
        for what, act in (("resource", lambda _: self.gw.apply({"routes": [VARIABLES], "ssls": []})),
                          ("setting", lambda _: (self.gw.write_config({"routes": [VARIABLES], "ssls": []}),
                                                 self.gw.add_config("harness.yaml", {"moongate": self.gw.settings({}, 2, listen())}),
                                                 self.gw.reload()))):
            with self.subTest(what):
                paths = []
                gw, _ = self.during(lambda path: (paths.append(path), act(path)), is_awaited=False)
                wait_for(lambda: {gw.get(paths[0]).status for _ in range(6)} == {404}, 20, "routing to have the path again")
                self.assertEqual((gw.status()["acme"], self.issued(gw)), ([], 0))
                self.assertTrue(self.refused(name="a.test", context=self.pebble.trusting()))

    def test_a_token_is_not_answered_when_its_order_is_over(self):
        paths = []
        gw, _ = self.during(paths.append)
        wait_for(lambda: {gw.get(paths[0]).status for _ in range(6)} == {404}, 20, "routing to have the path again")


class AcmeRefusals(AcmeTestCase):
    ACME = {"agree_to_terms": True}

    def check(self, ssl, acme=None, **moongate_settings):
        with tempfile.TemporaryDirectory(prefix="moongate-acme-") as folder:
            path = os.path.join(folder, "moongate.yaml")
            settings = {**moongate_settings, **({} if acme is None else {"acme": acme})}
            with open(path, "w") as f:
                f.write(json.dumps({"moongate": settings, "ssls": [ssl]}, indent=1))
            done = moongate("check", "-c", path)
            self.assertEqual(done.returncode, 1, done.stdout)
            return done.stdout + done.stderr

    def test_what_no_authority_could_do_is_refused_with_place_and_remedy(self):
        issued = certificate("a.test")
        for ssl_resource, words in (
                ({**wanted("a.test"), "cert": issued.cert, "key": issued.key}, "ssls[0].cert: stands beside `acme: true`"),
                (wanted("*.a.test"), "ssls[0].snis: `acme` makes no wildcard certificates"),
                (wanted("127.0.0.1"), "ssls[0].snis: `acme` makes no certificates for addresses"),
                (wanted("a-.test"), "ssls[0].snis: expected a host name: "),
                ({"id": "1", "acme": True, "sni": "."}, "ssls[0].sni: expected a host name: "),
                (wanted("a.test", type="client"), "ssls[0].type: a certificate of type client is not made by `acme`"),
                (wanted("a.test", ocsp_stapling={"enabled": True}), "ssls[0].ocsp_stapling: certificates by `acme` are not stapled"),
                (wanted(*(f"n{i}.test" for i in range(101))), "ssls[0].snis: more than 100 names"),
                ({"id": "1", "acme": True}, "ssls[0].sni: missing")):
            with self.subTest(words):
                told = self.check(ssl_resource, self.ACME)
                self.assertIn(words, told)
                self.assertRegex(told, r"moongate\.yaml:\d+: ")

    def test_a_resource_without_the_setting_is_refused(self):
        told = self.check(wanted("a.test"))
        self.assertRegex(told, r"moongate\.yaml:\d+: ssls\[0\]\.acme: moongate\.acme is not set; write `moongate: ")

    def test_wrong_settings_are_refused_with_place_and_remedy(self):
        for acme, words in (({"contact": ["mailto:a@example.org"]}, "moongate.acme: nothing is asked of an authority before you have agreed"),
                            ({**self.ACME, "directory": "http://ca.test/dir"}, "moongate.acme.directory: expected a URL such as https://"),
                            ({**self.ACME, "contact": ["ops"]}, "moongate.acme.contact[0]: expected an address such as mailto:"),
                            ({**self.ACME, "key_type": "dsa"}, "moongate.acme.key_type: "),
                            ({**self.ACME, "renew_before": -1}, "moongate.acme.renew_before: expected whole seconds"),
                            ({**self.ACME, "trusted_certificate": "none.pem"}, "moongate.acme.trusted_certificate: "),
                            ({**self.ACME, "external_account": {"key_id": "a"}}, "moongate.acme.external_account: `key_id` and `key` belong"),
                            ({**self.ACME, "external_account": {"key_id": "a", "key": "%%"}}, "moongate.acme.external_account.key: expected the key"),
                            ({**self.ACME, "terms": True}, "moongate.acme: ")):
            with self.subTest(words):
                told = self.check(wanted("a.test"), acme)
                self.assertIn(words, told)
                self.assertRegex(told, r"moongate\.yaml:\d+: ")

    def test_a_store_that_several_gateways_share_is_refused_beside_it(self):
        told = self.check(wanted("a.test"), self.ACME, etcd={"host": f"http://{HOST}:1"})
        self.assertIn("moongate.acme: does not go with `moongate.etcd`", told)

    def test_the_admin_api_refuses_the_same_and_keeps_the_rest_as_written(self):
        gw = self.gateway([])
        refused = gw.admin("PUT", "/ssls/1", {"snis": ["*.a.test"], "acme": True})
        self.assertEqual((refused.status, b"wildcard" in refused.body), (400, True), refused.body)
        self.assertEqual(gw.admin("PUT", "/ssls/1", {"snis": ["a.test"], "acme": True}).status, 201)
        self.wait_for_certificate("a.test")
        kept = json.loads(gw.admin("GET", "/ssls/1").body)["value"]
        self.assertEqual((kept["snis"], kept["acme"]), (["a.test"], True))
        self.assertFalse({"cert", "key"} & set(kept))
        gw.admin("DELETE", "/ssls/1")
        context = self.pebble.trusting()
        wait_for(lambda: self.refused(name="a.test", context=context), 20, "a refused handshake")

    def test_the_admin_api_refuses_it_without_the_setting(self):
        gw = self.serve({"routes": [VARIABLES]})
        refused = gw.admin("PUT", "/ssls/1", {"snis": ["a.test"], "acme": True})
        self.assertEqual((refused.status, b"moongate.acme is not set" in refused.body), (400, True), refused.body)


if __name__ == "__main__":
    unittest.main()
