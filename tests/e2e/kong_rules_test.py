# SPDX-License-Identifier: Apache-2.0
"""Kong's rules for any declarative file: which route, which path upstream, which plugin; what is converted, what refused."""

import json
import os
import re
import tempfile
import unittest

from acceptance_test import read
from harness import TestCase, Upstream, describe, moongate, ok, sanitized


def file_of(test, text, suffix=".yml"):
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    path = os.path.join(folder.name, "kong" + suffix)
    with open(path, "w") as f:
        f.write(text)
    return path


@sanitized
class Routing(TestCase):
    """Which route a request finds. Each route answers with its name."""

    def gateway(self, *routes):
        lines = ["_format_version: '3.0'", "routes:"]
        for name, fields in routes:
            fields = {"name": name, **fields, "plugins": [{"name": "request-termination", "config": {"status_code": 200, "message": name}}]}
            lines.append("  - " + json.dumps(fields))
        return self.serve("\n".join(lines) + "\n")

    def check(self, gw, expected, target, method="GET", host="localhost", **headers):
        r = gw.request(method, target, {k.replace("_", "-"): v for k, v in headers.items()}, host=host)
        found = r.json()["message"] if r.status == 200 else r.status
        self.assertEqual(found, expected, f"{method} {host}{target} {headers}")

    def test_the_longest_prefix_wins_and_a_prefix_need_not_end_with_a_segment(self):
        gw = self.gateway(("short", {"paths": ["/a"]}), ("long", {"paths": ["/a/b"]}), ("star", {"paths": ["/s*r"]}))
        for target, expected in (("/a", "short"), ("/abc", "short"), ("/a/c", "short"), ("/a/b", "long"), ("/a/bc/d", "long"), ("/b", 404),
                                 ("/s*r/x", "star"), ("/sxr", 404)):
            self.check(gw, expected, target)

    def test_an_expression_comes_before_any_prefix_and_the_greater_priority_first(self):
        gw = self.gateway(("prefix", {"paths": ["/users/long/enough"]}), ("low", {"paths": ["~/users/\\w+"]}),
                          ("high", {"paths": ["~/users/l(o)ng$", "/other/much/longer/prefix"], "regex_priority": 5}))
        for target, expected in (("/users/long/enough", "low"), ("/users/long", "high"), ("/users/", 404), ("/x/users/long", 404),
                                 ("/other/much/longer/prefix", "high")):
            self.check(gw, expected, target)

    def test_more_kinds_of_conditions_win_over_longer_paths(self):
        gw = self.gateway(("path", {"paths": ["/a/very/long/one"]}), ("method", {"paths": ["/a"], "methods": ["POST"]}),
                          ("host", {"paths": ["/"], "hosts": ["h.test"]}),
                          ("host method", {"paths": ["/a/ver"], "hosts": ["h.test"], "methods": ["POST"]}),
                          ("header", {"paths": ["/"], "methods": ["POST"], "headers": {"X-Kind": ["big", "huge"]}}))
        long = "/a/very/long/one"
        self.check(gw, "path", long)
        self.check(gw, "method", long, "POST")
        self.check(gw, "host", long, host="h.test")
        self.check(gw, "host", long, host="H.test:8080")
        self.check(gw, "host method", long, "POST", host="h.test")
        self.check(gw, "header", long, "POST", X_Kind="BIG")
        self.check(gw, "method", long, "POST", X_Kind="small")
        self.check(gw, "host method", long, "POST", host="h.test", X_Kind="huge")

    def test_hosts_may_have_a_wildcard_and_plain_ones_win(self):
        gw = self.gateway(("left", {"paths": ["/aa"], "hosts": ["*.x.test"]}), ("right", {"paths": ["/"], "hosts": ["api.*"]}),
                          ("plain", {"paths": ["/"], "hosts": ["api.x.test"]}))
        self.check(gw, "plain", "/aa", host="api.x.test")
        self.check(gw, "left", "/aa", host="b.c.x.test")
        self.check(gw, "right", "/aa", host="api.org")
        self.check(gw, 404, "/aa", host="x.test")
        self.check(gw, 404, "/aa", host="other.org")

    def test_more_headers_win_and_values_may_be_expressions(self):
        gw = self.gateway(("one", {"headers": {"a": ["1"]}}), ("two", {"headers": {"a": ["1"], "b": ["~*^x\\d"]}}))
        self.check(gw, "one", "/", a="1")
        self.check(gw, "two", "/", a="1", b="X7")
        self.check(gw, "one", "/", a="1", b="y7")
        self.check(gw, 404, "/", a="11")

    def test_paths_are_stripped_and_joined_as_kong_does(self):
        up = self.upstream()
        cases = [  # service path, route path, strip, request, upstream
            ("/", "/p", True, "/p", "/"), ("/", "/p", True, "/p/", "/"), ("/", "/p", True, "/p/x", "/x"), ("/", "/p", True, "/px", "/x"),
            ("/", "/p", False, "/p/x", "/p/x"), ("/s", "/p", True, "/p", "/s"), ("/s", "/p", True, "/p/", "/s/"), ("/s", "/p", True, "/px", "/s/x"),
            ("/s", "/p", False, "/p/x?q=1", "/s/p/x?q=1"), ("/s/", "/p/", True, "/p/x", "/s/x"), ("/s/", "/p", True, "/p", "/s"),
            ("/s", "/", True, "/", "/s"), ("/s", "/", True, "/x", "/s/x"), ("/$1", "/p", True, "/p/x", "/$1/x"),
            ("/s", "~/p/(\\d+)", True, "/p/12/x", "/s/x"), ("/s", "~/p/(\\d+)$", True, "/p/12", "/s"),
            ("/s", "~/p/\\d+/", True, "/p/12/", "/s/"), ("/s/", "~/p/\\d+/?", True, "/p/12/", "/s/"), ("/s/", "~/p/\\d+/?", True, "/p/12", "/s"),
            ("/s", "~/p/\\d+/", True, "/p/12/x", "/s/x"), ("/", "~/p/\\d+/", True, "/p/12/", "/"), ("/s", "~/p/.*", True, "/p/12/x", "/s"), ("/", "/p.x", True, "/p.x/y", "/y"),
        ]
        services = [{"name": f"s{i}", "host": up.host, "port": up.port, "path": service,
                     "routes": [{"name": f"r{i}", "hosts": [f"h{i}.test"], "paths": [path.replace("\\\\", "\\")], "strip_path": strip}]}
                    for i, (service, path, strip, _, _) in enumerate(cases)]
        gw = self.serve(json.dumps({"_format_version": "3.0", "services": services}))
        for i, (service, path, strip, target, expected) in enumerate(cases):
            self.assertEqual(gw.get(target, host=f"h{i}.test").status, 200)
            self.assertEqual(up.last().target, expected, f"service {service}, route {path}, strip {strip}, request {target}")

    def test_paths_are_joined_without_a_slash_where_the_route_says_v1(self):
        up = self.upstream()
        cases = [  # service path, route path, strip, request, upstream
            ("/", "/p", True, "/p", "/"), ("/", "/p", True, "/p/", "/"), ("/", "/p", True, "/px", "/x"), ("/", "/p", False, "/p/x", "/p/x"),
            ("/s", "/p", True, "/p", "/s"), ("/s", "/p", True, "/p/", "/s/"), ("/s", "/p", True, "/px?q=1", "/sx?q=1"), ("/s", "/p", False, "/px", "/spx"),
            ("/s/", "/p", True, "/p", "/s/"), ("/s/", "/p", True, "/p/", "/s/"), ("/s/", "/p", True, "/px", "/s/x"), ("/s/", "/p", False, "/p", "/s/p"),
            ("/s", "/p/", True, "/p/x", "/sx"), ("/s", "/p/", True, "/p/", "/s"), ("/s", "/", True, "/x", "/sx"), ("/s", "/", False, "/", "/s"),
            ("/s", "~/p/(\\d+)", True, "/p/12/x", "/s/x"), ("/$1", "/p", True, "/px", "/$1x"),
        ]
        services = [{"name": f"s{i}", "host": up.host, "port": up.port, "path": service,
                     "routes": [{"name": f"r{i}", "hosts": [f"h{i}.test"], "paths": [path], "strip_path": strip, "path_handling": "v1"}]}
                    for i, (service, path, strip, _, _) in enumerate(cases)]
        gw = self.serve(json.dumps({"_format_version": "3.0", "services": services}))
        for i, (service, path, strip, target, expected) in enumerate(cases):
            self.assertEqual(gw.get(target, host=f"h{i}.test").status, 200)
            self.assertEqual(up.last().target, expected, f"service {service}, route {path}, strip {strip}, request {target}")

    def test_the_host_is_the_services_unless_it_is_preserved(self):
        up = self.upstream()
        routes = [{"name": "a", "paths": ["/a"]}, {"name": "b", "paths": ["/b"], "preserve_host": True}]
        gw = self.serve(json.dumps({"_format_version": "3.0", "services": [{"name": "s", "url": f"http://named.test:{up.port}", "routes": routes}]}),
                        moongate={"dns": {"hosts": {"named.test": up.host}}})
        gw.get("/a", host="client.test")
        self.assertEqual(up.last().get("Host"), f"named.test:{up.port}")
        gw.get("/b", host="client.test")
        self.assertEqual(up.last().get("Host"), "client.test")

    def test_https_only_routes_redirect_when_told(self):
        gw = self.gateway(("tls", {"paths": ["/t"], "protocols": ["https"], "https_redirect_status_code": 308}),
                          ("plain", {"paths": ["/p"], "protocols": ["http"]}))
        r = gw.get("/t/x?a=b", host="h.test")
        self.assertEqual((r.status, r.get("Location")), (308, "https://h.test/t/x?a=b"))
        self.check(gw, "plain", "/p")


