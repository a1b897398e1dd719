# SPDX-License-Identifier: Apache-2.0
"""Who may connect and how: client certificates by path, old protocols, ciphers, clients without a name, and sessions that
outlive the gateway."""

import os
import ssl
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import Gateway, missing_in_tls, moongate, route, sanitized, tls_versions, wait_for
from tls_client import VARIABLES, TlsClient, TlsTestCase, resource, trusting

PUBLIC = ["^/public(/|$)"]


def everywhere(**more):
    return {**VARIABLES, "uri": "/*", **more}


@sanitized
class ClientCertificates(TlsTestCase):
    def serve_public(self, patterns=PUBLIC, ssls=(), **more):
        client = {"ca": authority("clients").cert, "skip_mtls_uri_regex": patterns}
        return self.serve_tls([resource("1", ["a.test"], certificate("a.test"), client=client), *ssls], [everywhere()], **more)

    def status(self, target, headers=None, context=None, name="a.test", **more):
        with TlsClient(self.tls_port, name, context or trusting()) as client:
            return client.get(target, headers, **more).status

    def test_a_path_that_matches_needs_no_certificate_and_every_other_does(self):
        self.serve_public()
        for target in ("/public", "/public/a?x=/private", "/public/../public/a", "/%70ublic/a"):
            self.assertEqual(self.status(target), 200, target)
        for target in ("/", "/private", "/publicity", "/PUBLIC/a", "/private/public/", "/private?/public/", "/public/../private",
                       "/public/%2e%2e/private", "/public/%2E./private", "/public/./../private", "/private%3f/public/",
                       "http://a.test/private", "/public%2f..%2fprivate", "/public/..;/private", "/public\\..\\private", "/public%0a"):
            self.assertEqual(self.status(target), 400, target)
        with TlsClient(self.tls_port) as client:
            self.assert_error(client.get("/private"), 400, "client certificate was not present")

    def test_a_good_certificate_opens_every_path_and_a_bad_one_only_what_needs_none(self):
        self.serve_public()
        good = trusting(client=certificate("jack", issuer="clients"))
        bad = trusting(client=certificate("jack", issuer="strangers"))
        self.assertEqual([self.status(t, context=good) for t in ("/private", "/public")], [200, 200])
        self.assertEqual([self.status(t, context=bad) for t in ("/private", "/public")], [400, 200])
        with TlsClient(self.tls_port, context=bad) as client:
            self.assertRegex(client.get("/public").get("x-verify"), "^FAILED")

    def test_another_host_on_the_connection_is_no_way_around(self):
        other = resource("2", ["b.test"], certificate("b.test"))
        self.serve_public(ssls=[other])
        for host in ("b.test", "unknown.test", "A.TEST", "a.test."):
            self.assertEqual(self.status("/private", host=host), 400, host)
        for target in ("/private", "/public"):
            self.assertEqual(self.status(target, name="b.test", host="a.test"), 421, target)
        self.assertEqual(self.status("/private", name="b.test", host="b.test"), 200)

    def test_a_session_without_a_certificate_stays_one_when_it_is_resumed(self):
        for version in tls_versions():
            gw = self.serve_public()
            context = trusting(version=version)
            with TlsClient(self.tls_port, context=context) as client:
                self.assertEqual(client.get("/public").status, 200)
                session = client.sock.session
            with TlsClient(self.tls_port, context=context, session=session) as client:
                self.assertEqual(client.get("/public").get("x-resumed"), "r")
                self.assertEqual(client.get("/private").status, 400)
            strict = resource("1", ["a.test"], certificate("a.test"), client={"ca": authority("clients").cert})
            gw.apply({"routes": [everywhere()], "ssls": [strict]})
            self.assertTrue(self.refused(context=context, session=session))
            gw.close()

    def test_a_pattern_that_is_taken_away_holds_for_connections_that_are_there(self):
        gw = self.serve_public()
        with TlsClient(self.tls_port) as client:
            self.assertEqual(client.get("/public").status, 200)
            changed = resource("1", ["a.test"], certificate("a.test"), client={
                "ca": authority("clients").cert, "skip_mtls_uri_regex": ["^/elsewhere$"]})
            gw.apply({"routes": [everywhere()], "ssls": [changed]})
            self.assertEqual(client.get("/public").status, 400)

    def test_a_pattern_that_is_none_is_refused_at_load(self):
        gw = self.serve_public()
        client = {"ca": authority("clients").cert, "skip_mtls_uri_regex": ["^/a(b"]}
        gw.write_config({"ssls": [resource("1", ["a.test"], certificate("a.test"), client=client)]})
        done = gw.reload()
        self.assertEqual(done.returncode, 1)
        self.assertIn("skip_mtls_uri_regex: invalid regular expression '^/a(b'", done.stdout + done.stderr)
        self.assertEqual(self.status("/public"), 200)


