# SPDX-License-Identifier: Apache-2.0
"""Plugin prometheus: who used which route, how often, how long and how much, under APISIX's names."""

import os
import signal
import threading
import unittest

from clock import Clock
from harness import HOST, TestCase, free_port, get, ok, route, sanitized, wait_for
from http2_wire import Http2Client, head
from observability_test import parse_metrics

STATUS, LATENCY, BANDWIDTH = "apisix_http_status", "apisix_http_latency", "apisix_bandwidth"
# Of every request that is not for a language model.
PLAIN = {"request_type": "traditional_http", "request_llm_model": "", "llm_model": ""}


class PrometheusTestCase(TestCase):
    def page(self, gw):
        return parse_metrics(gw.metrics().body.decode())

    def samples(self, gw, name, **labels):
        """[(labels, value)] of those that have `labels`."""
        return [(given, value) for given, value in self.page(gw).get(name, ()) if labels.items() <= given.items()]

    def total(self, gw, name, **labels):
        return sum(value for _, value in self.samples(gw, name, **labels))

    def wait_total(self, gw, wanted, name, **labels):
        wait_for(lambda: self.total(gw, name, **labels) == wanted, 10, f"{wanted} of {name} {labels}")

    def gateway(self, plugins=None, answer=None, resources=None, more=None, **options):
        """A gateway with route r1 (named `first`, of service s1 named `shop`), and its upstream."""
        up = self.upstream(answer or ok("hello"))
        upstream = route("/", up)["upstream"]
        r1 = {"id": "r1", "name": "first", "uris": ["/a", "/b/*"], "hosts": ["one.test", "*.two.test"], "service_id": "s1",
              "plugins": {"prometheus": {}} if plugins is None else plugins, **(more or {})}
        self.config = {"services": [{"id": "s1", "name": "shop", "upstream": upstream}],
                       "routes": [r1, {"id": "r2", "uri": "/plain", "upstream": upstream}], **(resources or {})}
        return self.serve(self.config, **options), up


