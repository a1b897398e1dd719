#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What files refer to and etcd has wrong, or does not have: the gateway starts and serves all else, what waits is closed and
named, and opens by itself when what it waits for is there."""

import copy
import unittest

from admin import mocking
from certificates import certificate
from etcd import EtcdCase
from harness import HOST, moongate, sanitized, start_process, wait_for


class HeldCase(EtcdCase):
    """A file with `resources` beside a route that needs nothing, and an etcd that was filled before."""

    resources = {}

    def config(self):
        fine = {"id": "fine", **mocking("/fine", "fine")}
        wide = {"id": "wide", **mocking("/*", "wide")}
        own = copy.deepcopy(self.resources)
        return {**super().config(), **own, "routes": [*own.get("routes", []), fine, wide]}

    def quarantined(self, gateway=None):
        return {text.split(": ")[0]: text for text in (gateway or self.gw).status()["quarantined"]}

    def wait_quarantined(self, *names):
        wait_for(lambda: sorted(self.quarantined()) == sorted(names), 20, f"{names} being in quarantine, not {self.quarantined()}")

    def assert_rest_serves(self, gateway=None):
        gateway = gateway or self.gw
        self.assertEqual((gateway.get("/fine").body, gateway.get("/x").body), (b"fine", b"wide"))
        self.assertFalse(gateway.status()["is_last_good"])

    def node(self):
        return {"type": "roundrobin", "nodes": self.upstream().nodes}


@sanitized
class HeldRoutes(HeldCase):
    resources = {"routes": [{"id": "a", "uri": "/a", "upstream_id": "u1"}]}

    def prepare_etcd(self):
        self.etcd.put("upstreams/u1", {"id": "u1", "type": "no such"})

    def test_a_start_serves_all_but_the_route_whose_upstream_is_wrong_in_etcd(self):
        self.assert_rest_serves()
        self.assertEqual(self.gw.get("/a").status, 503)
        wait_for(lambda: "upstreams/u1 is in quarantine" in self.quarantined().get("routes/a", ""), 20, "the route being held")
        self.restart()  # with what is wrong on disk
        self.assert_rest_serves()
        self.assertEqual(self.gw.get("/a").status, 503)
        self.wait_quarantined("routes/a", "upstreams/u1")
        self.assertIn(f"{self.gw.config_path}:", self.quarantined()["routes/a"])
        self.etcd.put("upstreams/u1", {"id": "u1", **self.node()})
        self.wait_status("/a", 200)
        self.wait_quarantined()

    def test_what_becomes_wrong_or_goes_while_the_gateway_runs_is_held_like_at_a_start(self):
        self.etcd.put("upstreams/u1", {"id": "u1", **self.node()})
        self.wait_status("/a", 200)
        self.etcd.put("upstreams/u1", {"id": "u1", "type": "no such"})
        self.wait_status("/a", 503)
        self.wait_quarantined("routes/a", "upstreams/u1")
        told = self.quarantined()
        self.assertIn("upstreams/u1 is in quarantine", told["routes/a"])
        self.restart()
        self.assertEqual(self.quarantined(), told)
        self.etcd.delete("upstreams/u1")
        self.wait_quarantined("routes/a")
        self.assertIn("not in etcd", self.quarantined()["routes/a"])
        self.assertEqual(self.gw.get("/a").status, 503)
        self.restart()
        self.assert_rest_serves()
        self.assertEqual((list(self.quarantined()), self.gw.get("/a").status), (["routes/a"], 503))
        self.put("/upstreams/u1", {"nodes": self.upstream().nodes})  # by this gateway itself
        self.assertEqual(self.gw.get("/a").status, 200)
        self.assertEqual(self.quarantined(), {})
        refused = self.admin("DELETE", "/upstreams/u1?force=true")
        self.assert_refused(refused, 400, "would answer 503 without it")

    def test_edits_of_the_files_and_writes_go_on_beside_what_is_held(self):
        self.wait_quarantined("routes/a", "upstreams/u1")
        config = self.config()
        config["routes"][1] = {"id": "fine", **mocking("/fine", "edited")}
        self.gw.apply(config)
        self.assertEqual((self.gw.get("/fine").body, self.gw.get("/a").status), (b"edited", 503))
        self.assertEqual(self.put("/routes/1", mocking("/1", "one")).status, 201)
        self.assertEqual(self.gw.get("/1").body, b"one")
        number = self.gw.status()["snapshot"]["number"]
        self.assertIn("nothing changed", self.gw.reload().stdout + self.gw.log_text())
        self.assertEqual(self.gw.status()["snapshot"]["number"], number)
        self.wait_quarantined("routes/a", "upstreams/u1")

    def test_a_mistake_in_what_is_held_is_refused_all_the_same(self):
        self.wait_quarantined("routes/a", "upstreams/u1")
        config = self.config()
        config["routes"][0]["plugins"] = {"ip-restriction": {"whitelst": ["10.0.0.1"]}}
        self.gw.write_config(config)
        done = self.gw.reload()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("routes[0].plugins.ip-restriction", done.stdout + done.stderr)

    def test_many_news_at_once_heal_what_waits_for_one_of_them(self):
        self.wait_quarantined("routes/a", "upstreams/u1")
        many = {f"routes/m{i}": {"id": f"m{i}", **mocking(f"/m{i}", "m")} for i in range(110)}
        self.etcd.put_all({"upstreams/u1": {"id": "u1", **self.node()}, **many})
        self.wait_status("/a", 200)
        self.wait_body("/m109", "m")
        self.wait_quarantined()


class FirstStart(HeldCase):
    settings = {"timeout": 1}
    resources = {"routes": [{"id": "a", "uri": "/a", "upstream_id": "u1"}]}

    def test_a_gateway_that_never_saw_etcd_starts_and_heals_when_it_does(self):
        self.etcd.put("upstreams/u1", {"id": "u1", **self.node()})
        self.etcd.kill()
        late = self.gateway(start=False)
        late.process = start_process(late.arguments(), late.log_path)
        wait_for(late.accepts, 20, "the gateway accepting")
        wait_for(late.is_serving, 30, "the gateway serving")
        self.assert_rest_serves(late)
        self.assertEqual(late.get("/a").status, 503)
        self.assertIn("not in etcd", self.quarantined(late)["routes/a"])
        self.etcd.start()
        self.wait_status("/a", 200, late)
        self.assertEqual(self.quarantined(late), {})

    def test_without_etcd_in_the_configuration_it_is_a_mistake_with_a_place(self):
        config = self.config()
        del config["deployment"]
        gateway = self.gateway(config, start=False)
        gateway.write_config({**config, "upstreams": [{"id": "u2", "type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}]})
        for command in ("check", "start"):
            done = moongate(command, "-c", gateway.config_path, "-p", gateway.run_dir)
            self.assertNotEqual(done.returncode, 0, command)
            self.assertRegex(done.stdout + done.stderr, r":\d+: routes\[0\]\.upstream_id: .*\[u1\].*; did you mean `u2`\?")

    def test_a_check_of_files_that_name_etcd_warns_with_place_and_suggestion(self):
        config = {**self.config(), "upstreams": [{"id": "u2", "type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}]}
        gateway = self.gateway(config, start=False)
        done = moongate("check", "-c", gateway.config_path, "-p", gateway.run_dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"warning: quarantined: routes/a: .*:\d+: upstream_id: upstreams/u1 is in no file.*did you mean `u2`\?")


class HeldByServices(HeldCase):
    resources = {"routes": [{"id": "a", "uri": "/*", "priority": 5, "service_id": "s"}, {"id": "b", "uri": "/b", "plugin_config_id": "p", **{"plugins": {"mocking": {"response_example": "b"}}}}]}

    def service(self, **more):
        return {"id": "s", "hosts": ["a.example"], **more}

    def prepare_etcd(self):
        self.etcd.put("services/s", self.service(upstream={"type": "no such"}))
        self.etcd.put("plugin_configs/p", {"id": "p", "plugins": {"no-such-plugin": {}}})

    def status(self, host):
        return self.gw.request("GET", "/x", {"Host": host}).status

    def test_routes_are_closed_for_the_hosts_of_their_service_and_behind_their_plugin_config(self):
        self.wait_quarantined("plugin_configs/p", "routes/a", "routes/b", "services/s")
        for again in (False, True):
            if again:
                self.restart()
            self.assert_rest_serves()
            self.assertEqual((self.status("a.example"), self.gw.get("/b").status), (503, 503))
        self.etcd.put("services/s", self.service(hosts=["b.example", 7]))
        wait_for(lambda: self.status("b.example") == 503 and self.status("c.example") == 503, 20, "being closed for all hosts")
        self.etcd.put("services/s", self.service(upstream=self.node()))
        wait_for(lambda: self.status("a.example") == 200, 20, "the service serving")
        self.assert_rest_serves()
        self.etcd.put("plugin_configs/p", {"id": "p", "plugins": {"response-rewrite": {"headers": {"set": {"X-P": "p"}}}}})
        wait_for(lambda: self.gw.get("/b").get("X-P") == "p", 20, "the plugin config applying")
        self.wait_quarantined()


class HeldConsumers(HeldCase):
    guarded = mocking("/a", "a")
    guarded["plugins"]["key-auth"] = {}
    resources = {"routes": [{"id": "a", **guarded}],
                 "consumers": [{"username": "jack", "group_id": "g", "plugins": {"key-auth": {"key": "jacks"}}},
                               {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "jacks-too"}}},
                               {"id": "jill/credentials/c", "plugins": {"key-auth": {"key": "jills"}}}]}

    def status(self, key):
        return self.gw.get("/a", {"apikey": key}).status

    def prepare_etcd(self):
        self.etcd.put("consumer_groups/g", {"id": "g", "plugins": {"no-such-plugin": {}}})

    def test_consumers_and_credentials_let_nobody_in_without_what_they_belong_to(self):
        files = ["consumers/jack", "consumers/jack/credentials/c", "consumers/jill/credentials/c"]
        for again in (False, True):
            if again:
                self.restart()
            self.wait_quarantined("consumer_groups/g", *files)
            self.assertEqual([self.status(key) for key in ("jacks", "jacks-too", "jills")], [401] * 3)
        self.etcd.put("consumers/jill", {"username": "jill"})
        wait_for(lambda: self.status("jills") == 200, 20, "jill being let in")
        self.wait_quarantined("consumer_groups/g", *files[:2])
        self.etcd.put("consumer_groups/g", {"id": "g", "plugins": {"response-rewrite": {"headers": {"set": {"X-G": "g"}}}}})
        wait_for(lambda: self.gw.get("/a", {"apikey": "jacks"}).get("X-G") == "g", 20, "jack being let in with the group")
        self.assertEqual(self.status("jacks-too"), 200)
        self.wait_quarantined()
        self.etcd.delete("consumer_groups/g")
        self.etcd.delete("consumers/jill")
        wait_for(lambda: [self.status(key) for key in ("jacks", "jacks-too", "jills")] == [401] * 3, 20, "nobody being let in")
        self.wait_quarantined(*files)


class HeldCertificates(HeldCase):
    resources = {"upstreams": [{"id": "u", "type": "roundrobin", "nodes": {f"{HOST}:1": 1}, "tls": {"client_cert_id": "c"}}],
                 "routes": [{"id": "a", "uri": "/a", "upstream_id": "u"},
                            {"id": "b", "uri": "/b", "upstream": {"type": "roundrobin", "nodes": {f"{HOST}:1": 1}, "tls": {"client_cert_id": "c"}}}]}

    def prepare_etcd(self):
        self.put_certificate(type="server", snis=["a.example"])

    def put_certificate(self, **more):
        issued = certificate("client")
        self.etcd.put("ssls/c", {"id": "c", "cert": issued.cert, "key": issued.key, **more})

    def test_what_shows_a_certificate_of_another_type_or_one_that_is_off_is_closed(self):
        self.wait_status("/a", 503)
        for more in ({"type": "server", "snis": ["a.example"]}, {"type": "client", "status": 0}):
            self.put_certificate(**more)
            self.wait_same(self.gw)
            for again in (False, True):
                if again:
                    self.restart()
                self.assert_rest_serves()
                self.assertEqual((self.gw.get("/a").status, self.gw.get("/b").status), (503, 503))
                self.wait_quarantined("routes/b", "upstreams/u")
                self.assertIn("ssl", self.quarantined()["routes/b"])
        self.put_certificate(type="client")
        self.wait_status("/a", 502)  # nobody listens there
        self.wait_status("/b", 502)
        self.wait_quarantined()
        self.put_certificate(type="client", status=0)
        self.wait_status("/a", 503)
        self.wait_quarantined("routes/b", "upstreams/u")
        self.etcd.delete("ssls/c")
        self.wait_status("/a", 503)
        self.wait_quarantined("routes/b", "upstreams/u")


if __name__ == "__main__":
    unittest.main()
