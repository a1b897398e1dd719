# SPDX-License-Identifier: Apache-2.0
"""Whole configurations as users write them (tests/acceptance), unchanged, with names resolved by an overlay."""

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
import time
import unittest

from clock import Clock
from harness import ROOT, Load, TestCase, hold_fixed_ports, ok, request_bytes, sanitized, wait_for
from wire import can_bind

FOLDER = os.path.join(ROOT, "tests", "acceptance")


def read(name):
    with open(os.path.join(FOLDER, name)) as f:
        return f.read()


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims, secret=None, algorithm="HS256", key_file=None):
    """A signed JWT: HS256 with a secret, RS256 with a PEM file."""
    signed = encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + encode(json.dumps(claims).encode())
    if key_file:
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key_file], input=signed.encode(), stdout=subprocess.PIPE,
                                   check=True).stdout
    else:
        signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return signed + "." + encode(signature)


def bearer(text):
    return {"Authorization": "Bearer " + text}


class Acceptance(TestCase):
    """The names and ports in the files are fixed, so each upstream listens on a loopback address of its own."""

    next_address = 10

    def service(self, port, answer=None):
        """An Upstream on `port` of an address nobody else uses: (upstream, address)."""
        hold_fixed_ports(self)
        for _ in range(200):
            Acceptance.next_address += 1
            address = f"127.{os.getpid() % 250}.{Acceptance.next_address // 250}.{Acceptance.next_address % 250 + 1}"
            if can_bind(port, address):
                return self.upstream(answer, host=address, port=port), address
        raise AssertionError(f"port {port} is not free on any loopback address")

    def start(self, text, hosts, overlay=None):
        return self.serve(text, overlays=[overlay] if overlay else [], moongate={"dns": {"hosts": hosts}})


@sanitized
class CircuitBreaker(Acceptance):
    def test_opens_after_three_failures_answers_by_itself_and_closes_after_two_successes(self):
        state = {"status": "500 Broken"}
        up, address = self.service(8080, lambda *_: ok("payment", status=state["status"]))
        gw = self.start(read("circuit-breaker.yaml"), {"payment-service": address})
        path = "/api/v1/payments/1"
        self.assertEqual([gw.get(path).status for _ in range(3)], [500] * 3)

        def opened():
            before = up.request_count
            r = gw.get(path)
            return r if up.request_count == before else None
        r = wait_for(opened, 5, "the circuit opening")
        self.assertEqual((r.status, r.body.strip()), (503, b'{"error":"circuit open","retry_after":30}'))
        self.assertEqual((r.get("Content-Type"), r.get("Retry-After")), ("application/json", "30"))
        self.assertLessEqual(up.request_count, 4)
        state["status"] = "200 OK"
        wait_for(lambda: gw.get(path).status == 200, 20, "the circuit letting a probe through")
        self.assertEqual([gw.get(path).status for _ in range(5)], [200] * 5)


