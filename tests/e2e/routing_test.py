# SPDX-License-Identifier: Apache-2.0
"""Which route takes a request. Every route answers with its own name, so the answer tells."""

import threading
import unittest

from harness import HOST, Client, TestCase, ok, request_bytes, route, sanitized


def named(name, **match):
    """A route that answers with its name."""
    return {"id": name, "plugins": {"mocking": {"response_example": name, "content_type": "text/plain", "with_mock_header": False}},
            **match}


@sanitized
class Matching(TestCase):
    def gateway(self, *routes, **more):
        self.gw = self.serve({"routes": list(routes), **more}, workers=1)

    def taken(self, target="/", headers=None, method="GET", host="localhost"):
        r = self.gw.request(method, target, headers, host=host)
        return r.body.decode() if r.status == 200 else r.status

    def test_404_in_json_when_nothing_matches(self):
        self.gateway(named("a", uri="/a"))
        r = self.gw.get("/b")
        self.assertEqual(r.status, 404)
        self.assertEqual(r.json()["error_msg"], "404 Route Not Found")

    def test_exact_comes_before_prefix_and_the_longer_prefix_before_the_shorter(self):
        self.gateway(named("all", uri="/*"), named("a", uri="/a/*"), named("ab", uri="/a/b/*"), named("exact", uri="/a/b/c"))
        self.assertEqual([self.taken(t) for t in ("/", "/a/x", "/a/b/x", "/a/b/c", "/a/b/c/d")], ["all", "a", "ab", "exact", "ab"])

    def test_a_prefix_with_a_slash_needs_it(self):
        self.gateway(named("slash", uri="/a/*"), named("plain", uri="/b*"))
        self.assertEqual([self.taken(t) for t in ("/a", "/a/", "/a/x", "/b", "/bc", "/b/c")],
                         [404, "slash", "slash", "plain", "plain", "plain"])

    def test_priority_decides_between_routes_of_one_pattern_and_file_order_between_equals(self):
        self.gateway(named("low", uri="/a", priority=1), named("high", uri="/a", priority=9), named("first", uri="/b"), named("second", uri="/b"))
        self.assertEqual((self.taken("/a"), self.taken("/b")), ("high", "first"))

    def test_a_route_that_fails_a_condition_leaves_the_request_to_the_next(self):
        self.gateway(named("post", uri="/a", methods=["POST"], priority=5), named("any", uri="/a"), named("all", uri="/*"))
        self.assertEqual((self.taken("/a"), self.taken("/a", method="POST")), ("any", "post"))

    def test_methods_are_told_apart_and_head_is_not_implied_by_get(self):
        self.gateway(named("get", uri="/a", methods=["GET"]))
        self.assertEqual((self.taken("/a"), self.taken("/a", method="POST"), self.taken("/a", method="HEAD")), ("get", 404, 404))

    def test_exact_host_comes_before_wildcard_before_none(self):
        self.gateway(named("none", uri="/*"), named("wild", uri="/*", host="*.shop.example"), named("exact", uri="/*", host="api.shop.example"))
        hosts = ("api.shop.example", "API.Shop.Example:8080", "x.shop.example", "a.b.shop.example", "shop.example", "other")
        self.assertEqual([self.taken(host=h) for h in hosts], ["exact", "exact", "wild", "wild", "none", "none"])

    def test_a_route_takes_its_hosts_from_its_service(self):
        self.gateway(named("s", uri="/*", service_id="svc"), services=[{"id": "svc", "hosts": ["svc.example"]}])
        self.assertEqual((self.taken(host="svc.example"), self.taken(host="other")), ("s", 404))

    def test_variables_of_header_query_and_cookie_decide(self):
        self.gateway(named("header", uri="/*", priority=5, vars=[["http_x_api_version", "==", "v2"]]),
                     named("query", uri="/*", priority=4, vars=[["arg_beta", "==", "1"]]),
                     named("cookie", uri="/*", priority=3, vars=[["cookie_group", "in", ["a", "b"]]]), named("rest", uri="/*"))
        self.assertEqual(self.taken("/", {"X-Api-Version": "v2"}), "header")
        self.assertEqual(self.taken("/?beta=1"), "query")
        self.assertEqual(self.taken("/", {"Cookie": "x=1; group=b"}), "cookie")
        self.assertEqual(self.taken("/?beta=2", {"X-Api-Version": "v1", "Cookie": "group=c"}), "rest")

    def test_every_operator(self):
        cases = [("==", "5", "5", "6"), ("~=", "5", "6", "5"), (">", 5, "6", "5"), (">=", 5, "5", "4"), ("<", 5, "4", "5"),
                 ("<=", 5, "5", "6"), ("~~", "^a+$", "aa", "b"), ("~*", "^a+$", "AA", "b"), ("in", ["x", "y"], "y", "z"),
                 ("ipmatch", ["10.0.0.0/8"], "10.1.2.3", "11.0.0.1")]
        for operator, right, fits, fails in cases:
            with self.subTest(operator=operator):
                self.gateway(named("yes", uri="/*", vars=[["arg_v", operator, right]]))
                self.assertEqual((self.taken(f"/?v={fits}"), self.taken(f"/?v={fails}")), ("yes", 404))
                self.gw.close()

    def test_logic_operators_and_negation(self):
        self.gateway(named("or", uri="/or", vars=["OR", ["arg_a", "==", "1"], ["arg_b", "==", "1"]]),
                     named("not", uri="/not", vars=[["arg_a", "!", "==", "1"]]),
                     named("nor", uri="/nor", vars=["!OR", ["arg_a", "==", "1"], ["arg_b", "==", "1"]]))
        self.assertEqual([self.taken(t) for t in ("/or?b=1", "/or", "/not", "/not?a=1", "/nor", "/nor?b=1")],
                         ["or", 404, "not", 404, "nor", 404])

    def test_client_addresses_decide(self):
        self.gateway(named("other", uri="/*", remote_addr="10.0.0.0/8", priority=5), named("local", uri="/*", remote_addrs=["127.0.0.0/8", "::1"]))
        self.assertEqual(self.taken(), "local")

    def test_a_switched_off_route_is_not_there(self):
        self.gateway(named("off", uri="/a", status=0), named("on", uri="/*"))
        self.assertEqual(self.taken("/a"), "on")

    def test_a_filter_function_decides(self):
        self.gateway(named("f", uri="/*", filter_func="function(vars) return vars.arg_x == 'yes' end"))
        self.assertEqual((self.taken("/?x=yes"), self.taken("/?x=no")), ("f", 404))

    def test_a_filter_function_that_fails_leaves_the_request_to_no_other_route(self):
        self.gateway(named("guard", uri="/*", priority=2, filter_func="function(vars) return #vars.arg_x > 1 end"), named("wide", uri="/*", priority=1),
                     named("first", uri="/*", priority=3, methods=["POST"]))
        self.assertEqual([self.taken("/?x=yes"), self.taken("/?x=1"), self.taken("/")], ["guard", "wide", 500])
        self.assertEqual(self.taken("/", method="POST"), "first")

    def test_a_filter_function_sees_its_own_request_whatever_ran_last(self):
        arrived, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)
        up = self.upstream(lambda *_: arrived.set() or release.wait(120) and ok("slow"))
        self.gateway(route("/up", up, id="up", plugins={"serverless-pre-function": {"functions": ["return function() end"]}}),
                     named("admin", uri="/role", priority=2, filter_func="function() return ngx.req.get_headers()['x-role'] == 'admin' or ngx.var.http_x_role end"),
                     named("exits", uri="/exit", priority=2, filter_func="function() return require('apisix.core').response.exit(402, 'other') end"),
                     named("all", uri="/*", priority=1))
        with Client(self.gw.port) as client:
            client.send(request_bytes("GET", "/up", {"X-Role": "admin"}))
            self.assertTrue(arrived.wait(60), "the other request's hooks")
            self.assertEqual([self.taken("/role"), self.taken("/role", {"X-Role": "admin"}), self.taken("/exit")], ["all", "admin", 500])
            release.set()
            self.assertEqual(client.read("GET").body, b"slow")

    def test_versions_go_to_different_services(self):
        v1, v2 = self.upstream(ok("one")), self.upstream(ok("two"))
        self.gateway(route("/v1/*", v1), route("/v2/*", v2))
        self.assertEqual([self.taken("/v1/x"), self.taken("/v2/x")], ["one", "two"])

    def test_ten_thousand_routes_find_their_own(self):
        self.gateway(*[named(f"r{i}", uri=f"/svc{i}/*") for i in range(10_000)])
        for i in (0, 1, 99, 100, 101, 5_000, 9_999):
            self.assertEqual(self.taken(f"/svc{i}/x"), f"r{i}")
        self.assertEqual(self.taken("/svc10000/x"), 404)

    def test_a_changed_host_in_every_request_of_one_connection_is_honoured(self):
        self.gateway(named("a", uri="/*", host="a.example"), named("b", uri="/*", host="b.example"))
        with self.gw.client() as c:
            for name in "abab":
                c.send(request_bytes("GET", "/", host=f"{name}.example"))
                self.assertEqual(c.read().body.decode(), name)


