# SPDX-License-Identifier: Apache-2.0
"""`moongate routes` and `moongate explain`: what they say is what the gateway does."""

import json
import os
import tempfile
import unittest

from harness import TestCase, moongate, sanitized, write_atomically

AUTH = {"key-auth": {}}


def says(name, **fields):
    """A route that answers with its own name."""
    plugins = {**fields.pop("plugins", {}), "mocking": {"response_example": name, "content_type": "text/plain"}}
    return {"id": name, "uri": "/orders/*", "plugins": plugins, **fields}


CONFIG = {
    "routes": [
        says("post", methods=["POST"]),
        says("vars", priority=5, vars=[["arg_x", "==", "1"], ["http_x_kind", "~~", "^b"]]),
        says("filter", priority=4, filter_func="function(vars) return vars.arg_y == '1' end"),
        says("address", priority=3, remote_addrs=["10.0.0.0/8"]),
        says("service", service_id="s", plugin_config_id="p", plugins={"proxy-rewrite": {"headers": {"X-A": "b"}}}),
        says("host", host="a.example"),
        says("exact", uri="/orders/7", host="*.b.example"),
        says("off", uri="/off", status=0),
    ],
    "services": [{"id": "s", "upstream": {"nodes": {"127.0.0.1:1": 1}}, "plugins": {"limit-count": {"count": 1000, "time_window": 60}}}],
    "plugin_configs": [{"id": "p", "plugins": {"response-rewrite": {"headers": {"set": {"X-B": "c"}}}}}],
    "global_rules": [{"id": "g", "plugins": {"request-id": {}}}],
    "consumers": [{"username": "alice", "plugins": {"key-auth": {"key": "k"}, "limit-count": {"count": 5, "time_window": 60}, "cors": {}}}],
}

# method, target, headers
REQUESTS = [
    ("GET", "/orders/1", {}),
    ("POST", "/orders/1", {}),
    ("GET", "/orders/1?x=1", {}),
    ("GET", "/orders/1?x=1", {"X-Kind": "big"}),
    ("GET", "/orders/1?x=1", {"x-kind": "small"}),
    ("GET", "/orders/1?y=1", {}),
    ("GET", "/orders/./7", {"Host": "a.example"}),
    ("GET", "/a/../orders/7", {"Host": "x.b.example:80"}),
    ("GET", "//orders//7", {"Host": "B.EXAMPLE"}),
    ("GET", "/off", {}),
    ("GET", "/ORDERS/1", {}),
    ("GET", "/orders%2F1", {}),
    ("GET", "/orders/%31", {}),
]