@sanitized
class Scopes(TestCase):
    """The plugin of the narrowest scope wins, and one that is switched off hides nothing."""

    def test_consumer_route_service_global(self):
        def limit(n):
            return {"name": "rate-limiting", "config": {"minute": n, "policy": "local"}}
        up = self.upstream(ok("ok"))
        config = {"_format_version": "3.0",
                  "services": [{"name": "s", "url": f"http://{up.node}", "plugins": [limit(20), {"name": "key-auth"}],
                                "routes": [{"name": "a", "paths": ["/a"]}, {"name": "b", "paths": ["/b"], "plugins": [limit(30)]},
                                           {"name": "c", "paths": ["/c"], "plugins": [{**limit(1), "enabled": False}, {"name": "key-auth", "enabled": False}]}]},
                               {"name": "t", "url": f"http://{up.node}", "routes": [{"name": "d", "paths": ["/d"]}]}],
                  "consumers": [{"username": "ann", "custom_id": "7", "keyauth_credentials": [{"key": "ann-key"}], "plugins": [limit(40)]},
                                {"username": "bob", "acls": [{"group": "admins"}], "tags": ["staff"]}],
                  "keyauth_credentials": [{"key": "bob-key", "consumer": "bob"}],
                  "routes": [{"name": "e", "paths": ["/e"], "service": {"name": "t"}}],
                  "plugins": [limit(10), {"name": "acl", "route": "e", "config": {"allow": ["admins"]}},
                              {"name": "key-auth", "route": "e", "config": {"key_names": ["x-key"], "key_in_query": False, "hide_credentials": True}}]}
        gw = self.serve(json.dumps(config))

        def limited(path, key=None, name="apikey"):
            r = gw.get(path, {name: key} if key else {})
            return r.get("X-RateLimit-Limit-Minute") if r.status == 200 else r.status
        self.assertEqual([limited("/a", "bob-key"), limited("/b", "bob-key"), limited("/c", "bob-key"), limited("/d")], ["20", "30", "20", "10"])
        self.assertEqual([limited("/a", "ann-key"), limited("/b", "ann-key")], ["40", "40"])
        self.assertEqual(up.last().get("X-Consumer-Custom-ID"), "7")
        self.assertEqual([limited("/a"), limited("/c"), limited("/c?apikey=bob-key")], [401, 401, "20"])
        self.assertEqual([limited("/e", "ann-key", "x-key"), limited("/e", "bob-key", "x-key"), limited("/e?x-key=bob-key"), limited("/e")], [403, "10", 401, 401])
        self.assertEqual((up.last().get("x-key"), up.last().get("X-Consumer-Groups")), (None, "admins"))


