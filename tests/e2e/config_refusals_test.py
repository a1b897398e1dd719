# SPDX-License-Identifier: Apache-2.0
"""Whatever would make a resource answer 503 is refused when the file is read: with file, line, field and a remedy.

Each case is a configuration with one mistake: the text that stands on the faulty line, the field as it is named, and words
the message must have. All of them are given to `moongate check` and, one after the other, to a gateway that serves.
"""

import json
import os
import re
import tempfile
import unittest

from certificates import certificate
from harness import TestCase, moongate, sanitized, write_atomically

NODES = {"127.0.0.1:1": 1}
KEY = "0123456789abcdef0123456789abcdef"


def of_route(**fields):
    return {"routes": [{"id": "r", "uri": "/faulty", "upstream": {"nodes": NODES}, **fields}]}


def of_upstream(**fields):
    return of_route(upstream={"nodes": NODES, **fields})


def of_consumers(plugin, **conf):
    return {"consumers": [{"username": name, "plugins": {plugin: {**conf, "note": name}}} for name in ("first", "second")]}


def with_plugins(plugins):
    return {"routes": [{"id": "r", "uri": "/faulty", "plugins": plugins}]}


DEEP = ["a", "==", "b"]
for _ in range(40):
    DEEP = ["AND", DEEP, ["c", "==", "d"]]