@sanitized
class Labels(PrometheusTestCase):
    def test_a_request_is_counted_by_route_service_pattern_and_node(self):
        gw, up = self.gateway()
        gw.get("/b/x", host="api.two.test")
        self.wait_total(gw, 1, STATUS)
        self.assertEqual(self.samples(gw, STATUS), [({
            "code": "200", "route": "r1", "matched_uri": "/b/*", "matched_host": "*.two.test", "service": "s1", "consumer": "", "node": up.host,
            **PLAIN, "response_source": "upstream"}, 1)])
        common = {"route": "r1", "service": "s1", "consumer": "", "node": up.host, **PLAIN}
        for name, types in ((LATENCY + "_count", ("apisix", "request", "upstream")), (BANDWIDTH, ("egress", "ingress"))):
            self.assertEqual([labels for labels, _ in self.samples(gw, name)], [{"type": t, **common} for t in types])

    def test_routes_without_the_plugin_are_not_counted(self):
        gw, _ = self.gateway()
        gw.get("/plain")
        gw.get("/nowhere")
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS)
        self.wait_total(gw, 3, "moongate_requests_total")
        self.assertEqual(self.total(gw, STATUS), 1)

    def test_a_global_rule_counts_everything_and_a_route_has_the_last_word(self):
        gw, _ = self.gateway({"prometheus": {"prefer_name": True}}, resources={"global_rules": [{"id": "1", "plugins": {"prometheus": {}}}]})
        gw.get("/a", host="one.test")
        gw.get("/plain")
        gw.get("/nowhere")
        self.wait_total(gw, 1, STATUS, route="first", service="shop", code="200")
        self.wait_total(gw, 1, STATUS, route="r2", service="", code="200")
        self.wait_total(gw, 1, STATUS, route="", matched_uri="", node="", code="404", response_source="apisix")
        self.assertEqual(self.total(gw, STATUS), 3)

    def test_a_route_may_count_less_than_a_global_rule(self):
        nothing = {"status_code_metrics": False, "latency_metrics": False, "bandwidth_metrics": False}
        passes_none = {"_meta": {"filter": [["arg_count", "==", "yes"]]}}
        for of_rule in ({}, {"_meta": {"filter": [["uri", "~~", "/"]]}}):
            for of_route in (nothing, passes_none):
                with self.subTest(of_rule=of_rule, of_route=of_route):
                    gw, _ = self.gateway({"prometheus": of_route}, resources={"global_rules": [{"id": "1", "plugins": {"prometheus": of_rule}}]})
                    gw.get("/a", host="one.test")
                    gw.get("/plain")
                    self.wait_total(gw, 1, STATUS, route="r2")
                    self.assertEqual(self.total(gw, STATUS), 1)

    def test_a_consumers_plugin_that_is_switched_off_does_nothing(self):
        ann = {"username": "ann", "plugins": {"key-auth": {"key": "a"}, "prometheus": {"_meta": {"disable": True}}}}
        gw, _ = self.gateway({"key-auth": {}}, resources={"consumers": [ann], "global_rules": []})
        self.assertEqual(gw.get("/a", {"apikey": "a"}, host="one.test").status, 200)
        self.wait_total(gw, 1, "moongate_requests_total", route="r1")
        self.assertEqual(self.total(gw, STATUS), 0)

    def test_consumers_are_told_apart_unless_that_is_not_wanted(self):
        consumers = [{"username": name, "plugins": {"key-auth": {"key": name + "-key"}}} for name in ("ann", "bob")]
        more = {"routes": [{"id": name, "uri": "/" + name, "plugins": {"key-auth": {}, "prometheus": conf, "mocking": {"response_example": "x"}}}
                           for name, conf in (("each", {}), ("all", {"per_consumer": False}))]}
        gw = self.serve({"consumers": consumers, **more})
        for name in ("ann", "bob", "bob"):
            for path in ("/each", "/all"):
                self.assertEqual(gw.get(path, {"apikey": name + "-key"}).status, 200)
        self.assertEqual(gw.get("/each").status, 401)
        self.wait_total(gw, 1, STATUS, route="each", consumer="ann", code="200")
        self.wait_total(gw, 2, STATUS, route="each", consumer="bob", code="200")
        self.wait_total(gw, 1, STATUS, route="each", consumer="", code="401")
        self.wait_total(gw, 3, STATUS, route="all", consumer="")

    def test_a_consumers_own_plugins_leave_the_counting_alone(self):
        consumers = [{"username": "ann", "plugins": {"key-auth": {"key": "k"}, "response-rewrite": {"headers": {"set": {"X-Ann": "1"}}}}}]
        gw, _ = self.gateway({"key-auth": {}, "prometheus": {}}, resources={"consumers": consumers})
        self.assertEqual(gw.get("/a", {"apikey": "k"}, host="one.test").get("X-Ann"), "1")
        self.wait_total(gw, 1, STATUS, consumer="ann")

    def test_who_answered_is_told_apart(self):
        gw, _ = self.gateway({"prometheus": {}, "fault-injection": {"abort": {"http_status": 418, "vars": [[["arg_tea", "==", "1"]]]}}},
                             answer=lambda *_: ok("", status="503 Busy"))
        gw.get("/a", host="one.test")
        gw.get("/a?tea=1", host="one.test")
        self.wait_total(gw, 1, STATUS, code="503", response_source="upstream", node=HOST)
        self.wait_total(gw, 1, STATUS, code="418", response_source="apisix", node="")
        dead = self.serve({"routes": [{**route("/*", {f"{HOST}:{free_port()}": 1}), "plugins": {"prometheus": {}}}]})
        dead.get("/")
        self.wait_total(dead, 1, STATUS, code="502", response_source="nginx", node=HOST)

    def test_a_filter_of_the_conf_decides_request_by_request(self):
        gw, _ = self.gateway({"prometheus": {"_meta": {"filter": [["arg_count", "==", "yes"]]}}})
        for target in ("/a?count=yes", "/a?count=no", "/a"):
            gw.get(target, host="one.test")
        self.wait_total(gw, 3, "moongate_requests_total")
        self.wait_total(gw, 1, STATUS)

    def test_labels_that_are_disabled_stay_empty(self):
        def metadata(labels):
            return {"plugin_metadata": [{"id": "prometheus", "disabled_labels": labels}]}
        gw, _ = self.gateway(resources=metadata({"http_status": ["node", "matched_uri", "route"], "bandwidth": ["service"]}))
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS, node="", matched_uri="", route="", service="s1", matched_host="one.test")
        self.assertEqual({labels["service"] for labels, _ in self.samples(gw, BANDWIDTH)}, {""})
        self.assertEqual({labels["service"] for labels, _ in self.samples(gw, LATENCY + "_count")}, {"s1"})

    def test_further_labels_have_the_values_of_variables(self):
        attributes = {"prometheus": {"metrics": {"http_status": {"extra_labels": [{"upstream": "$upstream_status"}, {"who": "$http_x_who"}]},
                                                 "bandwidth": {"extra_labels": [{"verb": "$request_method"}]}}}}
        gw, _ = self.gateway(resources={"plugin_attr": attributes})
        gw.get("/a", {"X-Who": 'a"\\b'}, host="one.test")
        gw.request("POST", "/a", body=b"x", host="one.test")
        self.wait_total(gw, 1, STATUS, upstream="200", who='a\\"\\\\b')
        self.wait_total(gw, 1, STATUS, upstream="200", who="")
        self.assertEqual({labels["verb"] for labels, _ in self.samples(gw, BANDWIDTH)}, {"GET", "POST"})
        self.assertNotIn("verb", self.samples(gw, LATENCY + "_count")[0][0])