@sanitized
class JwtOrders(Acceptance):
    HS_KEY, HS_SECRET = "mobile-app-key", "mobile-app-secret-256bit-key-here"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.key_file = os.path.join(folder.name, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key_file],
                       check=True, stderr=subprocess.DEVNULL)
        self.public = subprocess.run(["openssl", "pkey", "-in", self.key_file, "-pubout"], stdout=subprocess.PIPE, text=True, check=True).stdout

    def gateway(self, groups):
        """The file with its key block replaced, as its comment says; `groups` = {consumer: group}."""
        block = "".join("          " + line + "\n" for line in self.public.strip().split("\n"))
        text, count = re.subn(r"( *-----BEGIN PUBLIC KEY-----\n.*?-----END PUBLIC KEY-----\n)", lambda _: block, read("jwt-orders.yaml"), flags=re.S)
        self.assertEqual(count, 1)
        up, address = self.service(8080, ok("order"))
        overlay = {"consumer_groups": [{"id": g, "plugins": {}} for g in sorted(set(groups.values()))]}
        # A consumer's group is given over the Admin API or in the file; the file has none, so the test adds the line.
        for consumer, group in groups.items():
            text = text.replace(f"  - username: '{consumer}'\n", f"  - username: '{consumer}'\n    group_id: {group}\n")
        return self.start(text, {"order-service": address}, overlay), up

    def claims(self, key, **more):
        return {"key": key, "exp": int(time.time()) + 600, **more}

    def test_tells_consumers_apart_by_the_key_claim(self):
        gw, up = self.gateway({"mobile-app": "premium-users", "web-frontend": "admin-group"})
        path = "/api/v1/orders/7"
        hs = token(self.claims(self.HS_KEY), self.HS_SECRET)
        rs = token(self.claims("web-frontend-key"), algorithm="RS256", key_file=self.key_file)
        for where in (lambda t: gw.get(path, bearer(t)), lambda t: gw.get(f"{path}?token={t}"), lambda t: gw.get(path, {"Cookie": f"jwt_token={t}"})):
            for given, name in ((hs, "mobile-app"), (rs, "web-frontend")):
                self.assertEqual(where(given).body, b"order")
                self.assertEqual(up.last().get("X-Consumer-Username"), name)

    def test_refuses_consumers_outside_the_groups_with_the_message(self):
        gw, up = self.gateway({"mobile-app": "premium-users", "web-frontend": "others"})
        r = gw.get("/api/v1/orders/7", bearer(token(self.claims("web-frontend-key"), algorithm="RS256", key_file=self.key_file)))
        self.assertEqual((r.status, r.json()["message"]), (403, "Access denied: insufficient permissions"))
        self.assertEqual(up.request_count, 0)

    def test_refuses_every_forged_token(self):
        gw, up = self.gateway({"mobile-app": "premium-users", "web-frontend": "admin-group"})
        good = token(self.claims(self.HS_KEY), self.HS_SECRET)
        head, body, signature = good.split(".")
        none = encode(b'{"alg":"none"}')
        forged = [
            "", "x", "a.b.c", f"{head}.{body}.", f"{head}.{body}", f"{none}.{body}.", f"{none}.{body}.{signature}",
            token(self.claims(self.HS_KEY), "wrong secret"), token(self.claims(self.HS_KEY), ""),
            token(self.claims("web-frontend-key"), self.public), token(self.claims("web-frontend-key"), self.public.strip()),
            token(self.claims("nobody"), self.HS_SECRET), token({"exp": 9e9}, self.HS_SECRET),
            token({"key": self.HS_KEY, "exp": int(time.time()) - 60}, self.HS_SECRET),
            token(self.claims(self.HS_KEY, nbf=int(time.time()) + 600), self.HS_SECRET),
            token(self.claims(self.HS_KEY), algorithm="RS256", key_file=self.key_file),
            good[:-2] + ("AA" if not good.endswith("AA") else "BB"), good.replace(".", "..", 1),
        ]
        for t in forged:
            with self.subTest(token=t[:60]):
                r = gw.get("/api/v1/orders/7", bearer(t))
                self.assertEqual(r.status, 401)
                self.assertIn("Bearer", r.get("WWW-Authenticate", ""))
        self.assertEqual(up.request_count, 0)