# name: (configuration, text on the faulty line, field, words)
CASES = {
    "operator of vars": (of_route(vars=[["uri", "~~~", "x"]]), '"vars"', "routes[0].vars", ["invalid operator '~~~'", "operators are =="]),
    "regex of vars": (of_route(vars=["OR", ["a", "==", "b"], ["uri", "~~", "(x"]]), '"vars"', "routes[0].vars", ["closing parenthesis", "(x"]),
    "caseless regex of vars": (of_route(vars=[["uri", "~*", "[x"]]), '"vars"', "routes[0].vars", ["[x"]),
    "address of vars": (of_route(vars=[["remote_addr", "ipmatch", ["1.2.3.400"]]]), '"vars"', "routes[0].vars", ["1.2.3.400"]),
    "brackets of vars": (of_route(vars=["a", "==", "b"]), '"vars"', "routes[0].vars", ["wrapped inside brackets", '[["arg_x", "==", "1"]]']),
    "depth of vars": (of_route(vars=[DEEP]), '"vars"', "routes[0].vars", ["invalid expression"]),
    "variable of vars": (of_route(vars=[[1, "==", "b"]]), '"vars"', "routes[0].vars", ["invalid expression"]),
    "filter of a plugin": (with_plugins({"mocking": {"response_example": "x", "_meta": {"filter": [["uri", "~~", "("]]}}}),
                           '"filter"', "routes[0].plugins.mocking._meta.filter", ["closing parenthesis"]),
    "filter_func": (of_route(filter_func="function(vars) return +"), '"filter_func"', "routes[0].filter_func", ["failed to load"]),
    "address": (of_route(remote_addr="1.2.3.400"), '"remote_addr"', "routes[0].remote_addr", ["10.0.0.0/8"]),
    "network": (of_route(remote_addr="300.2.3.4/8"), '"remote_addr"', "routes[0].remote_addr", ["300.2.3.4/8", "10.0.0.0/8"]),
    "network in a list": (of_route(remote_addrs=["1.2.3.4", "::::::/8"]), '"::::::/8"', "routes[0].remote_addrs[1]", ["10.0.0.0/8"]),
    "parameters of a path": (of_route(uri="/" + "*/" * 20), '"uri"', "routes[0].uri", ["more than 16"]),
    "named parameters": ({"moongate": {"router": "radixtree_uri_with_parameter"}, **of_route(uri="".join(f"/:p{i}" for i in range(17)))},
                         '"uri"', "routes[0].uri", ["more than 16"]),
    "empty path": (of_route(uri=""), '"uri"', "routes[0].uri", ["too short"]),
    "port of a host": (of_route(hosts=["a.com", "b.com:99999"]), '"b.com:99999"', "routes[0].hosts[1]", ["NAME:PORT"]),
    "wildcard within a host": (of_route(host="a.*.com"), '"host"', "routes[0].host", ["*.NAME"]),
    "brackets of a host": (of_route(host="[::1"), '"host"', "routes[0].host", ["[IPV6]:PORT"]),
    "host of a service": ({"services": [{"id": "s", "hosts": ["a.com:0x1"], "upstream": {"nodes": NODES}}], "routes": []},
                          '"a.com:0x1"', "services[0].hosts[0]", ["NAME:PORT"]),
    "balancer": (of_upstream(type="robin"), '"type"', "routes[0].upstream.type", ["robin", "roundrobin"]),
    "balancer of a service": ({"services": [{"id": "s", "upstream": {"type": "robin", "nodes": NODES}}], "routes": [{"uri": "/faulty", "service_id": "s"}]},
                              '"type"', "services[0].upstream.type", ["roundrobin"]),
    "balancer of an upstream": ({"upstreams": [{"id": "u", "type": "robin", "nodes": NODES}], "routes": [{"uri": "/faulty", "upstream_id": "u"}]},
                                '"type"', "upstreams[0].type", ["roundrobin"]),
    "scheme": (of_upstream(scheme="kafka"), '"scheme"', "routes[0].upstream.scheme", ["kafka"]),
    "discovery": (of_route(upstream={"service_name": "x", "discovery_type": "zookeeper"}), '"discovery_type"', "routes[0].upstream.discovery_type", ["zookeeper", "write nodes"]),
    "length of a socket's path": (of_route(upstream={"nodes": {"unix:/" + "x" * 200: 1}}), '"unix:/', "routes[0].upstream.nodes.unix:/", ["107 bytes"]),
    "name of a node": (of_route(upstream={"nodes": {"bad host:80": 1}}), '"bad host:80"', "routes[0].upstream.nodes.bad host:80", ["HOST:PORT"]),
    "port of a node": (of_route(upstream={"nodes": {"127.0.0.1:0": 1}}), '"127.0.0.1:0"', "routes[0].upstream.nodes.127.0.0.1:0", ["port"]),
    "key of chash": (of_upstream(type="chash"), '"upstream"', "routes[0].upstream.key", ["missing key", "remote_addr"]),
    "host to rewrite to": (of_upstream(pass_host="rewrite"), '"upstream"', "routes[0].upstream.upstream_host", ["can't be empty"]),
    "no upstream of that id": ({"upstreams": [{"id": "orders", "nodes": NODES}], "routes": [{"uri": "/faulty", "upstream_id": "order"}]},
                               '"upstream_id"', "routes[0].upstream_id", ["order", "did you mean `orders`?"]),
    "no service of that id": ({"services": [{"id": "orders", "upstream": {"nodes": NODES}}], "routes": [{"uri": "/faulty", "service_id": "ordres"}]},
                              '"service_id"', "routes[0].service_id", ["did you mean `orders`?"]),
    "no plugin_config of that id": ({"plugin_configs": [{"id": "auth", "plugins": {}}], **of_route(plugin_config_id="aut")},
                                    '"plugin_config_id"', "routes[0].plugin_config_id", ["did you mean `auth`?"]),
    "no upstream for a service": ({"services": [{"id": "s", "upstream_id": "u"}], "routes": []}, '"upstream_id"', "services[0].upstream_id", ["there are none"]),
    "no consumer group of that id": ({"consumer_groups": [{"id": "gold", "plugins": {}}], "consumers": [{"username": "a", "group_id": "glod"}]},
                                     '"group_id"', "consumers[0].group_id", ["there are gold"]),
    "no consumer for a credential": ({"consumers": [{"username": "alice"}, {"id": "bob/credentials/1", "plugins": {"key-auth": {"key": "k"}}}]},
                                     '"bob/credentials/1"', "consumers[1].id", ["no consumer bob"]),
    "unknown plugin of a consumer": ({"consumers": [{"username": "a", "plugins": {"key-auht": {"key": "k"}}}]}, '"key-auht"',
                                     "consumers[0].plugins.key-auht", ["did you mean `key-auth`?"]),
    "unknown plugin of a group": ({"consumer_groups": [{"id": "g", "plugins": {"limit-cuont": {}}}]}, '"limit-cuont"',
                                  "consumer_groups[0].plugins.limit-cuont", ["did you mean `limit-count`?"]),
    "two of one key": (of_consumers("key-auth", key="k"), '"key"', "consumers[1].plugins.key-auth.key", ["duplicate key", "first (", "moongate.yaml:"]),
    "two of one user name": (of_consumers("basic-auth", username="u", password="p"), '"username": "u"', "consumers[1].plugins.basic-auth.username",
                             ["duplicate username", "first (", "moongate.yaml:"]),
    "two of one token's key": (of_consumers("jwt-auth", key="k", secret=KEY), '"key"', "consumers[1].plugins.jwt-auth.key", ["duplicate key", "first ("]),
    "a key of a credential": ({"consumers": [{"username": "a", "plugins": {"key-auth": {"key": "k"}}}, {"username": "b"},
                                             {"id": "b/credentials/c", "plugins": {"key-auth": {"key": "k"}}}]},
                              '"key"', "consumers[2].plugins.key-auth.key", ["duplicate key", "a ("]),
    "a variable that is not set": (with_plugins({"mocking": {"response_example": "$env://MOONGATE_IS_NOT_SET"}}), "$env://",
                                   "routes[0].plugins.mocking.response_example", ["MOONGATE_IS_NOT_SET", "not set"]),
    "a variable without that member": (with_plugins({"mocking": {"response_example": "$ENV://MOONGATE_JSON/b"}}), "$ENV://",
                                       "routes[0].plugins.mocking.response_example", ["MOONGATE_JSON", "no `b`"]),
    "a member of no object": (with_plugins({"mocking": {"response_example": "$env://MOONGATE_TEXT/b"}}), "$env://",
                              "routes[0].plugins.mocking.response_example", ["no JSON object"]),
    "a reference without a name": (with_plugins({"mocking": {"response_example": "$env://"}}), "$env://", "routes[0].plugins.mocking.response_example",
                                   ["names no variable"]),
    "a secret manager": ({"consumers": [{"username": "a", "plugins": {"key-auth": {"key": "$secret://aws/1/a/b"}}}]}, "$secret://",
                         "consumers[0].plugins.key-auth.key", ["secrets of aws are not supported", "$env://NAME"]),
    "a reference for a name": ({"consumers": [{"username": "$env://MOONGATE_TEXT", "plugins": {"key-auth": {"key": "a"}}}]}, "$env://",
                               "consumers[0].username", ["expected a name", "write the name itself"]),
    "a reference for an id": (of_route(id="$env://MOONGATE_TEXT"), "$env://", "routes[0].id", ["expected a name"]),
    "a resolved value its plugin refuses": (with_plugins({"ip-restriction": {"whitelist": ["$env://MOONGATE_TEXT"]}}), '"ip-restriction"',
                                            "routes[0].plugins.ip-restriction", ["invalid ip address: $env://MOONGATE_TEXT"]),
}
ENVIRONMENT = {"MOONGATE_JSON": '{"a": "1"}', "MOONGATE_TEXT": "text"}