class Convert(TestCase):
    def test_the_yaml_is_what_the_file_is(self):
        folder = os.path.dirname(file_of(self, ""))
        for name in ("kong-breaker.yml", "kong-production.yml", "kong-rate-limit.yml"):
            with self.subTest(file=name):
                source = file_of(self, read(name))
                done = moongate("convert", "kong", source)
                self.assertEqual(done.returncode, 0, done.stderr)
                made = os.path.join(folder, name + ".yaml")
                with open(made, "w") as f:
                    f.write(done.stdout)
                listed = [json.loads(moongate("routes", "-c", p, "--json").stdout) for p in (source, made)]
                strip = [re.sub(r'"[^"]*:\d+"', '""', json.dumps(x)) for x in listed]
                self.assertEqual(strip[0], strip[1])
                self.assertEqual(moongate("check", "-c", made).stdout, moongate("check", "-c", source).stdout)

    def test_what_is_lost_is_listed_and_fails(self):
        path = file_of(self, read("kong-oidc.yml"))
        done = moongate("convert", "kong", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"#   lost: {path}:9: plugins[0]: openid-connect", done.stdout)
        self.assertIn(f"lost: {path}:9: plugins[0]", done.stderr)

    def test_a_file_of_version_2_1_serves_its_expressions_without_a_mark(self):
        with Upstream(describe) as up:
            routes = [{"name": "one", "paths": [r"/items/\d+$"], "strip_path": False}, {"name": "all", "paths": ["/items"]}]
            gw = self.serve(json.dumps({"_format_version": "2.1", "_transform": True, "services": [
                {"name": "s", "url": f"http://127.0.0.1:{up.port}", "routes": routes}]}))
            self.assertEqual(gw.get("/items/7").json()["target"], "/items/7")
            self.assertEqual(gw.get("/items/x").json()["target"], "/x")

    def test_another_file_is_refused(self):
        path = file_of(self, "routes: []\n")
        done = moongate("convert", "kong", path)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("_format_version: missing", done.stderr)
        self.assertEqual(moongate("convert", "nginx", path).returncode, 2)
        self.assertEqual(moongate("convert", "kong").returncode, 2)


