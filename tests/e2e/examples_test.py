# SPDX-License-Identifier: Apache-2.0
"""Every example is started with the commands in its README and does what the README says; so does the demo of conf/.

These are the only tests on fixed ports: the ports are the examples'. Only `-p run` is replaced, by a temporary folder.
"""

import os
import re
import shlex
import time
import unittest

from acceptance_test import bearer, token
from harness import HOST, ROOT, Gateway, TestCase, get, hold_fixed_ports, moongate, moongate_bin, sanitized, start_process, wait_for
from wire import can_bind, connect

FIXED_PORTS = (8080, 9180, 9091)


class AsWritten(Gateway):
    """Runs `moongate start ...` as a README or tools/run has it."""

    def __init__(self, files):
        super().__init__("", start=False)
        self.port, self.admin_port, self.metrics_port = FIXED_PORTS
        self.config_paths, self.working_dir = files, ROOT


def is_accepting(port):
    try:
        connect(port, timeout=1).close()
        return True
    except OSError:
        return False


class ExampleCase(TestCase):
    def setUp(self):
        hold_fixed_ports(self)

    def claim(self, port):
        """A port that somebody else uses is no fault of the example."""
        try:
            wait_for(lambda: can_bind(port, HOST) and can_bind(port, "0.0.0.0"), 20, f"port {port} being free")
        except AssertionError:
            self.skipTest(f"port {port} is in use")

    def example(self, name):
        with open(os.path.join(ROOT, "examples", name, "README.md")) as f:
            readme = f.read()
        self.assertEqual(len(readme.strip().split("\n")), 6, "a title, an empty line, four lines")
        commands = re.findall(r"`([^`]*build/release/moongate[^`]*)`", readme)
        for port in self.echo_ports(commands):
            self.claim(port)
            process = start_process([moongate_bin(), "echo", "--listen", f"{HOST}:{port}"], os.devnull)
            self.addCleanup(process.wait)
            self.addCleanup(process.terminate)
            wait_for(lambda: is_accepting(port), 15, f"moongate echo on {port}")
        start = next(shlex.split(c) for c in commands if "moongate start" in c)
        return self.run_gateway([start[i + 1] for i, a in enumerate(start) if a == "-c"])

    def echo_ports(self, commands):
        for c in commands:
            if "moongate echo" in c:
                loop = re.search(r"for p in ([\d ]+);", c)
                yield from map(int, loop.group(1).split() if loop else re.findall(r"--listen 127\.0\.0\.1:(\d+)", c))

    def run_gateway(self, files):
        for port in FIXED_PORTS:
            self.claim(port)
        gw = AsWritten(files)
        self.addCleanup(gw.close)
        return gw.start()


@sanitized
class Examples(ExampleCase):
    def test_first_route(self):
        gw = self.example("first-route")
        r = gw.get("/api/orders?id=7")
        self.assertEqual(r.status, 200)
        self.assertIn(b"/orders", r.body)
        self.assertNotIn(b"/api/orders", r.body)
        self.assertEqual(gw.get("/elsewhere").status, 404)

    def test_own_plugin(self):
        gw = self.example("own-plugin")
        r = gw.get("/", {"X-Name": "Ada"})
        self.assertEqual((r.status, r.get("X-Greeting")), (200, "Hello, Ada"))
        self.assertIn(b"Ada", r.body)
        self.assertEqual(gw.get("/").status, 400)
        self.assertEqual(gw.get("/", {"X-Name": "Mallory"}).status, 403)

    def test_bff(self):
        gw = self.example("bff")
        r = gw.get("/api/iot/readings", {"apikey": "sensor-key"})
        self.assertEqual(r.status, 200)
        self.assertIn(b"/readings", r.body)
        self.assertEqual(gw.get("/api/iot/readings").status, 401)
        jwt = token({"key": "app-key", "exp": int(time.time()) + 60}, "example-secret-change-me-0123456789")
        r = gw.get("/api/mobile/feed", bearer(jwt))
        self.assertEqual((r.status, r.get("X-Content-Optimized")), (200, "mobile"))

    def test_jwt_consumer_groups(self):
        gw = self.example("jwt-consumer-groups")

        def ask(key, secret):
            return gw.get("/api/v1/orders/7", bearer(token({"key": key, "exp": int(time.time()) + 60}, secret)))
        r = ask("alice-key", "alice-example-secret-0123456789abcdef")
        self.assertEqual(r.status, 200)
        self.assertNotIn(b"Bearer", r.body, "the token stays at the gateway")
        bob = [ask("bob-key", "bob-example-secret-0123456789abcdef00").status for _ in range(4)]
        self.assertEqual(bob, [200, 200, 200, 429])
        self.assertEqual(ask("mallory-key", "mallory-example-secret-0123456789abc").status, 403)
        self.assertEqual(gw.get("/api/v1/orders/7").status, 401)

    def test_sliding_window(self):
        gw = self.example("sliding-window")
        answers = [gw.get("/", {"X-Client": "me"}) for _ in range(7)]
        self.assertEqual([r.status for r in answers], [200] * 5 + [429] * 2)
        left = [int(r.get("X-RateLimit-Remaining")) for r in answers[:5]]
        self.assertEqual(left, sorted(left, reverse=True))
        self.assertTrue(1 <= int(answers[5].get("Retry-After")) <= 10)
        self.assertEqual(gw.get("/", {"X-Client": "you"}).status, 200)

    def test_every_example_is_tested_and_passes_the_check_command(self):
        names = sorted(os.listdir(os.path.join(ROOT, "examples")))
        self.assertEqual(names, sorted(n[len("test_"):].replace("_", "-") for n in dir(self)
                                       if n.startswith("test_") and not n.startswith("test_every_")))
        for name in names:
            done = moongate("check", "-c", os.path.join(ROOT, "examples", name, "moongate.yaml"))
            self.assertEqual(done.returncode, 0, f"{name}: {done.stdout}{done.stderr}")


@sanitized
class Demo(ExampleCase):
    def test_does_what_its_comments_say(self):
        gw = self.run_gateway(["conf/moongate.yaml"])
        self.assertIn(b"Moongate is running", gw.get("/").body)
        self.assertEqual(gw.get("/hello/you").json()["message"], "Hello, you!")
        self.assertEqual([gw.get("/limited").status for _ in range(6)], [200] * 5 + [429])
        self.assertEqual(gw.get("/private").status, 401)
        self.assertEqual(gw.get("/private", {"apikey": "demo-key"}).body.strip(), b"you are known")
        self.assertEqual({gw.get("/flaky").status for _ in range(60)}, {200, 503})
        self.assertTrue(gw.get("/").get("X-Request-Id"))
        self.assertEqual(gw.metrics().status, 200)


if __name__ == "__main__":
    unittest.main()