def last_line_with(text, needle):
    return max(number for number, line in enumerate(text.split("\n"), 1) if needle in line)


@sanitized
class Refusals(TestCase):
    def assert_names(self, said, text, case, path):
        _, needle, field, words = case
        expected = f"{path}:{last_line_with(text, needle)}: {field}"
        lines = [line for line in said.split("\n") if expected in line]
        self.assertEqual(len(lines), 1, f"{expected}\n--- said\n{said}")
        for word in words:
            self.assertIn(word, lines[0])

    def test_check_names_file_line_field_and_remedy(self):
        for name, case in CASES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "moongate.yaml")
                text = json.dumps(case[0], indent=1)
                write_atomically(path, text)
                done = moongate("check", "-c", path, env=ENVIRONMENT)
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assert_names(done.stdout + done.stderr, text, case, path)

    def test_a_gateway_refuses_them_all_and_serves_on(self):
        good = {"routes": [{"id": "good", "uri": "/good", "plugins": {"mocking": {"response_example": "good", "content_type": "text/plain"}}}]}
        gw = self.serve(good, workers=1, env=ENVIRONMENT)
        before = gw.status()["snapshot"]["number"]
        for name, case in CASES.items():
            with self.subTest(name):
                text = json.dumps({k: v for k, v in case[0].items() if k != "moongate"}, indent=1)
                if "moongate" in case[0]:
                    continue  # the router of a running gateway comes from the harness's overlay
                gw.write_config(text)
                done = gw.reload()
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assert_names(done.stdout + done.stderr, text, case, gw.config_path)
                self.assertEqual(gw.get("/good").body, b"good")
        self.assertEqual(gw.status()["snapshot"]["number"], before)