class Refusals(TestCase):
    def test_everything_that_cannot_be_is_named_with_its_line(self):
        path = file_of(self, """_format_version: '3.0'
services:
  - name: a
    url: http://127.0.0.1:1
    plugins:
      - name: oauth2
      - {name: rate-limiting, config: {minute: 1, policy: cluster}}
    routes:
      - {name: r, paths: [/a], path_handling: v2, snis: [x.test]}
plugins:
  - {name: key-auth, service: nobody}
""")
        done = moongate("check", "-c", path)
        self.assertEqual(done.returncode, 1)
        for line, text in ((6, "services[0].plugins[0].name"), (9, "services[0].routes[0].path_handling"), (9, "services[0].routes[0].snis"),
                           (11, "plugins[0].service")):
            self.assertRegex(done.stderr, re.escape(f"{path}:{line}: {text}"))

    def test_what_a_plugin_refuses_is_named_with_kongs_line(self):
        path = file_of(self, """_format_version: '3.0'
services:
  - name: a
    url: http://127.0.0.1:1
    plugins:
      - {name: rate-limiting, config: {minute: 1, policy: cluster}}
    routes: [{name: r, paths: [/a]}]
""")
        done = moongate("check", "-c", path)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, re.escape(path) + r":6: services\[0\].plugins.kong-rate-limiting.*policy")


if __name__ == "__main__":
    unittest.main()