@sanitized
class Values(PrometheusTestCase):
    def test_bytes_are_those_on_the_clients_connection(self):
        gw, _ = self.gateway(answer=ok("y" * 5000))
        with gw.client() as client:
            for _ in range(2):
                head = b"POST /a HTTP/1.1\r\nHost: one.test\r\nContent-Length: 3000\r\n\r\n"
                client.send(head + b"x" * 3000)
                answer = client.read("POST")
                self.assertEqual(answer.body, b"y" * 5000)
        self.wait_total(gw, 2 * (len(head) + 3000), BANDWIDTH, type="ingress")
        self.assertGreater(self.total(gw, BANDWIDTH, type="egress"), 10000)
        self.assertLess(self.total(gw, BANDWIDTH, type="egress"), 10800)

    def test_times_fall_into_the_buckets_that_are_configured(self):
        attributes = {"prometheus": {"default_buckets": [0.005, 40000, 100000]}}
        clock = Clock(self)

        def late(*_):
            clock.advance(50)
            return ok("late")
        gw, _ = self.gateway(answer=late, resources={"plugin_attr": attributes}, env=clock.env,
                             more={"timeout": {"connect": 100, "send": 100, "read": 100}})
        self.assertEqual(gw.get("/a", host="one.test").body, b"late")
        self.wait_total(gw, 1, LATENCY + "_count", type="upstream")
        for kind in ("upstream", "request"):
            buckets = {labels["le"]: value for labels, value in self.samples(gw, LATENCY + "_bucket", type=kind)}
            self.assertEqual(buckets, {"0.005": 0, "40000": 0, "100000": 1, "+Inf": 1})
            self.assertAlmostEqual(self.total(gw, LATENCY + "_sum", type=kind), 50000, delta=5000)
        self.assertEqual(self.total(gw, LATENCY + "_bucket", type="apisix", le="40000"), 1)

    def test_workers_add_up_and_survive(self):
        gw, _ = self.gateway(workers=3)
        for _ in range(30):
            gw.get("/a", host="one.test")
        self.wait_total(gw, 30, STATUS)
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(gw.worker_pids()) == 3, 10)
        gw.get("/a", host="one.test")
        self.wait_total(gw, 31, STATUS)

    def test_a_changed_configuration_goes_on_with_the_counts(self):
        gw, _ = self.gateway()
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS, route="r1")
        self.config["routes"][0]["plugins"]["prometheus"] = {"prefer_name": True}
        gw.apply(self.config)
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS, route="first")
        self.config["routes"][0]["plugins"]["prometheus"] = {}
        gw.apply(self.config)
        gw.get("/a", host="one.test")
        self.wait_total(gw, 2, STATUS, route="r1")

    def test_kinds_of_metrics_can_be_left_out(self):
        gw, _ = self.gateway({"prometheus": {"latency_metrics": False, "bandwidth_metrics": False}})
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS)
        self.assertFalse({LATENCY + "_count", BANDWIDTH} & set(self.page(gw)))

    def test_http2_counts_each_stream(self):
        gw, _ = self.gateway(answer=ok("y" * 5000), listen=[{"address": f"{HOST}:PORT", "http2": True}])
        with Http2Client(gw.port) as client:
            for _ in range(3):
                self.assertEqual(client.fetch(head(path="/a", authority="one.test")).body, b"y" * 5000)
        self.wait_total(gw, 3, STATUS, code="200")
        self.assertGreaterEqual(self.total(gw, BANDWIDTH, type="egress"), 15000)

    def test_a_client_that_leaves_counts_as_499(self):
        is_left = threading.Event()
        self.addCleanup(is_left.set)

        def late(*_):
            is_left.wait(120)
            return ok("late")
        gw, up = self.gateway(answer=late)
        with gw.client() as client:
            client.send(b"GET /a HTTP/1.1\r\nHost: one.test\r\n\r\n")
            wait_for(lambda: up.request_count == 1, 10)
            client.reset()
        self.wait_total(gw, 1, STATUS, code="499")