@sanitized
class Actions(TestCase):
    def test_redirects_http_to_a_new_place(self):
        gw = self.serve({"routes": [{"uri": "/old/*", "plugins": {"redirect": {"regex_uri": ["^/old/(.*)$", "/new/$1"], "ret_code": 301}}}]})
        r = gw.get("/old/a/b")
        self.assertEqual((r.status, r.get("Location")), (301, "/new/a/b"))

    def test_rewrites_path_host_method_and_fields(self):
        up = self.upstream()
        rewrite = {"regex_uri": ["^/api/(.*)$", "/$1"], "host": "inner.example", "method": "POST",
                   "headers": {"set": {"X-Gateway": "moongate"}, "remove": ["X-Secret"], "add": {"X-More": "1"}}}
        gw = self.serve({"routes": [route("/api/*", up, plugins={"proxy-rewrite": rewrite})]})
        gw.get("/api/a/b?c=d", {"X-Secret": "s"})
        r = up.last()
        self.assertEqual((r.method, r.target, r.get("Host"), r.get("X-Gateway"), r.get("X-More"), r.get("X-Secret")),
                         ("POST", "/a/b?c=d", "inner.example", "moongate", "1", None))

    def test_global_rules_and_plugin_configs_apply(self):
        up = self.upstream()
        gw = self.serve({"global_rules": [{"id": "1", "plugins": {"response-rewrite": {"headers": {"set": {"X-Global": "g"}}}}}],
                         "plugin_configs": [{"id": "p", "plugins": {"proxy-rewrite": {"headers": {"set": {"X-Set": "p"}}}}}],
                         "routes": [route("/*", up, plugin_config_id="p")]})
        self.assertEqual(gw.get("/").get("X-Global"), "g")
        self.assertEqual(up.last().get("X-Set"), "p")
        self.assertEqual(up.last().get("X-Real-IP"), HOST)


if __name__ == "__main__":
    unittest.main()
