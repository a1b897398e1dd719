#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bodies for the Admin API that are nearly right: of every kind of resource, with one or two things wrong in each. An answer
is a success as APISIX's are, or an error that names the field; a refused one changes nothing, and no process ends."""

import json
import random
import unittest

from admin import AdminCase, mocking, nodes
from certificates import certificate
from harness import IS_FULL, Client, connect, full_size, request_bytes

CASES = 12000 if IS_FULL else 600
SEED = 11


def deep(depth, leaf=1):
    for i in range(depth):
        leaf = [leaf] if i % 2 else {"a": leaf}
    return leaf


# What stands where something else is expected. Texts among them are JSON as it is sent, since no value of Python's becomes them.
VALUES = [None, True, False, 0, -1, 2**31, 2**53 + 1, 1.5, "", "x" * 300, "x" * 70000, "\u0000", "a\u0000b", "\u202e\U0001f600\u00e9",
          "../..", "${x}", "$env://NONE", "$secret://vault/1/a/b", [], {}, [[]], [None], {"": ""}, {"a": {"b": []}}, {"__proto__": 1},
          deep(30), deep(200), [1] * 3000, {str(i): i for i in range(500)}]
RAW = ["1e400", "-1e400", "1" * 400, "0x10", "NaN", "-0", "1e-400", '"\\ud800"', '"\\u0000"', '"\xff"', "[" * 20000 + "]" * 20000]
MARK = "@@raw@@"
# With line and column; and what APISIX says of `ssls` and of an upstream's `key`, without a field.
WORDS = ("invalid request body: line ", "invalid configuration: then clause did not match", "type is chash, err: ")


