# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Admin API share: a gateway without resources of its own, and calls with its key."""

import json

from harness import ClosedError, TestCase, WireError, request, wait_for


def mocking(uri, text):
    """A route that answers by itself."""
    return {"uri": uri, "plugins": {"mocking": {"response_example": text, "content_type": "text/plain", "with_mock_header": False}}}


def picky(init="", name="picky"):
    """Source of a plugin that control finds right, and that no worker takes when its init() fails."""
    return f"""return {{ version = 0.1, priority = 1, name = "{name}", schema = {{ type = "object" }},
        init = function() {init} end,
        access = function() return 200, "{name}" end }}"""


def nodes(address="127.0.0.1:1"):
    return {"type": "roundrobin", "nodes": {address: 1}}


class AdminCase(TestCase):
    config = {"routes": []}
    more = {}

    def setUp(self):
        self.gw = self.serve(self.config, **self.more)

    def restart(self):
        """Ends the gateway and starts it again on the same folder."""
        self.gw.stop()
        self.gw.start()

    def admin(self, method, path, body=None, headers=None):
        """`body` is text or bytes as they are, or what is to be JSON."""
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        return request(self.gw.admin_port, method, "/apisix/admin" + path, {"X-API-KEY": self.gw.admin_key(), **(headers or {})}, data)

    def put(self, path, body):
        done = self.admin("PUT", path, body)
        self.assertIn(done.status, (200, 201), f"PUT {path}: {done} {done.body}")
        return done

    def answers(self):
        """Whether the API answers; it may be down, or full, for a moment."""
        try:
            return self.admin("GET", "/routes").status == 200
        except (OSError, WireError, ClosedError):
            return False

    def wait(self, condition, what):
        return wait_for(condition, 10.0, what)

    def assert_refused(self, answer, status, text):
        self.assertEqual(answer.status, status, f"{answer} {answer.body}")
        self.assertIn(text, answer.json()["error_msg"])
