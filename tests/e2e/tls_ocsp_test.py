# SPDX-License-Identifier: Apache-2.0
"""OCSP stapling: a checked answer goes with the certificate, a responder's troubles never reach a client."""

import glob
import os
import subprocess
import tempfile
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, Service, free_port, need, needs_tls, ok, read_text, sanitized, wait_for
from tls_client import TlsTestCase, resource

_serials = iter(range(1000, 2000))


class OpenSslResponder(Service):
    """`openssl ocsp -port`, which hangs for good after a connection that brings nothing: it is not probed by connecting."""

    def accepts(self):
        return "ACCEPT" in read_text(self.log)


class Responder:
    """What `openssl ocsp` answers, for one certificate of the authority."""

    def __init__(self, test, more_extensions=(), port=None):
        self.up = test.upstream(self.answer) if port is None else None
        self.port = port or self.up.port
        self.serial, self.signer, self.minutes, self.state, self.is_away, self.asked = next(_serials), authority(), 60, "V", False, 0
        self.issued = certificate("a.test", serial=self.serial, extensions=(
            f"authorityInfoAccess=OCSP;URI:http://{HOST}:{self.port}/ocsp", *more_extensions))
        folder = tempfile.TemporaryDirectory(prefix="moongate-ocsp-")
        test.addCleanup(folder.cleanup)
        self.folder = folder.name

    def arguments(self):
        index = os.path.join(self.folder, "index.txt")
        revoked = "250101000000Z" if self.state == "R" else ""
        with open(index, "w") as f:
            f.write(f"{self.state}\t350101000000Z\t{revoked}\t{self.serial:04X}\tunknown\t/CN=a.test\n")
        return [need("openssl"), "ocsp", "-index", index, "-CA", authority().cert_path, "-rsigner", self.signer.cert_path,
                "-rkey", self.signer.key_path, "-nmin", str(self.minutes)]

    def question(self):
        path = os.path.join(self.folder, "question")
        subprocess.run([need("openssl"), "ocsp", "-issuer", authority().cert_path, "-cert", self.issued.cert_path, "-no_nonce",
                        "-reqout", path], check=True)
        with open(path, "rb") as f:
            return f.read()

    def response(self, request):
        asked, answered = os.path.join(self.folder, "asked"), os.path.join(self.folder, "answered")
        with open(asked, "wb") as f:
            f.write(request)
        subprocess.run([*self.arguments(), "-reqin", asked, "-respout", answered], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(answered, "rb") as f:
            return f.read()

    def answer(self, request, _):
        self.asked += 1
        return ok("away", "503 Service Unavailable") if self.is_away else ok(self.response(request.body))

    def resource(self, **more):
        made = resource("1", ["a.test"], self.issued, ocsp_stapling={"enabled": True, **more})
        made["cert"] += authority().cert
        return made


@sanitized
@needs_tls("OCSP stapling")
class OcspStapling(TlsTestCase):
    def status(self, *arguments):
        """What a client is told: good, revoked, or none."""
        done = subprocess.run([need("openssl"), "s_client", "-connect", f"{HOST}:{self.tls_port}", "-servername", "a.test", "-status",
                               "-CAfile", authority().cert_path, *arguments], input="", capture_output=True, text=True, timeout=60)
        if "OCSP Response Status: successful" in done.stdout:
            return "good" if "Cert Status: good" in done.stdout else "other"
        self.assertIn("OCSP response: no response sent", done.stdout, done.stderr)
        return "none"

    def wait_for_status(self, wanted, limit_s=20.0):
        wait_for(lambda: self.status() == wanted, limit_s, f"a handshake with {wanted} stapled")

    def stapled(self, responder, **more):
        gw = self.serve_tls([responder.resource()], **more)
        self.wait_for_status("good")
        return gw

    def test_a_responders_answer_is_stapled_by_every_worker_in_both_versions(self):
        port = free_port()
        responder = Responder(self, port=port)
        with OpenSslResponder([*responder.arguments(), "-port", str(port)], port):
            self.stapled(responder)
            for version in ("-tls1_2", "-tls1_3"):
                self.assertEqual({self.status(version) for _ in range(6)}, {"good"})

    def test_nothing_is_stapled_unless_the_resource_asks_for_it(self):
        responder = Responder(self)
        gw = self.serve_tls([resource("1", ["a.test"], responder.issued)])
        self.assertEqual((self.status(), responder.asked), ("none", 0))
        gw.apply({"ssls": [responder.resource()]})
        self.wait_for_status("good")
        gw.apply({"ssls": [resource("1", ["a.test"], responder.issued)]})
        self.wait_for_status("none")

    def test_the_last_answer_outlives_the_responder_until_it_is_out_of_date(self):
        responder, clock = Responder(self), Clock(self)
        gw = self.stapled(responder, env=clock.env)
        responder.is_away = True
        clock.advance(50 * 60)
        gw.wait_log("the last answer is stapled while it holds", 20)
        self.assertEqual(self.status(), "good")
        clock.advance(11 * 60)
        self.wait_for_status("none")

    def test_an_answer_is_renewed_long_before_it_runs_out(self):
        responder, clock = Responder(self), Clock(self)
        self.stapled(responder, env=clock.env)
        self.assertEqual(responder.asked, 1)
        clock.advance(31 * 60)
        wait_for(lambda: responder.asked == 2, 20, "another question")
        self.assertEqual(self.status(), "good")

    def test_an_answer_survives_a_start_without_its_responder_and_the_death_of_a_process(self):
        responder = Responder(self)
        gw = self.stapled(responder)
        responder.is_away = True
        gw.stop()
        gw.start()
        self.assertEqual(self.status(), "good")
        gw.is_crash_expected = True
        pids = gw.worker_pids()
        os.kill(pids[0], 9)
        wait_for(lambda: pids[0] not in gw.worker_pids() and gw.is_serving(), 20, "another worker")
        self.assertEqual({self.status() for _ in range(6)}, {"good"})
        self.assertTrue(all(os.stat(path).st_mode & 0o077 == 0 for path in glob.glob(os.path.join(gw.run_dir, "ocsp", "*"))))

    def test_what_cannot_be_believed_is_never_stapled(self):
        for changes, reason in (({"signer": authority("strangers")}, "not signed by the certificate's issuer"),
                                ({"state": "R"}, "the certificate is revoked"),
                                ({"response": lambda _: b"nonsense"}, "no OCSP response"),
                                ({"response": lambda _: b"\x30\x03\x0a\x01\x06"}, "the responder says unauthorized"),
                                ({"response": lambda _: b"x" * 200_000}, "too large"),
                                ({"is_away": True}, "answers 503")):
            with self.subTest(reason):
                responder = Responder(self)
                vars(responder).update(changes)
                gw = self.serve_tls([responder.resource()])
                gw.wait_log(reason, 20)
                self.assertEqual(self.status(), "none")
                gw.close()

    def test_an_answer_for_another_certificate_is_not_stapled(self):
        other, responder = Responder(self), Responder(self)
        answer = other.response(other.question())
        responder.response = lambda _: answer
        gw = self.serve_tls([responder.resource()])
        gw.wait_log("the answer is about another certificate", 20)
        self.assertEqual(self.status(), "none")

    def test_skip_verify_believes_any_signer_and_nothing_else(self):
        responder = Responder(self)
        responder.signer = authority("strangers")
        self.serve_tls([responder.resource(skip_verify=True)])
        self.wait_for_status("good")

    def test_an_answer_may_come_from_a_file(self):
        responder = Responder(self)
        path = os.path.join(responder.folder, "kept.der")
        gw = self.serve_tls([responder.resource(file=path)])
        gw.wait_log("No such file", 20)
        self.assertEqual((self.status(), responder.asked), ("none", 0))
        with open(path, "wb") as f:
            f.write(responder.response(responder.question()))
        gw.apply({"ssls": [{**responder.resource(file=path), "desc": "changed"}]})
        self.wait_for_status("good")

    def test_a_certificate_that_must_be_stapled_and_is_not_is_warned_about(self):
        responder = Responder(self, ["tlsfeature=status_request"])
        responder.is_away = True
        gw = self.serve_tls([resource("1", ["a.test"], responder.issued)])
        gw.wait_log("the certificate must be stapled, and clients will refuse it", 20)
        gw.apply({"ssls": [responder.resource()]})
        gw.wait_log("nothing is stapled, and clients will refuse the certificate", 20)

    def test_a_certificate_without_its_issuer_is_served_without_an_answer_and_said_so(self):
        responder = Responder(self)
        gw = self.serve_tls([{**responder.resource(), "cert": responder.issued.cert}])
        gw.wait_log("its issuer's certificate is not behind it", 20)
        self.assertEqual(self.status(), "none")


if __name__ == "__main__":
    unittest.main()