@sanitized
class ManyAlike(TestCase):
    """Of routes that are the same but for names and paths one is judged for all; what is wrong is told for each."""

    def faults(self, wrong):
        """Of forty routes alike, `wrong` has what is different about some, by their index: what check says, by index."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            lines = [json.dumps({"id": f"r{i}", "uri": f"/r{i}", "plugins": {"key-auth": {}}, "upstream": {"nodes": {"127.0.0.1:1": 1}}, **wrong.get(i, {})})
                     for i in range(40)]
            write_atomically(path, "routes:\n" + "".join(f"  - {line}\n" for line in lines))
            done = moongate("check", "-c", path)
            told = re.findall(rf"^{re.escape(path)}:(\d+): routes\[(\d+)\]([^:]*): ", done.stderr, re.M)
            self.assertEqual((done.returncode, len(told)), (1, done.stderr.count(path)), done.stderr)
            self.assertEqual([int(line) for line, _, _ in told], [int(index) + 2 for _, index, _ in told], done.stderr)
            return [(int(index), field) for _, index, field in told]

    def test_names_paths_and_hosts_are_judged_for_each(self):
        wrong = {7: {"uri": ""}, 9: {"host": "no host"}, 11: {"host": "fine"}, 21: {"id": "no id"}, 30: {"name": ""}, 39: {"desc": "x" * 300}}
        self.assertEqual(self.faults(wrong), [(7, ".uri"), (9, ".host"), (21, ".id"), (30, ".name"), (39, ".desc")])

    def test_what_is_wrong_with_all_of_a_form_is_told_for_each_of_them(self):
        wrong = {i: {"plugins": {"key-auth": {"header": 7}}} for i in (3, 4, 38)}
        self.assertEqual(self.faults({**wrong, 5: {"uri": ""}}), [(3, ".plugins.key-auth.header"), (4, ".plugins.key-auth.header"), (5, ".uri"),
                                                                  (38, ".plugins.key-auth.header")])

    def test_a_field_that_is_nowhere_known_is_told_for_each(self):
        self.assertEqual([index for index, _ in self.faults({i: {"colour": "red"} for i in (0, 1, 39)})], [0, 1, 39])


@sanitized
class References(TestCase):
    def test_a_conf_and_a_credential_get_what_the_variable_holds(self):
        gw = self.serve({"routes": [{"id": "r", "uri": "/*", "plugins": {
            "key-auth": {}, "mocking": {"response_example": "$ENV://MOONGATE_JSON/greeting", "content_type": "text/plain"}}}],
            "consumers": [{"username": "a", "plugins": {"key-auth": {"key": "$env://MOONGATE_KEY"}}}]},
            env={"MOONGATE_KEY": "from-outside", "MOONGATE_JSON": '{"greeting": "hello"}'})
        self.assertEqual(gw.get("/", {"apikey": "from-outside"}).body, b"hello")
        self.assertEqual(gw.get("/", {"apikey": "$env://MOONGATE_KEY"}).status, 401)

    def test_what_a_variable_holds_is_not_written_to_disk(self):
        gw = self.serve({"routes": [], "consumers": [{"username": "a", "plugins": {"key-auth": {"key": "$env://MOONGATE_KEY"}}}]},
                        env={"MOONGATE_KEY": "never-on-disk"})
        for folder, _, names in os.walk(gw.run_dir):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        self.assertNotIn(b"never-on-disk", f.read(), path)

    def test_a_route_whose_variable_is_gone_answers_503_and_does_not_open(self):
        plugins = {"basic-auth": {"realm": "$env://MOONGATE_REALM"}, "mocking": {"response_example": "open"}}
        gw = self.serve({"routes": [{"id": "r", "uri": "/*", "plugins": plugins}]}, env={"MOONGATE_REALM": "here"})
        gw.stop()
        gw.env = {}
        gw.start()  # the file is refused now; the last good snapshot is served instead
        gw.wait_log("MOONGATE_REALM is not set")
        self.assert_error(gw.get("/"), 503)

    def test_two_consumers_may_not_share_a_key_behind_a_reference(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            write_atomically(path, json.dumps({"consumers": [{"username": "a", "plugins": {"key-auth": {"key": "$env://MOONGATE_KEY"}}},
                                                             {"username": "b", "plugins": {"key-auth": {"key": "same"}}}]}))
            done = moongate("check", "-c", path, env={"MOONGATE_KEY": "same"})
            self.assertEqual(done.returncode, 1)
            self.assertIn("duplicate key of plugin key-auth found with consumer: a", done.stderr)


@sanitized
class Warnings(TestCase):
    def test_a_path_that_nothing_is_like_is_warned_about(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            write_atomically(path, "routes:\n  - uri: hello\n    upstream: {nodes: {'127.0.0.1:1': 1}}\n")
            done = moongate("check", "-c", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("moongate.yaml:2: routes[0].uri", done.stderr)
            self.assertIn("did you mean `/hello`?", done.stderr)

    def test_sections_that_nothing_serves_are_warned_about(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            write_atomically(path, "stream_routes:\n  - {server_port: 9100, upstream: {nodes: {'127.0.0.1:1': 1}}}\n")
            done = moongate("check", "-c", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("moongate.yaml:2: stream_routes[0]: stream routes are not in this version", done.stderr)

    def test_health_checks_that_would_ask_something_else_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            for active, fault in [("{http_path: '/up HTTP/1.0'}", "checks.active.http_path: expected a path that begins with /"),
                                  ("{req_headers: [\"A: b\\r\\nC: d\"]}", "checks.active.req_headers: expected texts of the form"),
                                  ("{http_method: 'GET /x'}", "http_method"),
                                  ("{healthy: {enabled: 7}}", "enabled")]:
                write_atomically(path, f"routes:\n  - uri: /a\n    upstream:\n      nodes: {{'127.0.0.1:1': 1}}\n      checks: {{active: {active}}}\n")
                done = moongate("check", "-c", path)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(fault, done.stderr)


@sanitized
class Certificates(TestCase):
    """A certificate that cannot serve is refused, whatever is wrong with it, and no part of a key is repeated."""

    def refused(self, field, **fields):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            write_atomically(path, json.dumps({"ssls": [{"id": "1", "snis": ["a.test"], **fields}]}, indent=1))
            done = moongate("check", "-c", path)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("moongate.yaml:", done.stderr)
            self.assertIn("ssls[0]." + field, done.stderr)
            return done.stderr

    def test_a_key_of_another_certificate_is_refused(self):
        mine, other = certificate("a.test"), certificate("b.test")
        text = self.refused("key", cert=mine.cert, key=other.key)
        self.assertIn("does not belong to the certificate", text)
        self.assertNotIn(other.key.splitlines()[1], text)

    def test_what_is_no_pem_is_refused(self):
        mine = certificate("a.test")
        for field, fields in (("cert", {"cert": "x" * 200, "key": mine.key}), ("key", {"cert": mine.cert, "key": "x" * 200}),
                              ("cert", {"cert": mine.cert + "-----BEGIN CERTIFICATE-----\nMII!\n-----END CERTIFICATE-----\n", "key": mine.key}),
                              ("client", {"cert": mine.cert, "key": mine.key, "client": {"ca": "x" * 200}})):
            self.refused(field, **fields)

    def test_versions_that_are_not_offered_are_refused(self):
        mine = certificate("a.test")
        self.assertIn("matches none of the enum values",
                      self.refused("ssl_protocols[0]", cert=mine.cert, key=mine.key, ssl_protocols=["TLSv1"]))

    def test_a_name_of_two_certificates_is_refused(self):
        mine = certificate("a.test")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "moongate.yaml")
            one = {"snis": ["a.test"], "cert": mine.cert, "key": mine.key}
            write_atomically(path, json.dumps({"ssls": [{"id": "1", **one}, {"id": "2", **one}]}, indent=1))
            done = moongate("check", "-c", path)
            self.assertEqual(done.returncode, 1)
            self.assertIn("a.test belongs to another certificate already", done.stderr)


if __name__ == "__main__":
    unittest.main()