@sanitized
class Page(PrometheusTestCase):
    def test_its_path_and_prefix_are_configured(self):
        attributes = {"prometheus": {"export_uri": "/numbers", "metric_prefix": "shop_"}}
        gw, _ = self.gateway(resources={"plugin_attr": attributes})
        gw.get("/a", host="one.test")

        def counted():
            parsed = parse_metrics(get(gw.metrics_port, "/numbers").body.decode())
            return parsed.get("shop_http_status") and not any(name.startswith("apisix_") for name in parsed)
        wait_for(counted, 10, "the renamed metric")
        self.assertEqual(get(gw.metrics_port, "/apisix/prometheus/metrics").status, 404)
        self.assertEqual(get(gw.metrics_port, "/metrics").status, 200)

    def test_label_sets_without_requests_leave_it(self):
        clock = Clock(self)
        attributes = {"prometheus": {"metrics": {"http_status": {"expire": 60}}}}
        gw, _ = self.gateway(resources={"plugin_attr": attributes}, env=clock.env)
        gw.get("/a", host="one.test")
        self.wait_total(gw, 1, STATUS)
        clock.advance(100)
        gw.get("/b/1", host="one.test")
        self.wait_total(gw, 1, STATUS, matched_uri="/b/*")
        self.assertEqual(self.samples(gw, STATUS, matched_uri="/a"), [])
        self.assertEqual(self.total(gw, LATENCY + "_count", type="request"), 2)

    def test_label_values_that_come_and_go_give_their_places_back(self):
        clock = Clock(self)
        attributes = {"prometheus": {"metrics": {"http_status": {"expire": 60, "extra_labels": [{"id": "$arg_id"}]}}}}
        gw, _ = self.gateway(resources={"plugin_attr": attributes, "moongate": {"metrics": {"series_max": 1000}}}, env=clock.env)
        for turn in range(5):
            with gw.client() as client:
                for i in range(500):
                    self.assertEqual(client.get(f"/a?id={turn}-{i}", host="one.test").status, 200)
            wait_for(lambda: sum(labels.get("id", "").startswith(f"{turn}-") for labels, _ in self.samples(gw, STATUS)) == 500, 10, "all counted")
            self.assertEqual(self.total(gw, STATUS, overflow="true"), 0)
            clock.advance(100)
            gw.get(f"/a?id=last{turn}", host="one.test")
            wait_for(lambda: self.total(gw, "moongate_metric_series") < 200, 20, "places given back")
            self.assertEqual([labels["id"] for labels, _ in self.samples(gw, STATUS)], [f"last{turn}"])

    def test_endless_label_values_share_one_series(self):
        attributes = {"prometheus": {"metrics": {"http_status": {"extra_labels": [{"id": "$arg_id"}]}}}}
        gw, _ = self.gateway(resources={"plugin_attr": attributes, "moongate": {"metrics": {"series_max": 1000}}})
        count = 1500
        with gw.client() as client:
            for i in range(count):
                client.get(f"/a?id={i}", host="one.test")
        self.wait_total(gw, count, STATUS)
        over = self.total(gw, STATUS, overflow="true")
        self.assertGreater(over, 400)
        self.assertEqual(self.total(gw, "moongate_metric_series_dropped_total", metric=STATUS), over)
        self.assertLessEqual(self.total(gw, "moongate_metric_series"), 1000)


if __name__ == "__main__":
    unittest.main()