@sanitized
class Bff(Acceptance):
    SECRET = "a-secret-of-the-test-that-is-long-enough"

    def setUp(self):
        self.web, web = self.service(3000, ok("web"))
        self.mobile, mobile = self.service(3001, ok("mobile"))
        self.iot, iot = self.service(3002, ok("iot"))
        consumers = [{"username": "user1", "plugins": {"jwt-auth": {"key": "user1-key", "secret": self.SECRET}}},
                     {"username": "device", "plugins": {"key-auth": {"key": "device-key"}}}]
        self.gw = self.start(read("bff.yaml"), {"web-bff": web, "mobile-bff": mobile, "iot-bff": iot}, {"consumers": consumers})
        self.jwt = bearer(token({"key": "user1-key", "exp": int(time.time()) + 600}, self.SECRET))

    def test_each_kind_of_client_has_its_own_authentication_and_rewrite(self):
        r = self.gw.get("/api/web/items?a=b", self.jwt)
        self.assertEqual((r.status, r.body, self.web.last().target), (200, b"web", "/items?a=b"))
        self.assertTrue(self.web.last().get("X-Request-ID"))
        r = self.gw.get("/api/mobile/items", self.jwt)
        self.assertEqual((r.body, r.get("X-Content-Optimized"), self.mobile.last().target), (b"mobile", "mobile", "/items"))
        r = self.gw.get("/api/iot/items", {"apikey": "device-key"})
        self.assertEqual((r.body, self.iot.last().target), (b"iot", "/items"))
        for path, headers in (("/api/web/x", {"apikey": "device-key"}), ("/api/mobile/x", {}), ("/api/iot/x", self.jwt)):
            self.assertEqual(self.gw.get(path, headers).status, 401, path)

    def test_each_kind_of_client_has_its_own_token_bucket(self):
        # The slower of the two runs dry on any machine; of the other that is asked only for more than the slower one holds.
        for path, headers, rate, burst, is_enough in (
                ("/api/mobile/x", self.jwt, 100, 20, lambda load: load.statuses[429] > 20),
                ("/api/iot/x", {"apikey": "device-key"}, 500, 100, lambda load: load.statuses[200] > 100)):
            started, load = time.monotonic(), Load(self.gw.port, lambda i: (request_bytes("GET", path, headers), lambda *_: None), connections=16)
            self.addCleanup(load.start().stop)
            wait_for(lambda: is_enough(load), 20, f"the bucket of {path}")
            count, seconds = load.stop().statuses[200], time.monotonic() - started
            self.assertFalse(load.errors)
            self.assertTrue(burst <= count <= rate * seconds + burst + 1, load.summary())


class Files(Acceptance):
    def test_every_file_of_this_dialect_loads_unchanged(self):
        for name in ("bff.yaml", "circuit-breaker.yaml", "load-balancing.yaml"):
            with self.subTest(file=name):
                gw = self.start(read(name), {})
                self.assertEqual(gw.get("/no-such-path").status, 404)
                gw.close()

    def test_canary_takes_its_share(self):
        v1, a1 = self.service(8080, ok("v1"))
        v2, a2 = self.service(8080, ok("v2"))
        gw = self.start(read("load-balancing.yaml"), {"service-a-v1": a1, "service-a-v2": a2})
        count = 2000
        with gw.client() as c:
            got = [c.get("/a/x").body for _ in range(count)]
        self.assertAlmostEqual(got.count(b"v2") / count, 0.2, delta=0.02)
        self.assertTrue(v1.requests and v2.requests)

    def test_a_node_that_fails_its_checks_leaves_and_returns(self):
        health, clock = {"status": "200 OK"}, Clock(self)
        answer = lambda r, _: ok("v2", status=health["status"] if r.target == "/health" else "200 OK")
        _, a1 = self.service(8080, ok("v1"))
        v2, a2 = self.service(8080, answer)
        gw = self.serve(read("load-balancing.yaml"), moongate={"dns": {"hosts": {"service-a-v1": a1, "service-a-v2": a2}}}, env=clock.env)

        def next_check(seconds):
            seen = len([r for r in v2.requests if r.target == "/health"])
            clock.advance(seconds)
            wait_for(lambda: len([r for r in v2.requests if r.target == "/health"]) > seen, 20, "a check")

        def is_left_alone():
            return [n["node"] for n in gw.status()["health"]["nodes"]] == ["service-a-v2:8080"]
        wait_for(lambda: any(r.target == "/health" for r in v2.requests), 20, "the first check")
        health["status"] = "500 Broken"
        for _ in range(3):
            self.assertFalse(is_left_alone())
            next_check(5)
        wait_for(is_left_alone, 20, "the verdict")
        with gw.client() as c:
            self.assertEqual({c.get("/a/x").body for _ in range(50)}, {b"v1"})
        health["status"] = "200 OK"
        for _ in range(2):
            self.assertTrue(is_left_alone())
            next_check(3)
        wait_for(lambda: not is_left_alone(), 20, "the return")
        with gw.client() as c:
            self.assertEqual({c.get("/a/x").body for _ in range(50)}, {b"v1", b"v2"})


if __name__ == "__main__":
    unittest.main()
