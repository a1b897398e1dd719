# SPDX-License-Identifier: Apache-2.0
"""Kong's declarative files, unchanged: they load, and each plugin in them does what Kong's does."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from acceptance_test import Acceptance, bearer, read, token
from certificates import certificate
from clock import Clock
from harness import HOST, free_port, need, ok, sanitized, wait_for
from observability_test import parse_metrics
from tls_test import TlsClient
from wire import can_bind

NOON = 1700049600   # in UTC: a minute and an hour of the calendar begin
BROWSER = {"User-Agent": "Mozilla/5.0"}


class LineServer:
    """A TCP server that keeps the lines it is sent."""

    def __init__(self, host, port):
        self.lines = []
        self.server = socket.create_server((host, port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.read, args=(sock,), daemon=True).start()

    def read(self, sock):
        with sock, sock.makefile("rb") as stream:
            for line in stream:
                self.lines.append(json.loads(line))

    def close(self):
        self.server.close()


class Kong(Acceptance):
    def free_address(self, port):
        Acceptance.next_address += 1
        for i in range(200):
            address = f"127.{os.getpid() % 250}.{250 - i % 100}.{Acceptance.next_address % 250 + 1}"
            if can_bind(port, address):
                return address
        raise AssertionError(f"port {port} is not free on any loopback address")

    def redis(self, port=6379):
        """The address of a Redis of its own, and a way to stop it."""
        program = need("redis-server")
        address = self.free_address(port)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        process = subprocess.Popen([program, "--bind", address, "--port", str(port), "--save", "", "--dir", folder.name, "--protected-mode", "no"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def stop():
            process.kill()
            process.wait()
        self.addCleanup(stop)

        def accepts():
            with socket.create_connection((address, port), 1):
                return True

        def is_up():
            try:
                return accepts()
            except OSError:
                return False
        wait_for(is_up, 10, "redis accepting")
        return address, stop

    def calendar(self):
        clock = Clock(self)
        clock.set_calendar(NOON - time.time())
        return clock


@sanitized
class Production(Kong):
    SECRET = "a-secret-of-the-test-that-is-long-enough"

    def setUp(self):
        self.users, users = self.service(3000, self.answer)
        self.orders, orders = self.service(3000, self.answer)
        self.health, health = self.service(3000, self.answer)
        redis, _ = self.redis()
        collector = self.free_address(5140)
        self.log = LineServer(collector, 5140)
        self.addCleanup(self.log.close)
        hosts = {"user-service-1": users, "user-service-2": users, "order-service": orders, "health-aggregator": health,
                 "redis": redis, "log-collector": collector}
        issued = certificate("a.test")
        # What the file leaves to its users: a certificate, and somebody who can sign a token.
        overlay = {"ssls": [{"id": "a", "snis": ["a.test"], "cert": issued.cert, "key": issued.key}],
                   "consumers": [{"id": "mobile-app/credentials/jwt", "plugins": {"jwt-auth": {"key": "mobile", "secret": self.SECRET}}}]}
        self.tls_port = free_port()
        clock = self.calendar()
        # The file's health checks would be among the requests that are counted here.
        settings = {"dns": {"hosts": hosts}, "upstream": {"health_checks": False}}
        self.gw = self.serve(read("kong-production.yml"), overlays=[overlay], moongate=settings, env=clock.env,
                             listen=[f"{HOST}:PORT", {"address": f"{HOST}:{self.tls_port}", "tls": True}])
        self.now = NOON

    @staticmethod
    def answer(_request, _connection):
        return ok("service", headers=[("X-Powered-By", "PHP"), ("Server", "Apache"), ("X-Kept", "yes")])

    def tls(self, method, target, headers=None, body=None):
        with TlsClient(self.tls_port) as client:
            return client.request(method, target, {**BROWSER, **(headers or {})}, body, host="a.test")

    def authorized(self, **claims):
        return {"x-api-version": "V1", **bearer(token({"iss": "mobile", "exp": int(self.now) + 600, **claims}, self.SECRET))}

    def test_routes_match_as_kong_says(self):
        r = self.tls("GET", "/api/v1/users/7?a=b", self.authorized())
        self.assertEqual((r.status, self.users.last().target), (200, "/api/v1/users/7?a=b"), r)
        self.assertRegex(self.users.last().get("Host"), "^user-service-[12]:3000$")
        self.assertEqual(self.tls("GET", "/api/v1/users", {"x-api-version": "v2"}).status, 404)
        self.assertEqual(self.tls("PATCH", "/api/v1/users", self.authorized()).status, 404)
        r = self.gw.get("/health/live", BROWSER)
        self.assertEqual((r.status, self.health.last().target), (200, "/live"))
        self.assertEqual(self.gw.request("POST", "/health", BROWSER, b"").status, 404)

    def test_https_routes_refuse_clear_text(self):
        r = self.gw.get("/api/v1/orders", BROWSER)
        self.assertEqual((r.status, r.json()["message"]), (426, "Please use HTTPS protocol"))
        self.assertIn("TLS", r.get("Upgrade"))
        self.assertEqual(self.orders.request_count, 0)
        # What an untrusted client says of its connection counts for nothing.
        self.assertEqual(self.gw.get("/api/v1/orders", {**BROWSER, "X-Forwarded-Proto": "https"}).status, 426)
        self.assertEqual(self.tls("GET", "/api/v1/orders").status, 200)

    def test_jwt_wants_a_token_with_an_expiry(self):
        path = "/api/v1/users"
        self.assertEqual(self.tls("GET", path, self.authorized()).status, 200)
        self.assertEqual(self.users.last().get("X-Consumer-Username"), "mobile-app")
        refused = [{"x-api-version": "v1"}, self.authorized(exp=int(self.now) - 5), self.authorized(iss="nobody"),
                   {"x-api-version": "v1", **bearer(token({"iss": "mobile"}, self.SECRET))},
                   {"x-api-version": "v1", **bearer(token({"iss": "mobile", "exp": int(self.now) + 60}, "x"))},
                   {"x-api-version": "v1", "Cookie": "jwt=" + self.authorized()["Authorization"][7:]}]
        for headers in refused:
            self.assertEqual(self.tls("GET", path, headers).status, 401, headers)
        self.assertEqual(self.users.request_count, 1)

    def test_cors_names_the_origins_that_may(self):
        for origin, allowed in (("https://app.example.com", "https://app.example.com"), ("https://evil.example", None)):
            r = self.tls("GET", "/api/v1/users", {**self.authorized(), "Origin": origin})
            self.assertEqual(r.get("Access-Control-Allow-Origin"), allowed)
            self.assertEqual(r.get("Access-Control-Allow-Credentials"), "true" if allowed else None)
        self.assertEqual(self.tls("OPTIONS", "/api/v1/users", {"Origin": "https://app.example.com"}).status, 404)

    def test_transformers_change_request_and_answer(self):
        r = self.tls("GET", "/api/v1/users", {**self.authorized(), "X-Gateway-Version": "mine"})
        seen = self.users.last()
        self.assertEqual((seen.get("X-Gateway-Version"), seen.get("X-Forwarded-Service")), ("mine", "user-service"))
        self.assertEqual((r.get("X-Powered-By"), r.get("X-Kept"), r.get("X-Frame-Options")), (None, "yes", "DENY"))
        self.assertNotEqual(r.get("Server"), "Apache")
        self.assertEqual(r.get("Strict-Transport-Security"), "max-age=31536000; includeSubDomains")
        r = self.tls("GET", "/api/v1/orders")
        self.assertEqual((r.get("X-Powered-By"), r.get("X-Frame-Options")), ("PHP", None))

    def test_the_consumers_limit_replaces_the_services(self):
        r = self.tls("GET", "/api/v1/users", self.authorized())
        self.assertEqual((r.get("X-RateLimit-Limit-Minute"), r.get("X-RateLimit-Remaining-Minute")), ("200", "199"))
        with TlsClient(self.tls_port) as client:
            statuses = [client.get("/api/v1/orders", BROWSER).status for _ in range(51)]
            r = client.get("/api/v1/orders", BROWSER)
        self.assertEqual((statuses.count(200), statuses[-1]), (50, 429))
        self.assertEqual(r.json()["message"], "API rate limit exceeded")
        self.assertEqual((r.get("X-RateLimit-Limit-Minute"), r.get("X-RateLimit-Remaining-Minute"), r.get("X-RateLimit-Remaining-Hour")), ("50", "0", "1950"))
        self.assertTrue(0 < int(r.get("Retry-After")) <= 60)
        self.assertEqual((r.get("RateLimit-Limit"), r.get("RateLimit-Remaining"), r.get("RateLimit-Reset")), ("50", "0", r.get("Retry-After")))

    def test_large_bodies_are_refused(self):
        size = 5 << 20
        self.assertEqual(self.tls("POST", "/api/v1/orders", body=b"x" * size).status, 200)
        r = self.tls("POST", "/api/v1/orders", {"Content-Length": str(size + 1)})
        self.assertEqual((r.status, r.json()["message"]), (413, "Request size limit exceeded"))
        for extra, status in ((0, 200), (1, 413)):
            with TlsClient(self.tls_port) as client:
                client.send(b"POST /api/v1/orders HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    client.send(b"%x\r\n" % (size + extra) + b"x" * (size + extra) + b"\r\n0\r\n\r\n")
                except OSError:
                    pass    # it may be refused before it was sent
                self.assertEqual(client.read("POST").status, status)
        self.assertEqual(self.orders.request_count, 2)

    def test_bots_are_refused(self):
        for agent in ("curl/8.0", "Wget/1.2 wget", "Googlebot/2.1"):
            r = self.gw.get("/health", {"User-Agent": agent})
            self.assertEqual((r.status, r.json()["message"]), (403, "Forbidden"), agent)
        self.assertEqual(self.health.request_count, 0)
        self.assertEqual(self.gw.get("/health").status, 200)

    def test_requests_are_logged_and_counted(self):
        self.gw.get("/health/ready?x=1", {**BROWSER, "Authorization": "secret-of-somebody"})
        line = wait_for(lambda: [x for x in self.log.lines if "/health/ready" in x["request"]["uri"]], 10, "the line of the log")[0]
        self.assertEqual((line["request"]["method"], line["response"]["status"], line["service"]["id"]), ("GET", 200, "health-service"))
        self.assertNotIn("secret-of-somebody", json.dumps(line))
        wait_for(lambda: b'moongate_requests_total{route="health-route",code="200"} 1\n' in self.gw.metrics().body, 10, "the request being counted")

    def test_metrics_tell_consumers_and_bytes_apart(self):
        self.tls("GET", "/api/v1/users", self.authorized())
        self.gw.get("/health", BROWSER)
        wanted = [("apisix_http_status", {"code": "200", "route": "users-route", "service": "user-service", "consumer": "mobile-app"}),
                  ("apisix_http_status", {"code": "200", "route": "health-route", "consumer": ""}),
                  ("apisix_bandwidth", {"type": "egress", "route": "users-route", "consumer": "mobile-app"}),
                  ("apisix_http_latency_count", {"type": "upstream", "route": "users-route", "consumer": "mobile-app"})]

        def counted():
            page = parse_metrics(self.gw.metrics().body.decode())
            return all(any(value > 0 and labels.items() <= given.items() for given, value in page.get(name, ())) for name, labels in wanted)
        wait_for(counted, 10, "all of the metrics")


@sanitized
class RateLimit(Kong):
    def test_counts_in_redis_and_goes_on_without_it(self):
        up, address = self.service(8080, ok("user"))
        redis, stop = self.redis()
        gw = self.serve(read("kong-rate-limit.yml"), env=self.calendar().env,
                        moongate={"dns": {"hosts": {"user-service": address, "redis-cluster": redis}}})
        with gw.client() as client:
            answers = [client.get("/api/v1/users/7") for _ in range(101)]
        self.assertEqual([r.status for r in answers], [200] * 100 + [429])
        self.assertEqual(up.last().target, "/7")    # strip_path
        last = answers[-1]
        self.assertEqual((last.get("X-RateLimit-Limit-Minute"), last.get("X-RateLimit-Remaining-Hour")), ("100", "900"))
        stop()
        r = gw.get("/api/v1/users")
        self.assertEqual((r.status, r.get("X-RateLimit-Limit-Minute")), (200, None))
        gw.wait_log("kong-rate-limiting: failed to get usage")

    def test_without_fault_tolerance_no_redis_is_no_service(self):
        _, address = self.service(8080, ok("user"))
        text = read("kong-rate-limit.yml").replace("fault_tolerant: true", "fault_tolerant: false")
        gw = self.serve(text, moongate={"dns": {"hosts": {"user-service": address, "redis-cluster": self.free_address(6379)}}})
        r = gw.get("/api/v1/users")
        self.assertEqual((r.status, r.json()["message"]), (500, "An unexpected error occurred"))

    def test_local_windows_end_with_the_calendars(self):
        _, address = self.service(8080, ok("user"))
        text = read("kong-rate-limit.yml").replace("policy: redis", "policy: local").replace("minute: 100", "minute: 3")
        clock = self.calendar()
        gw = self.serve(text, env=clock.env, moongate={"dns": {"hosts": {"user-service": address}}})
        self.assertEqual([gw.get("/api/v1/users").status for _ in range(5)], [200, 200, 200, 429, 429])
        self.assertEqual(gw.get("/api/v1/users").get("X-RateLimit-Remaining-Hour"), "997")
        clock.set_calendar(NOON + 60 - time.time())
        r = wait_for(lambda: (lambda r: r if r.status == 200 else None)(gw.get("/api/v1/users")), 10, "the next minute")
        self.assertEqual(r.get("X-RateLimit-Remaining-Minute"), "2")


@sanitized
class Breaker(Kong):
    def test_the_switched_off_plugin_waits_to_be_switched_on(self):
        up, address = self.service(8080, ok("paid"))
        gw = self.serve(read("kong-breaker.yml"), moongate={"dns": {"hosts": {"payment-service": address}}})
        r = gw.get("/payments/7")
        self.assertEqual((r.status, r.body, up.last().target), (200, b"paid", "/7"))
        gw.apply(read("kong-breaker.yml").replace("enabled: false", "enabled: true"))
        r = gw.get("/payments/7")
        self.assertEqual((r.status, r.json()["message"]), (503, "Service temporarily unavailable"))
        self.assertEqual(up.request_count, 1)


@sanitized
class OpenIdConnect(Kong):
    def test_what_it_guards_stays_shut(self):
        up, address = self.service(8080, ok("web"))
        gw = self.serve(read("kong-oidc.yml"), moongate={"dns": {"hosts": {"web": address}}})
        r = gw.get("/")
        self.assertEqual((r.status, r.json()["message"]), (503, "openid-connect is not served yet"))
        self.assertEqual(up.request_count, 0)


if __name__ == "__main__":
    unittest.main()