@sanitized
class Protocols(TlsTestCase):
    def test_tls_1_1_is_spoken_where_it_is_asked_for_and_nowhere_else(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test"), ssl_protocols=["TLSv1.1", "TLSv1.2"]),
                        resource("2", ["b.test"], certificate("b.test"))])
        old = trusting()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with TlsClient(self.tls_port, context=old) as client:
            self.assertEqual(client.get("/who").get("x-version"), "TLSv1.1")
        self.assertTrue(self.refused(name="b.test", context=old))
        self.assertTrue(self.refused(context=trusting(version=ssl.TLSVersion.TLSv1_3)))

    def test_the_ciphers_are_those_of_the_settings_and_change_with_them(self):
        ssls, wanted = [resource("1", ["a.test"], certificate("a.test"))], "ECDHE-ECDSA-AES256-GCM-SHA384"
        gw = self.serve_tls(ssls)
        context = trusting(version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertFalse(self.refused(context=context))
        gw.apply({"routes": [VARIABLES], "ssls": ssls, "moongate": {"tls": {"ciphers": wanted}}})
        self.assertTrue(self.refused(context=context))
        with TlsClient(self.tls_port, context=trusting(version=ssl.TLSVersion.TLSv1_2)) as client:
            self.assertEqual(client.sock.cipher()[0], wanted)

    def test_a_version_that_the_build_has_not_is_refused_alone_and_left_out_beside_another(self):
        alone = resource("1", ["a.test"], certificate("a.test"), ssl_protocols=["TLSv1.3"])
        gw = Gateway({"routes": [VARIABLES], "ssls": [alone]}, start=False)
        self.addCleanup(gw.close)
        done = moongate("check", "-c", gw.config_path)
        if "TLSv1.3" in missing_in_tls():
            self.assertRegex(done.stdout + done.stderr, r"ssls\[0\].*ssl_protocols: this build has no TLSv1.3, it uses mbedTLS")
        self.assertEqual(done.returncode, 1 if "TLSv1.3" in missing_in_tls() else 0)
        self.serve_tls([{**alone, "ssl_protocols": ["TLSv1.2", "TLSv1.3"]}])
        with TlsClient(self.tls_port) as client:
            self.assertEqual(client.get("/who").get("x-version"), max(tls_versions().values()))

    def test_a_certificate_that_cannot_be_stapled_is_served_and_the_log_says_why(self):
        gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"), ocsp_stapling={"enabled": True})])
        why = "this build uses mbedTLS, which cannot staple" if "OCSP stapling" in missing_in_tls() else "its issuer's certificate is not behind it"
        gw.wait_log(why)
        with TlsClient(self.tls_port) as client:
            self.assertEqual(client.get("/who").status, 200)

    def test_ciphers_that_there_are_not_are_refused(self):
        config = {"moongate": {"tls": {"ciphers": "BLOWFISH"}}, "ssls": [resource("1", ["a.test"], certificate("a.test"))]}
        gw = Gateway(config, start=False)
        self.addCleanup(gw.close)
        done = moongate("check", "-c", gw.config_path)
        self.assertEqual(done.returncode, 1)
        self.assertIn('moongate.tls.ciphers: "BLOWFISH" names no cipher suite', done.stdout + done.stderr)

    def test_a_client_without_a_name_gets_the_certificate_of_the_fallback(self):
        self.serve_tls([resource("1", ["a.test"], certificate("a.test")), resource("2", ["b.test"], certificate("b.test"))],
                       moongate={"tls": {"fallback_sni": "B.test"}})
        context = trusting()
        context.check_hostname = False
        with TlsClient(self.tls_port, None, context) as client:
            self.assertEqual(client.sock.getpeercert()["subjectAltName"], (("DNS", "b.test"),))
            self.assertEqual(client.get("/who", host="b.test").get("x-name", ""), "")


@sanitized
class Sessions(TlsTestCase):
    """With one worker: which one answers is no question here."""

    def begin(self, **more):
        gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"))], workers=1, **more)
        self.context = getattr(self, "context", None) or trusting()
        return gw, self.new_session()

    def new_session(self):
        with TlsClient(self.tls_port, context=self.context) as client:
            client.get("/who")
            return client.sock.session

    def is_resumed(self, session):
        with TlsClient(self.tls_port, context=self.context, session=session) as client:
            return client.get("/who").get("x-resumed") == "r"

    def test_sessions_are_resumed_after_a_stop_and_a_start(self):
        gw, session = self.begin()
        gw.stop()
        gw.start()
        self.assertTrue(self.is_resumed(session))
        path = os.path.join(gw.run_dir, "ticket.key")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        os.unlink(path)
        gw.stop()
        gw.start()
        self.assertFalse(self.is_resumed(session))

    def test_keys_change_those_before_are_accepted_for_a_time_and_the_file_follows(self):
        clock = Clock(self)
        gw, first = self.begin(env=clock.env)
        path = os.path.join(gw.run_dir, "ticket.key")
        before = self.read(path)
        clock.advance(13 * 3600)
        self.assertTrue(self.is_resumed(first))
        wait_for(lambda: self.read(path) != before, 10, "another state in the file")
        gw.stop()
        gw.start()
        self.assertTrue(self.is_resumed(first))
        clock.advance(12 * 3600)
        self.assertFalse(self.is_resumed(first))

    @staticmethod
    def read(path):
        with open(path, "rb") as f:
            return f.read()

    def test_a_damaged_file_costs_the_sessions_and_not_the_start(self):
        gw, session = self.begin()
        gw.stop()
        with open(os.path.join(gw.run_dir, "ticket.key"), "wb") as f:
            f.write(b"x" * 200)
        gw.start()
        self.assertFalse(self.is_resumed(session))
        self.assertTrue(self.is_resumed(self.new_session()))
        self.assertIn("new ones are made", gw.log_text())

    def test_machines_with_one_key_file_resume_each_others_sessions(self):
        gw, alone = self.begin()
        path = gw.path("shared.key")
        with open(path, "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(os.urandom(80))
        settings = {"moongate": {"tls": {"ticket_key_file": path}}}
        self.begin(**settings)
        session = self.new_session()
        self.assertFalse(self.is_resumed(alone))
        other, _ = self.begin(**settings)
        self.assertTrue(self.is_resumed(session))
        secret = self.read(path)
        self.assertNotIn(secret.hex(), other.log_text())
        self.assertFalse(os.path.exists(os.path.join(other.run_dir, "ticket.key")))

    def test_a_key_file_that_cannot_be_trusted_refuses_the_start(self):
        for content, mode, reason in ((b"x" * 80, 0o644, "anybody may read it"), (b"short", 0o600, "too short"), (None, 0, "No such file")):
            gw = Gateway({"routes": [route("/x", plugins={})]}, start=False)
            gw.is_crash_expected = True
            self.addCleanup(gw.close)
            path = gw.path("shared.key")
            if content:
                with open(path, "wb") as f:
                    os.fchmod(f.fileno(), mode)
                    f.write(content)
            gw.add_config("key.yaml", {"moongate": {"tls": {"ticket_key_file": path}}})
            with self.assertRaisesRegex(AssertionError, "ticket_key_file: .*" + reason):
                gw.start()


if __name__ == "__main__":
    unittest.main()