@sanitized
class Explain(TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "gate.yaml")
        write_atomically(self.path, json.dumps(CONFIG))

    def explain(self, method, target, headers=None, *more, at=None):
        argv = [a for name, value in (headers or {}).items() for a in ("-H", f"{name}: {value}")]
        done = moongate("explain", *(at or ["-c", self.path]), *argv, *more, "--json", method, target)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def reasons(self, answer):
        return {c["id"]: c["reason"] for c in answer["candidates"] if not c["is_taken"]}

    def test_names_the_route_that_the_gateway_takes(self):
        gw = self.serve(CONFIG, workers=1)
        for method, target, headers in REQUESTS:
            with self.subTest(f"{method} {target} {headers}"):
                answer = self.explain(method, target, headers, at=["-p", gw.run_dir])
                response = gw.request(method, target, headers)
                if answer["refused"]:
                    self.assertEqual(response.status, answer["refused"]["status"])
                elif answer["route"] is None:
                    self.assertEqual(response.status, 404)
                else:
                    self.assertEqual(response.body.decode(), answer["route"]["id"])
                    self.assertEqual([c["id"] for c in answer["candidates"] if c["is_taken"]], [answer["route"]["id"]])

    def test_says_why_better_routes_were_not_taken(self):
        answer = self.explain("GET", "/orders/7?x=1", {"X-Kind": "small"})
        self.assertEqual(self.reasons(answer), {
            "vars": 'vars: ["http_x_kind","~~","^b"] does not hold: `http_x_kind` is "small"',
            "filter": "filter_func: does not say true",
            "address": "remote_addr: 127.0.0.1 is in none of 10.0.0.0/8",
            "post": "method: GET is none of POST",
            "host": "host: localhost is none of a.example",
            "exact": "host: localhost is none of *.b.example",
        })
        self.assertEqual([c["id"] for c in answer["candidates"]][:4], ["vars", "filter", "address", "post"])
        self.assertEqual(self.explain("GET", "/orders/7", {}, "--from", "10.9.9.9")["route"]["id"], "address")

    def test_shows_the_canonical_path_and_what_is_refused(self):
        answer = self.explain("GET", "http://X.B.example:80/a/.././orders//%37?q=%2F")
        self.assertEqual(answer["request"], {"method": "GET", "target": "/a/.././orders//%37?q=%2F", "path": "/orders/7", "query": "q=%2F",
                                             "host": "x.b.example", "port": 80, "remote_addr": "127.0.0.1"})
        self.assertEqual(answer["route"]["id"], "exact")
        for target in ("/a%2Fb", "/a;b", "/../x", "/%zz"):
            self.assertEqual(self.explain("GET", target)["refused"]["status"], 400, target)
        self.assertEqual(self.explain("GET", "/", {"Host": "a b"})["refused"]["status"], 400)

    def test_lists_plugins_in_their_order_with_phase_and_source(self):
        def hooks(*more):
            answer = self.explain("GET", "/orders/1", {}, *more)
            return [(p["phase"], p["plugin"], p["source"]) for p in answer["plugins"]]
        self.assertEqual(hooks(), [
            ("rewrite", "request-id", "global rule g"),
            ("rewrite", "proxy-rewrite", "route service"),
            ("access", "mocking", "route service"),
            ("access", "limit-count", "service s"),
            ("header_filter", "request-id", "global rule g"),
            ("header_filter", "response-rewrite", "plugin_config p")])
        alices = hooks("--consumer", "alice")
        self.assertIn(("access", "limit-count", "consumer alice"), alices)
        self.assertIn(("header_filter", "cors", "consumer alice"), alices)
        self.assertNotIn(("access", "limit-count", "service s"), alices)

    def test_tells_the_upstream_and_prints_for_people(self):
        done = moongate("explain", "-c", self.path, "GET", "/orders/1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("upstream 127.0.0.1:1 (roundrobin)", done.stdout)
        self.assertRegex(done.stdout, r"post +/orders/\* +\* +not taken: method: GET is none of POST")
        self.assertRegex(done.stdout, r"access +limit-count +1002 +service s")

    def test_says_that_a_body_might_find_another_route(self):
        routes = [says("body", vars=[["post_arg.model", "==", "big"]]), says("graphql", vars=[["graphql_name", "==", "a"]])]
        write_atomically(self.path, json.dumps({"routes": [*routes, says("rest")]}))
        answer = self.explain("GET", "/orders/1")
        self.assertEqual((answer["route"]["id"], answer["body_variable"]), ("rest", "post_arg.model"))
        self.assertEqual(self.explain("GET", "/orders/1?query=query+a%7Bb%7D")["route"]["id"], "graphql")
        answer = self.explain("GET", "/orders/1?query=%7B")
        self.assertEqual((answer["route"], answer["fault"]["status"]), (None, 400))
        said = moongate("explain", "GET", "/orders/1", "-c", self.path).stdout
        self.assertIn("asked for `post_arg.model` of the body", said)

    def test_headers_that_only_the_gateway_may_set_do_not_count(self):
        config = {"routes": [says("inner", vars=[["http_x_consumer_username", "==", "root"]]), says("outer", uri="/*")]}
        write_atomically(self.path, json.dumps(config))
        self.assertEqual(self.explain("GET", "/orders/1", {"X-Consumer-Username": "root"})["route"]["id"], "outer")

    def test_references_are_resolved_with_the_variables_of_the_instance(self):
        plugins = {"basic-auth": {"realm": "$env://MOONGATE_REALM"}}
        gw = self.serve({"routes": [says("r", plugins=plugins)]}, env={"MOONGATE_REALM": "here"}, workers=1)
        answer = self.explain("GET", "/orders/1", at=["-p", gw.run_dir])
        self.assertEqual([p["plugin"] for p in answer["plugins"]], ["basic-auth", "mocking"])
        self.assertIsNone(answer["fault"])
        gw.stop()
        gw.env = {}
        gw.start()  # from the last good snapshot, whose route cannot serve now
        answer = self.explain("GET", "/orders/1", at=["-p", gw.run_dir])
        self.assertEqual((answer["route"]["id"], answer["plugins"], answer["fault"]["status"]), ("r", None, 503))
        self.assert_error(gw.get("/orders/1"), 503)

    def test_looking_changes_nothing(self):
        plugin = """local file = io.open("%s", "a"); return { version = 0.1, priority = 1, name = "marks", schema = { type = "object" },
          init = function() file:write("init") file:flush() end, access = function() end }"""
        marks = os.path.join(self.folder.name, "marks")
        gw = self.serve({"routes": [says("r", plugins={"marks": {}})]}, plugins={"marks": plugin % marks}, workers=1)

        def read():
            with open(marks) as f:
                return f.read()
        before, number = read(), gw.status()["snapshot"]["number"]
        self.assertEqual(self.explain("GET", "/orders/1", at=["-p", gw.run_dir])["route"]["id"], "r")
        self.assertEqual(read(), before)
        self.assertEqual(gw.status()["snapshot"]["number"], number)

    def test_wrong_use_is_explained(self):
        for argv, status, words in ((["explain", "GET"], 2, "name a method and a URL"),
                                    (["explain", "-c", self.path, "GET", "orders"], 1, "is no URL"),
                                    (["explain", "-c", self.path, "GET", "/", "-H", "bad"], 1, "'Name: value'"),
                                    (["explain", "-c", self.path, "GET", "/", "--from", "here"], 1, "--from here"),
                                    (["explain", "-c", self.path, "GET", "/", "--consumer", "bob"], 1, "no such consumer"),
                                    (["explain", "-c", self.path, "-p", "run", "GET", "/"], 1, "give one of them"),
                                    (["routes", "-p", self.folder.name], 1, "no instance runs"),
                                    (["routes", "-c", self.path + ".nix"], 1, ".nix")):
            done = moongate(*argv)
            self.assertEqual(done.returncode, status, argv)
            self.assertIn(words, done.stderr)


@sanitized
class Routes(TestCase):
    def test_lists_routes_in_matching_order_from_a_file_and_from_an_instance(self):
        gw = self.serve(CONFIG, workers=1)
        of_instance = json.loads(gw.run("routes", "--json").stdout)
        self.assertEqual(of_instance["snapshot"], gw.status()["snapshot"]["number"])
        self.assertEqual([r["id"] for r in of_instance["routes"]], ["host", "exact", "vars", "filter", "address", "post", "service"])
        of_file = json.loads(moongate("routes", "-c", gw.config_path, "--json").stdout)
        self.assertEqual(of_file["routes"], of_instance["routes"])
        service = of_file["routes"][-1]
        self.assertEqual(service, {"id": "service", "name": "", "uris": ["/orders/*"], "hosts": [], "methods": [], "priority": 0,
                                   "plugins": ["limit-count", "mocking", "proxy-rewrite", "response-rewrite"], "service": "s", "fault": None,
                                   "upstream": {"id": "service#s", "type": "roundrobin", "scheme": "http",
                                                "nodes": [{"address": "127.0.0.1:1", "weight": 1, "priority": 0}]}})

    def test_prints_a_table(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "gate.yaml")
            write_atomically(path, json.dumps(CONFIG))
            lines = moongate("routes", "-c", path).stdout.strip().split("\n")
        self.assertEqual(lines[0].split(), ["ID", "URIS", "HOSTS", "METHODS", "PRIORITY", "PLUGINS", "UPSTREAM"])
        self.assertEqual(len(lines), 8)
        self.assertRegex(lines[6], r"^post +/orders/\* +\* +POST +0 +mocking +none$")
        self.assertRegex(lines[7], r"127\.0\.0\.1:1 \(roundrobin\)$")

    def test_shows_what_an_instance_serves_and_not_what_its_file_holds(self):
        gw = self.serve({"routes": [says("good")]}, workers=1)
        gw.write_config("routes: [\n")
        gw.wait_log("refused")
        self.assertEqual([r["id"] for r in json.loads(gw.run("routes", "--json").stdout)["routes"]], ["good"])


if __name__ == "__main__":
    unittest.main()