class Fuzz:
    """Makes bodies from a right one."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def places(self, value, path=()):
        """Every place below the body where something else may stand."""
        out = [path] if path else []
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            out += self.places(item, path + (key,))
        return out

    def body(self, base):
        """Bytes, and the top-level field in which alone something is wrong; None when that cannot be said."""
        choice, copy = self.rng.random(), json.loads(json.dumps(base))
        if choice < 0.2:
            text = bytearray(json.dumps(base).encode())
            for _ in range(self.rng.randrange(1, 5)):
                text[self.rng.randrange(len(text))] = self.rng.randrange(256)
            return bytes(text), None
        if choice < 0.25:
            text = json.dumps(base).encode()
            return text[:self.rng.randrange(len(text))], None
        path = self.rng.choice(self.places(copy))
        at = copy
        for key in path[:-1]:
            at = at[key]
        if choice < 0.3 and isinstance(at, dict):       # the same name twice
            text = json.dumps({**copy, MARK: 0})
            return text.replace(f'"{MARK}": 0', f'"{path[0]}": {json.dumps(self.rng.choice(VALUES[:25]))}').encode(), path[0]
        if choice < 0.4:
            at[path[-1]] = MARK
            return json.dumps(copy).replace(f'"{MARK}"', self.rng.choice(RAW)).encode("latin-1"), path[0]
        if choice < 0.5 and isinstance(at, dict):
            del at[path[-1]]
            return json.dumps(copy).encode(), None  # what depends on it may be what is wrong then
        elif choice < 0.6 and isinstance(at, dict):
            at["x" * self.rng.choice([1, 64, 5000])] = self.rng.choice(VALUES)
            return json.dumps(copy).encode(), None
        else:
            at[path[-1]] = self.rng.choice(VALUES)
        return json.dumps(copy).encode(), path[0]


class NearlyRight(AdminCase):
    def setUp(self):
        super().setUp()
        shown = certificate("fuzz.test")
        self.put("/routes/kept", mocking("/kept", "kept"))
        self.put("/upstreams/u", nodes())
        self.put("/services/s", {"upstream": nodes()})
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}})
        upstream = {**nodes(), "timeout": {"connect": 1, "send": 1, "read": 1}, "retries": 1, "pass_host": "rewrite", "upstream_host": "a.test",
                    "checks": {"active": {"type": "http", "http_path": "/", "healthy": {"interval": 60, "successes": 1}}}, "labels": {"a": "b"}}
        limit = {"limit-count": {"count": 1, "time_window": 60, "key": "remote_addr", "rejected_code": 503}}
        self.bodies = {
            "/routes/f": {"uris": ["/f", "/f/*"], "methods": ["GET"], "hosts": ["f.test"], "vars": [["arg_a", "==", "1"]], "priority": 1,
                          "plugins": {"key-auth": {}, **limit}, "upstream": upstream, "timeout": {"connect": 1, "send": 1, "read": 1}, "name": "f"},
            "/services/f": {"hosts": ["f.test"], "plugins": limit, "upstream": upstream, "enable_websocket": True, "labels": {"a": "b"}},
            "/upstreams/f": {**upstream, "type": "chash", "hash_on": "header", "key": "X-A", "keepalive_pool": {"size": 1, "idle_timeout": 1, "requests": 1}},
            "/consumers": {"username": "fuzz", "plugins": {"key-auth": {"key": "f"}, "basic-auth": {"username": "f", "password": "p"}}, "labels": {"a": "b"}},
            "/consumers/jack/credentials/f": {"plugins": {"key-auth": {"key": "c"}}, "desc": "c"},
            "/consumer_groups/f": {"plugins": limit, "labels": {"a": "b"}},
            "/plugin_configs/f": {"plugins": {**limit, "proxy-rewrite": {"uri": "/x", "headers": {"set": {"X-A": "$remote_addr"}}}}, "desc": "f"},
            "/global_rules/f": {"plugins": {"cors": {"allow_origins": "*", "max_age": 5}}},
            "/ssls/f": {"snis": ["f.test"], "cert": shown.cert, "key": shown.key, "ssl_protocols": ["TLSv1.2"]},
            "/plugin_metadata/prometheus": {"metrics": {"http_status": {"extra_labels": [{"a": "$host"}]}}},
            "/secrets/vault/f": {"uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t"},
            "/protos/f": {"content": "syntax = \"proto3\"; message A { string b = 1; }"},
            "/services/s/graphql_cost_decorations/f": {"field_path": "Query.a"},
        }

    def hash(self):
        """Of everything that is served, and of everything that is stored."""
        state = self.gw.status()
        return state["snapshot"]["hash"], state["store"]["hash"], sorted(state["quarantined"])

    def call(self, client, method, path, body):
        client.send(request_bytes(method, "/apisix/admin" + path, {"X-API-KEY": self.key}, body))
        return client.read(method)

    def test_the_bodies_that_the_others_are_made_from_are_right(self):
        for path, body in self.bodies.items():
            self.put(path, body)

    @full_size
    def test_a_body_is_taken_or_refused_by_the_name_of_its_field_and_changes_nothing_then(self):
        fuzz, self.key = Fuzz(SEED), self.gw.admin_key()
        pids, before, refused, nameless = sorted(self.gw.descendants()), self.hash(), 0, []
        with Client(self.gw.admin_port, timeout=60) as client:
            for i in range(CASES):
                path = fuzz.rng.choice(list(self.bodies))
                body, field = fuzz.body(self.bodies[path])
                answer = self.call(client, "PUT", path, body)
                case = f"{i}: PUT {path} {body[:600]} {answer} {answer.body[:300]}"
                self.assertIn(answer.status, (200, 201, 400, 413), case)
                if answer.status < 300:
                    value = answer.json()["value"]
                    own = path if path != "/consumers" else "/consumers/" + value["username"]
                    self.assertEqual(self.call(client, "GET", own, b"").json().get("value"), value, case)
                    self.assertEqual(self.call(client, "DELETE", own, b"").status, 200, case)
                    before = self.hash()  # the code of its plugins stays
                    continue
                refused += 1
                said = answer.json()["error_msg"]
                if not said or (field is not None and not said.startswith(WORDS) and field.rstrip("s") not in said):
                    nameless.append(case)
                if refused % 20 == 0:
                    self.assertEqual(self.hash(), before, case)
        self.assertEqual(self.hash(), before)
        self.assertEqual(sorted(self.gw.descendants()), pids, "a process was restarted")
        self.assertEqual(nameless[:5], [], f"{len(nameless)} errors name no field")
        self.assertGreater(refused, CASES // 3)
        self.assertEqual(self.gw.get("/kept").body, b"kept")

    def test_a_reference_is_no_name(self):
        reference = "$env://NONE"
        self.assert_refused(self.admin("PUT", "/consumers", {**self.bodies["/consumers"], "username": reference}), 400, 'property "username"')
        self.assert_refused(self.admin("PUT", "/routes", {**self.bodies["/routes/f"], "id": reference}), 400, 'property "id"')

    def test_a_length_that_is_not_the_body_s_is_refused_and_changes_nothing(self):
        before, key = self.hash(), self.gw.admin_key()
        body = json.dumps(self.bodies["/routes/f"])
        for length in ("-1", "1x", "99999999999999999999", "0", "5", str(2**40), f"{len(body)}, 3"):
            head = f"PUT /apisix/admin/routes/f HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {key}\r\nContent-Length: {length}\r\n\r\n"
            with connect(self.gw.admin_port, timeout=20) as s:
                s.sendall((head + body).encode())
                s.settimeout(60)
                got = s.recv(65536)
            self.assertRegex(got, rb"^HTTP/1\.1 4\d\d ", f"{length}: {got[:200]}")
            self.assertEqual(self.hash(), before, length)


if __name__ == "__main__":
    unittest.main()
