#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several gateways on one etcd: each serves what another, or anybody with etcdctl, writes; etcd away, slow or damaged
never costs a request; what is acknowledged is there afterwards."""

import json
import os
import shutil
import signal
import ssl
import threading
import time
import unittest

from admin import mocking, nodes, picky
from certificates import authority, certificate
from etcd import EtcdCase
from harness import (HOST, IS_FULL, ClosedError, Load, WireError, expect, free_port, full_size, get, request, request_bytes,
                     sanitized, start_process, wait_for)
from tls_client import TlsClient

FAST_S = 20.0     # far below the time after which what a watch missed is read again


class Sharing(EtcdCase):
    def test_an_edit_through_one_gateway_is_served_by_both_at_once(self):
        other = self.gateway()
        self.put("/routes/1", mocking("/one", "0"))
        self.wait_body("/one", "0", other)
        times = []
        for i in range(1, 21):
            made = self.put("/routes/1", mocking("/one", str(i)))
            began = time.monotonic()
            self.assertEqual(self.gw.get("/one").body, str(i).encode(), made)
            self.wait_body("/one", str(i), other)
            times.append(time.monotonic() - began)
        print(f"  served by the other gateway after {sorted(times)[10] * 1000:.1f} ms (median), {max(times) * 1000:.1f} ms (worst)")
        self.assertLess(max(times), FAST_S)
        self.wait_same(self.gw, other)
        self.admin_of(other, "DELETE", "/routes/1")
        self.wait_status("/one", 404)

    def test_what_is_written_has_the_keys_and_values_of_apisix(self):
        made = self.put("/routes/1", mocking("/one", "1"))
        value = self.etcd.get("routes/1")
        self.assertEqual((value["id"], value["uri"]), ("1", "/one"))
        self.assertEqual((value["create_time"], value["update_time"]), (value["create_time"],) * 2)
        self.assertEqual(made.json(), {"key": "/apisix/routes/1", "value": value})
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}})
        self.admin("PUT", "/consumers/jack/credentials/c1", {"plugins": {"basic-auth": {"username": "j", "password": "p"}}})
        self.assertEqual(self.etcd.get("consumers/jack")["username"], "jack")
        self.assertEqual(self.etcd.get("consumers/jack/credentials/c1")["id"], "c1")
        self.assertEqual(self.admin("DELETE", "/consumers/jack").status, 200)
        self.assertIsNone(self.etcd.get("consumers/jack/credentials/c1"))
        self.put("/services/s", {"upstream": {"nodes": {"127.0.0.1:1": 1}}})
        self.put("/services/s/graphql_cost_decorations/d1", {"field_path": "Query.a"})
        self.assertEqual(self.etcd.get("services/s/graphql_cost_decorations/d1")["service_id"], "s")
        self.assertEqual(self.admin("DELETE", "/services/s").status, 200)
        self.assertIsNone(self.etcd.get("services/s/graphql_cost_decorations/d1"))

    def test_what_apisix_writes_is_served_and_edited(self):
        up = self.upstream()
        now = int(time.time())
        common = {"create_time": now, "update_time": now}
        self.etcd.put("upstreams/u", {"id": "u", "type": "roundrobin", "scheme": "http", "pass_host": "pass", "hash_on": "vars", "nodes": up.nodes, **common})
        self.etcd.put("services/s", {"id": "s", "upstream_id": "u", "enable_websocket": False, **common})
        self.etcd.put("consumers/jack", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}, **common})
        self.etcd.put("routes/00000000000000000020", {"id": "00000000000000000020", "uri": "/a", "priority": 0, "status": 1,
                      "service_id": "s", "plugins": {"key-auth": {}}, **common})
        self.etcd.put("services/s/graphql_cost_decorations/d", {"id": "d", "service_id": "s", "field_path": "Query.a", **common})
        self.etcd.put("services/gone/graphql_cost_decorations/d", {"id": "d", "service_id": "gone", "field_path": "Query.a", **common})
        self.etcd.put("routes/", "init_dir")
        self.etcd.put("plugins", [{"name": "key-auth"}])
        self.wait_status("/a", 401)
        self.assertEqual(self.gw.request("GET", "/a", {"apikey": "jacks"}).status, 200)
        self.assertEqual([text.split(":")[0] for text in self.gw.status()["quarantined"]], ["services/gone/graphql_cost_decorations/d"])
        self.assertEqual(self.admin("GET", "/services/s/graphql_cost_decorations").json()["total"], 1)
        listed = self.admin("GET", "/routes").json()["list"][0]
        self.assertEqual(listed["value"]["id"], "00000000000000000020")
        self.assertEqual(listed["modifiedIndex"], listed["createdIndex"])
        patched = self.admin("PATCH", "/routes/00000000000000000020", {"desc": "ours"})
        self.assertEqual((patched.status, self.etcd.get("routes/00000000000000000020")["desc"]), (200, "ours"))

    def test_a_single_process_shares_like_the_others(self):
        single = self.gateway(workers=0)
        self.put("/routes/1", mocking("/one", "1"))
        self.wait_body("/one", "1", single)
        self.assertEqual(self.admin_of(single, "PUT", "/routes/1", mocking("/one", "2")).status, 200)
        self.assertEqual(single.get("/one").body, b"2")
        self.wait_body("/one", "2")
        self.wait_same(self.gw, single)

    def test_writes_by_others_below_the_prefix_do_not_hold_up_a_deletion(self):
        self.put("/upstreams/u", {"nodes": {"127.0.0.1:1": 1}})
        self.etcd.put("data_plane/server_info/x", {"up": 1})
        self.assertEqual(self.admin("DELETE", "/upstreams/u").status, 200)

    def test_if_match_is_the_revision_of_etcd_and_holds_against_other_gateways(self):
        other = self.gateway()
        tag = self.put("/routes/1", mocking("/one", "1")).get("ETag")
        self.assertEqual(tag, f'"{self.etcd.revision()}"')
        self.assertEqual(self.admin("GET", "/routes/1").get("ETag"), tag)
        self.wait_body("/one", "1", other)
        changed = self.admin_of(other, "PUT", "/routes/1", mocking("/one", "2"), {"If-Match": tag})
        self.assertEqual(changed.status, 200)
        refused = self.admin("PUT", "/routes/1", mocking("/one", "3"), {"If-Match": tag})
        self.assert_refused(refused, 412, "value changed before overwritten")
        self.wait_body("/one", "2")

    def test_two_gateways_that_add_at_once_never_choose_the_same_id(self):
        other = self.gateway()
        made = [gateway_answer.json()["key"] for i in range(10) for gateway_answer in (
            self.admin("POST", "/routes", mocking(f"/a{i}", "a")), self.admin_of(other, "POST", "/routes", mocking(f"/b{i}", "b")))]
        self.assertEqual(len(set(made)), 20)
        self.wait_same(self.gw, other)
        for i in range(10):
            self.assertEqual((other.get(f"/a{i}").body, self.gw.get(f"/b{i}").body), (b"a", b"b"))

    def test_a_ttl_is_a_lease_and_the_route_goes_with_it(self):
        made = self.admin("PUT", "/routes/1?ttl=3", mocking("/short", "here"))
        self.assertEqual((made.status, self.gw.get("/short").body), (201, b"here"))
        leases = request(self.etcd.port, "POST", "/v3/lease/leases", body=b"{}").json()["leases"]
        self.assertEqual(len(leases), 1)
        self.wait_status("/short", 404)
        self.assertEqual(self.admin("GET", "/routes/1").status, 404)

    def test_a_whole_configuration_larger_than_a_transaction_is_taken(self):
        other = self.gateway()
        body = {"routes": [{"id": f"r{i}", **mocking(f"/r{i}", str(i))} for i in range(120)]}
        done = self.admin("PUT", "/configs", body, {"X-Digest": "d1"})
        self.assertEqual(done.status, 202, done.body)
        self.wait_same(self.gw, other)
        self.assertEqual((self.gw.get("/r119").body, other.get("/r0").body), (b"119", b"0"))

    def test_a_whole_configuration_may_replace_what_others_refer_to_over_several_transactions(self):
        up = self.upstream()
        def whole(name):
            return {"upstreams": [{"id": name, "type": "roundrobin", "nodes": up.nodes}],
                    "routes": [{"id": f"{name}{i:03}", "uri": f"/{name}/{i}", "upstream_id": name} for i in range(120)]}
        for name, other in (("a", "b"), ("b", "a")):
            done = self.admin_of(self.gw, "PUT", "/configs", whole(name), {"X-Digest": name}, timeout=60)
            self.assertIn(done.status, (200, 201, 202), done)
            self.wait_status(f"/{name}/119", 200)
            self.wait_status(f"/{other}/0", 404)
        self.assertEqual(self.gw.status()["quarantined"], [])
        self.assertIsNone(self.etcd.get("upstreams/a"))

    def test_a_rollback_brings_back_what_the_store_had_for_all(self):
        other = self.gateway()
        self.put("/routes/1", mocking("/one", "old"))
        wait_for(lambda: self.gw.run("status").returncode == 0 and len(os.listdir(os.path.join(self.gw.run_dir, "snapshots"))) > 1, 10, "the snapshot on disk")
        self.put("/routes/1", mocking("/one", "new"))
        self.assertEqual(self.gw.run("rollback").returncode, 0)
        self.assertEqual(self.gw.get("/one").body, b"old")
        self.wait_body("/one", "old", other)
        self.wait_same(self.gw, other)


class SameVerdicts(EtcdCase):
    """What one gateway takes and another has taken otherwise at the same moment."""

    def setUp(self):
        super().setUp()
        self.other = self.gateway()
        self.put("/routes/1", {**mocking("/one", "1"), "plugins": {**mocking("/one", "1")["plugins"], "key-auth": {}}})
        self.wait_status("/one", 401, self.other)

    def consumer(self, name, key):
        return {"username": name, "plugins": {"key-auth": {"key": key}}}

    def quarantined(self, gateway):
        return sorted(text.split(": ")[0] for text in gateway.status()["quarantined"])

    def wait_quarantined(self, *names):
        for gateway in (self.gw, self.other):
            wait_for(lambda gateway=gateway: self.quarantined(gateway) == list(names), 20, f"{names} being in quarantine, not {self.quarantined(gateway)}")

    def test_of_two_that_add_the_same_key_at_once_the_first_is_right_everywhere(self):
        for i in range(5):
            names, answers = (f"zoe{i}", f"abe{i}"), {}
            def add(gateway, name, key, answers=answers):
                answers[name] = self.admin_of(gateway, "PUT", "/consumers", self.consumer(name, key)).status
            threads = [threading.Thread(target=add, args=(gateway, name, f"key{i}")) for gateway, name in zip((self.gw, self.other), names)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            made = [name for name in names if answers[name] == 201]
            self.assertTrue(made, answers)
            keys = {name: json.loads(self.etcd.ctl("get", f"/apisix/consumers/{name}", "-w", "json").stdout)["kvs"][0]["create_revision"] for name in made}
            losers = sorted(f"consumers/{name}" for name in made if keys[name] != min(keys.values()))
            self.wait_same(self.gw, self.other)
            self.wait_quarantined(*losers)
            for name in made:
                self.etcd.delete(f"consumers/{name}")
            self.wait_quarantined()

    def test_what_comes_in_another_order_is_judged_by_age(self):
        self.etcd.put("consumers/zoe", self.consumer("zoe", "old"))
        self.etcd.put("consumers/abe", self.consumer("abe", "new"))
        self.etcd.put("consumers/eve", self.consumer("eve", "eves"))
        self.wait_same(self.gw, self.other)
        self.etcd.put("consumers/zoe", self.consumer("zoe", "new"))  # made before abe
        self.wait_quarantined("consumers/abe")
        self.etcd.put("consumers/abe", self.consumer("abe", "eves"))  # made before eve
        self.wait_quarantined("consumers/eve")
        self.assertIn("duplicate key of plugin key-auth found with consumer: abe", self.gw.status()["quarantined"][0])
        third = self.gateway()  # judges all at once
        self.wait_same(self.gw, third)
        self.assertEqual(self.quarantined(third), ["consumers/eve"])
        self.gw.stop()
        self.gw.start()
        self.wait_same(self.gw, third)
        self.assertEqual(self.quarantined(self.gw), ["consumers/eve"])
        self.etcd.delete("consumers/abe")
        self.wait_quarantined()

    def test_faults_beyond_the_first_are_looked_at_again(self):
        up = self.upstream()
        for part in (0, 40):
            self.etcd.put_all({f"routes/w{i:03}": {"id": f"w{i:03}", "uri": f"/w{i}", "upstream_id": "never"} for i in range(part, part + 40)})
        self.etcd.put("routes/z", {"id": "z", "uri": "/z", "upstream_id": "later"})
        wait_for(lambda: len(self.quarantined(self.gw)) == 81, 20, "all in quarantine")
        self.etcd.put("upstreams/later", {"id": "later", "type": "roundrobin", "nodes": up.nodes})
        self.wait_status("/z", 200)
        self.assertEqual(len(self.quarantined(self.gw)), 80)


@sanitized
class Encrypted(EtcdCase):
    keyring = "edd1c9f0985e76a2"

    def config(self):
        return {**super().config(), "moongate": {"data_encryption": {"keyring": [self.keyring]}}}

    def test_fields_are_kept_as_apisix_encrypts_them_and_read_back_by_all(self):
        other = self.gateway()
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "bar"}}})
        kept = self.etcd.get("consumers/jack")
        self.assertEqual(kept["plugins"]["key-auth"]["key"], "77+NmbYqNfN+oLm0aX5akg==")  # what APISIX makes of it
        self.put("/routes/1", {**mocking("/one", "1"), "plugins": {**mocking("/one", "1")["plugins"], "key-auth": {}}})
        for gateway in (self.gw, other):
            wait_for(lambda gateway=gateway: gateway.request("GET", "/one", {"apikey": "bar"}).status == 200, 20, "jack being known")
            self.assertEqual(gateway.request("GET", "/one", {"apikey": kept["plugins"]["key-auth"]["key"]}).status, 401)
        self.etcd.put("consumers/jill", {**kept, "username": "jill"})
        self.etcd.delete("consumers/jack")
        wait_for(lambda: self.admin("GET", "/consumers/jill").status == 200, 20, "jill being read")
        self.assertEqual(self.gw.request("GET", "/one", {"apikey": "bar"}).status, 200)
        self.assertEqual(self.admin("GET", "/consumers/jill").json()["value"]["plugins"]["key-auth"]["key"], "bar")


    def test_a_resource_in_quarantine_is_shown_as_the_others_are(self):
        limit = {"count": 1, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1", "redis_password": "hidden"}
        self.put("/routes/1", {**mocking("/one", "1"), "plugins": {"limit-count": limit}, "upstream": {"nodes": {"127.0.0.1:1": 1}}})
        kept = self.etcd.get("routes/1")
        self.assertNotIn("hidden", json.dumps(kept))
        self.etcd.put("routes/1", {**kept, "upstream_id": "gone"})
        wait_for(lambda: self.gw.status()["quarantined"], 20, "the route in quarantine")
        for shown in (self.admin("GET", "/routes/1").json(), self.admin("GET", "/routes").json()["list"][0]):
            self.assertEqual((shown["value"]["upstream_id"], shown["value"]["plugins"]["limit-count"]["redis_password"]), ("gone", "hidden"))
        self.assertEqual(self.admin("GET", "/configs").json()["routes"][0]["plugins"]["limit-count"]["redis_password"], "hidden")


class RefusedByWorkers(EtcdCase):
    """What control finds right, and no worker takes: the plugin's init() fails."""

    def gateway(self, **more):
        return super().gateway(plugins={"picky": picky("error('no init today')")}, **more)

    def quarantined(self):
        return {text.split(":")[0]: text for text in self.gw.status()["quarantined"]}

    def test_what_a_worker_refused_is_judged_again_when_its_plugin_is_mended(self):
        self.etcd.put("routes/a", {"id": "a", "uri": "/a", "plugins": {"picky": {}}})
        wait_for(lambda: "refused by" in self.quarantined().get("routes/a", ""), 20, "the worker's refusal")
        self.assertEqual(self.gw.get("/a").status, 503)
        self.gw.write_plugin("picky", picky())
        self.wait_body("/a", "picky")
        self.assertEqual(self.quarantined(), {})

    def test_news_are_not_blamed_for_what_was_judged_again_beside_them(self):
        up = self.upstream()
        # So many at once that the plugin of one that is wrong does not come along.
        many = {f"routes/m{i}": {"id": f"m{i}", **mocking(f"/m{i}", "m")} for i in range(101)}
        self.etcd.put_all({"routes/a": {"id": "a", "uri": "/a", "plugins": {"picky": {}}, "upstream_id": "later"}, **many})
        wait_for(lambda: "later" in self.quarantined().get("routes/a", ""), 20, "the route in quarantine")
        self.etcd.put("upstreams/later", {"id": "later", "type": "roundrobin", "nodes": up.nodes})
        wait_for(lambda: "no init today" in self.quarantined().get("routes/a", ""), 20, "the route being to blame")
        self.etcd.put("routes/b", {"id": "b", "uri": "/b", "upstream_id": "later"})
        self.wait_status("/b", 200)
        self.assertEqual(list(self.quarantined()), ["routes/a"])
        self.gw.write_plugin("picky", picky())
        self.wait_body("/a", "picky")

    def test_plugins_that_are_refused_one_after_the_other_hold_up_no_write_after_a_reload(self):
        # Longer than a message holds: what one worker says of the last does not come with the first.
        plugins = [f"fussy{i}" for i in range(30)]
        for name in plugins:
            self.gw.write_plugin(name, picky(f"error('{'not today ' * 30}')", name))
        self.etcd.put_all({f"routes/{name}": {"id": name, "uri": "/" + name, "plugins": {name: {}}} for name in plugins})
        wait_for(lambda: len(self.quarantined()) == len(plugins), 30, "all in quarantine")
        before = self.gw.status()["snapshot"]["number"]
        self.assertEqual(self.gw.reload().returncode, 0)
        self.assertEqual(self.admin_of(self.gw, "PUT", "/routes/x", mocking("/x", "x")).status, 201)
        self.assertEqual(self.gw.get("/x").body, b"x")
        self.assertLess(self.gw.status()["snapshot"]["number"] - before, 2 * len(plugins))
        self.assertEqual(len(self.quarantined()), len(plugins))

    def test_of_news_none_is_in_quarantine_for_code_that_another_spoils(self):
        self.gw.write_plugin("old", picky("if pcall(require, 'apisix.plugins.guilty.lib') then error('spoilt') end", "old"))
        self.etcd.put("routes/served", {"id": "served", "uri": "/served", "plugins": {"old": {}}})
        self.wait_body("/served", "old")
        self.gw.write_plugin("guilty/init", picky(name="guilty"))
        self.gw.write_plugin("guilty/lib", "return {}")
        self.etcd.put_all({f"routes/t{i}": {"id": f"t{i}", "uri": f"/t{i}", "plugins": {"guilty" if i == 7 else "old": {}}} for i in range(12)})
        for i in range(12):
            self.wait_status(f"/t{i}", 503 if i == 7 else 200)
        wait_for(lambda: list(self.quarantined()) == ["routes/t7"], 20, "only the guilty one in quarantine")
        self.assertEqual(self.gw.get("/served").body, b"old")

    def test_many_that_use_what_a_worker_refuses_cost_a_few_changes_of_snapshots(self):
        count, plugins = 60, [f"fussy{i}" for i in range(3)]
        users = {f"routes/u{i:02}": {"id": f"u{i:02}", "uri": f"/u{i}", "plugins": {plugins[i % 3]: {}}} for i in range(count)}
        for words in ("not today", "nor tomorrow"):
            before = self.gw.status()["snapshot"]["number"]
            for name in plugins:
                self.gw.write_plugin(name, picky(f"error('{words}')", name))
            self.etcd.put_all(users)
            wait_for(lambda words=words: sum(words in reason for reason in self.quarantined().values()) == count, 20, f"all in quarantine for {words}")
            # Each change that is tried has a number, also one that is refused.
            self.assertLess(self.gw.status()["snapshot"]["number"] - before, 30)
            users = {"routes/fine": {"id": "fine", **mocking("/fine", "fine")}}
        for i in range(count):
            self.assertIn(f"plugin fussy{i % 3} (", self.quarantined()[f"routes/u{i:02}"])
            self.assertEqual(self.gw.get(f"/u{i}").status, 503)
        self.wait_body("/fine", "fine")
        for name in plugins:
            self.gw.write_plugin(name, picky(name=name))
        wait_for(lambda: not self.quarantined(), 20, "all serving")
        self.assertEqual([self.gw.get(f"/u{i}").body for i in range(3)], [b"fussy0", b"fussy1", b"fussy2"])


class BrokenCertificates(EtcdCase):
    """The wildcard asks nobody for a certificate; what is wrong may have asked."""

    def setUp(self):
        super().setUp()
        self.etcd.put("routes/1", {"id": "1", **mocking("/who", "who")})
        self.put_certificate("wild", ["*.site.test"])
        wait_for(lambda: self.answers_tls("a.site.test"), 20, "the wildcard answering")

    def gateway(self, **more):
        self.tls_port = free_port()
        return super().gateway(listen=[f"{HOST}:PORT", {"address": f"{HOST}:{self.tls_port}", "tls": True}], **more)

    def put_certificate(self, id, names, **more):
        issued = certificate("site", ("*.site.test",))
        self.etcd.put(f"ssls/{id}", {"id": id, "snis": names, "cert": issued.cert, "key": issued.key, **more})

    def answers_tls(self, name):
        try:
            with TlsClient(self.tls_port, name=name) as client:
                return client.get("/who").status == 200
        except (ssl.SSLError, ConnectionError):
            return False

    def wait_closed(self, *names):
        for name in names:
            wait_for(lambda name=name: not self.answers_tls(name), 20, f"{name} being closed")

    def test_names_of_a_broken_certificate_are_answered_by_no_other(self):
        self.put_certificate("a", ["a.site.test", "B.site.test."], client={"ca": "no certificate" * 20})
        self.wait_closed("a.site.test", "b.site.test")
        with TlsClient(self.tls_port, name="c.site.test") as client:  # nor does a connection under another name lead to them
            self.assertEqual([client.get("/who", host=host).status for host in ("c.site.test", "a.site.test")], [200, 421])
        self.restart()
        wait_for(lambda: self.answers_tls("c.site.test"), 20, "serving again")
        self.wait_closed("a.site.test", "b.site.test")
        self.etcd.put("ssls/a", {"id": "a", "sni": "c.site.test"})
        self.wait_closed("c.site.test")
        wait_for(lambda: self.answers_tls("a.site.test"), 20, "a.site.test being answered")
        self.put_certificate("a", ["c.site.test"])
        wait_for(lambda: self.answers_tls("c.site.test"), 20, "the certificate being right")
        self.put_certificate("a", ["c.site.test", "d.site.test"], client={"ca": "no certificate" * 20})
        self.wait_closed("d.site.test")
        self.assertTrue(self.answers_tls("c.site.test"))  # as it was before
        self.etcd.delete("ssls/a")
        wait_for(lambda: self.answers_tls("d.site.test"), 20, "d.site.test being answered")

    def test_names_that_come_from_the_environment_are_closed_like_others(self):
        self.gw.stop()
        self.gw.env = {"ONE_NAME": "A.site.test.", "NAMES": '{"more": ["b.site.test", "c.site.test"]}'}
        self.gw.start()
        wait_for(lambda: self.answers_tls("a.site.test") and self.answers_tls("c.site.test"), 20, "the wildcard answering")
        names = ["$env://ONE_NAME", "$ENV://NAMES/more", "$env://NOWHERE"]
        self.etcd.put("ssls/a", {"id": "a", "snis": names, "client": {"ca": "no certificate" * 20}})
        self.wait_closed("a.site.test", "b.site.test", "c.site.test")
        self.assertTrue(self.answers_tls("d.site.test"))
        self.restart()
        wait_for(lambda: self.answers_tls("d.site.test"), 20, "serving again")
        self.wait_closed("a.site.test", "b.site.test", "c.site.test")

    def test_what_is_off_or_is_for_upstreams_closes_nothing(self):
        self.etcd.put("ssls/off", {"id": "off", "sni": "a.site.test", "status": 0})
        self.etcd.put("ssls/client", {"id": "client", "type": "client", "sni": "a.site.test"})
        self.etcd.put("ssls/text", {"id": "text", "snis": "b.site.test", "sni": 7})
        wait_for(lambda: len(self.gw.status()["quarantined"]) == 3, 20, "all in quarantine")
        self.assertTrue(self.answers_tls("a.site.test") and self.answers_tls("b.site.test"))


class BrokenValues(EtcdCase):
    def test_what_nothing_can_stand_in_for_is_shown_as_it_is_stored(self):
        self.etcd.put("upstreams/u", {"id": "u", "type": "no such", "nodes": {"127.0.0.1:1": 1}})
        self.etcd.put("consumers/jack", {"username": "jack", "plugins": {"key-auth": {}}})
        self.etcd.put("consumers/jack/credentials/c", {"id": "c", "plugins": {"key-auth": {"key": "k"}}})
        wait_for(lambda: len(self.gw.status()["quarantined"]) == 3, 20, "all in quarantine")
        shown = self.admin("GET", "/upstreams/u")
        self.assertEqual((shown.status, shown.json()["value"]), (200, self.etcd.get("upstreams/u")))
        self.assertEqual(shown.get("ETag"), f'"{shown.json()["modifiedIndex"]}"')
        self.assertEqual(self.admin("GET", "/upstreams").json()["list"], [shown.json()])
        self.assertEqual(self.admin("GET", "/consumers").json()["total"], 1)
        self.assertEqual(self.admin("GET", "/consumers/jack/credentials").json()["list"][0]["value"]["id"], "c")
        self.assertEqual(self.admin("DELETE", "/upstreams/u").status, 200)
        self.assertEqual(self.admin("GET", "/upstreams/u").status, 404)

    def test_what_is_no_resource_is_named_and_everything_else_is_served(self):
        self.etcd.put("routes/text", "not json")
        self.etcd.put("routes/list", [1])
        self.etcd.put("routes/wrong", {"id": "wrong", "uri": 7, "plugins": {}})
        self.etcd.put("upstreams/nowhere", {"id": "nowhere", "type": "roundrobin"})
        self.etcd.put("routes/fine", {"id": "fine", **mocking("/fine", "fine")})
        self.wait_body("/fine", "fine")
        named = " ".join(self.gw.status()["quarantined"])
        for name in ("routes/text: the value in etcd is no JSON", "routes/list: the value in etcd is no JSON object", "routes/wrong: ", "upstreams/nowhere: "):
            self.assertIn(name, named)
        self.assertEqual([e["value"]["id"] for e in self.admin("GET", "/routes").json()["list"]], ["wrong", "fine"])
        self.etcd.put("routes/text", {"id": "text", **mocking("/text", "mended")})
        self.wait_body("/text", "mended")
        self.assertEqual(self.admin("DELETE", "/routes/list").status, 200)
        for name in ("routes/wrong", "upstreams/nowhere"):
            self.etcd.delete(name)
        wait_for(lambda: not self.gw.status()["quarantined"], 10, "nothing in quarantine")

    def test_a_route_that_becomes_wrong_closes_and_opens_to_nobody_else(self):
        self.etcd.put("routes/open", {"id": "open", **mocking("/*", "open")})
        self.etcd.put("routes/secret", {"id": "secret", **mocking("/secret", "secret")})
        self.wait_body("/secret", "secret")
        self.etcd.put("routes/secret", {"id": "secret", "uri": "/secret", "plugins": {"ip-restriction": {"whitelst": ["10.0.0.1"]}}})
        self.wait_status("/secret", 503)
        self.assertEqual(self.gw.get("/other").body, b"open")
        self.etcd.put("routes/secret", "{{{")
        wait_for(lambda: "no JSON" in " ".join(self.gw.status()["quarantined"]), 10, "the value being named")
        self.assertEqual(self.gw.get("/secret").status, 503)
        self.restart()
        self.assertEqual((self.gw.get("/secret").status, self.gw.get("/other").body), (503, b"open"))
        self.etcd.put("routes/secret", {"id": "secret", **mocking("/secret", "again")})
        self.wait_body("/secret", "again")

    def test_a_reference_that_is_deleted_closes_its_routes_until_it_is_back(self):
        up = self.upstream()
        self.etcd.put("routes/1", {"id": "1", "uri": "/u", "upstream_id": "u"})
        self.wait_status("/u", 503)
        self.etcd.put("upstreams/u", {"id": "u", "type": "roundrobin", "nodes": up.nodes})
        self.wait_status("/u", 200)
        self.assertEqual(self.gw.status()["quarantined"], [])
        self.etcd.delete("upstreams/u")
        self.wait_status("/u", 503)
        self.assertIn("routes/1", " ".join(self.gw.status()["quarantined"]))
        self.put("/upstreams/u", {"nodes": up.nodes})
        self.wait_status("/u", 200)
        wait_for(lambda: not self.gw.status()["quarantined"], 10, "nothing in quarantine")

    def test_a_route_that_is_closed_with_its_service_is_closed_for_the_services_hosts_only(self):
        up = self.upstream()
        self.etcd.put("services/s", {"id": "s", "hosts": ["a.example"], "upstream": {"type": "roundrobin", "nodes": up.nodes}})
        self.etcd.put("routes/1", {"id": "1", "uri": "/*", "service_id": "s"})
        self.etcd.put("routes/2", {"id": "2", **mocking("/*", "for all")})
        status = lambda host: self.gw.request("GET", "/x", {"Host": host}).status
        wait_for(lambda: status("a.example") == 200 and self.gw.get("/x").body == b"for all", 10, "both routes")
        self.etcd.put("services/s", {"id": "s", "hosts": ["a.example"], "upstream": {"type": "no such"}})
        wait_for(lambda: status("a.example") == 503, 10, "the service's route being closed")
        self.assertEqual(self.gw.get("/x").body, b"for all")
        self.restart()
        self.assertEqual((status("a.example"), self.gw.get("/x").body), (503, b"for all"))

    def test_a_rollback_leaves_alone_what_this_gateway_could_not_serve(self):
        self.put("/routes/1", mocking("/one", "old"))
        self.etcd.put("routes/2", {"id": "2", "uri": "/two", "plugins": {"not-deployed-here": {}}})
        self.etcd.put("consumers/jack", {"username": "jack", "plugins": {"not-deployed-here": {}}})
        wait_for(lambda: len(self.gw.status()["quarantined"]) == 2, 10, "both being in quarantine")
        snapshots = os.path.join(self.gw.run_dir, "snapshots")
        wait_for(lambda: self.gw.run("status").returncode == 0 and len(os.listdir(snapshots)) > 1, 10, "the snapshot on disk")
        self.put("/routes/1", mocking("/one", "new"))
        self.assertEqual(self.gw.run("rollback").returncode, 0)
        self.wait_body("/one", "old")
        self.assertEqual(self.etcd.get("routes/2")["plugins"], {"not-deployed-here": {}})
        self.assertEqual(self.etcd.get("consumers/jack")["username"], "jack")

    def test_an_id_that_a_file_has_stays_the_files(self):
        self.gw.apply({**self.config(), "routes": [{"id": "mine", **mocking("/mine", "file")}]})
        self.etcd.put("routes/mine", {"id": "mine", **mocking("/mine", "etcd")})
        wait_for(lambda: "routes/mine: is in " in " ".join(self.gw.status()["quarantined"]), 10, "the collision being named")
        self.assertEqual(self.gw.get("/mine").body, b"file")
        self.restart()
        self.assertEqual((self.gw.get("/mine").body, self.gw.status()["is_last_good"]), (b"file", False))
        for verb, body in (("PUT", mocking("/mine", "admin")), ("PATCH", {"desc": "admin"})):
            self.assert_refused(self.admin(verb, "/routes/mine", body), 405, "routes/mine is in ")
        self.assertEqual(self.admin("DELETE", "/routes/mine").status, 200)
        self.assertEqual((self.gw.get("/mine").body, self.gw.status()["quarantined"], self.etcd.get("routes/mine")), (b"file", [], None))
        self.etcd.put("routes/mine", {"id": "mine", **mocking("/mine", "etcd")})
        self.gw.apply(self.config())
        self.wait_body("/mine", "etcd")

    def test_what_etcd_has_of_a_files_id_goes_alone(self):
        guarded = {**mocking("/a", "a"), "id": "a", "upstream_id": "u"}
        guarded["plugins"]["key-auth"] = {}
        self.gw.apply({**self.config(), "routes": [guarded], "upstreams": [{"id": "u", **nodes()}], "consumers": [{"username": "jack"}]})
        self.etcd.put("upstreams/u", {"id": "u", **nodes()})
        self.etcd.put("consumers/jack", {"username": "jack"})
        self.etcd.put("consumers/jack/credentials/e", {"id": "e", "plugins": {"key-auth": {"key": "jacks"}}})
        wait_for(lambda: len(self.gw.status()["quarantined"]) == 2 and self.gw.get("/a", {"apikey": "jacks"}).status == 200, 10, "the collisions being named")
        self.assertEqual([self.admin("DELETE", path).status for path in ("/upstreams/u", "/consumers/jack")], [200, 200])
        self.assertEqual((self.gw.status()["quarantined"], self.gw.get("/a", {"apikey": "jacks"}).status), ([], 200))

    def test_a_credential_of_a_files_consumer_is_not_in_quarantine_for_another_of_that_name(self):
        guarded = mocking("/a", "a")
        guarded["plugins"]["key-auth"] = {}
        self.gw.apply({**self.config(), "routes": [{"id": "a", **guarded}],
                       "consumers": [{"username": "jack"}, {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "of-file"}}}]})
        self.etcd.put("consumers/jack", {"username": "jack", "plugins": {"key-auth": {"key": "of-etcd"}}})
        wait_for(lambda: "consumers/jack: is in " in " ".join(self.gw.status()["quarantined"]), 10, "the collision being named")
        self.restart()
        self.assertEqual(self.gw.get("/a", {"apikey": "of-file"}).status, 200)
        self.assertEqual(len(self.gw.status()["quarantined"]), 1)

    def test_a_value_over_the_limit_is_left_out(self):
        self.etcd.end(signal.SIGTERM)
        self.etcd.more = ["--max-request-bytes", "8388608"]
        self.etcd.start()
        self.etcd.put("routes/big", {"id": "big", **mocking("/big", "x" * 1700000)})
        self.etcd.put("routes/fine", {"id": "fine", **mocking("/fine", "fine")})
        self.wait_body("/fine", "fine")
        self.assertIn("routes/big: the value in etcd is larger than 1.5 MB", self.gw.status()["quarantined"])


class Failures(EtcdCase):
    settings = {"timeout": 5}      # what hangs is to hold up a test for no longer

    def config(self):
        self.control_port = free_port()
        return {**super().config(), "moongate": {"control": {"listen": f"{HOST}:{self.control_port}"}}}

    def test_etcd_away_refuses_writes_serves_on_and_is_found_again(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.etcd.kill()
        self.wait_state("away")
        self.assertEqual(self.gw.get("/one").body, b"1")
        refused = self.admin("PUT", "/routes/1", mocking("/one", "2"))
        self.assert_refused(refused, 503, "has no healthy etcd endpoint available")
        self.assertEqual((self.gw.get("/one").body, self.admin("GET", "/routes/1").status), (b"1", 200))
        self.assertIn("apisix_etcd_reachable 0", self.gw.metrics().body.decode())
        self.assertIn("etcd is away", self.gw.run("status").stdout)
        self.assertEqual(get(self.control_port, "/v1/store").json()["state"], "away")
        self.etcd.start()
        self.wait_state("connected")
        self.assertIn("apisix_etcd_reachable 1", self.gw.metrics().body.decode())
        self.put("/routes/1", mocking("/one", "3"))
        self.assertEqual(self.gw.get("/one").body, b"3")
        self.assertEqual(self.gw.log_text().count("etcd is away"), 1)

    def test_an_etcd_that_does_not_answer_leaves_the_write_in_doubt_and_says_so(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.etcd.pause()
        try:
            answer = self.admin_of(self.gw, "PUT", "/routes/1", mocking("/one", "2"), timeout=30)
        finally:
            self.etcd.go_on()
        self.assertEqual(answer.status, 503, answer.body)
        self.assertTrue("may be made or not" in answer.json()["error_msg"] or "no healthy etcd" in answer.json()["error_msg"])
        self.wait_state("connected")
        self.wait_same(self.gw)
        text = self.etcd.get("routes/1")["plugins"]["mocking"]["response_example"]
        self.wait_body("/one", text)

    def test_a_start_without_etcd_serves_what_it_had(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.gw.stop()
        self.etcd.kill()
        self.gw.start()
        self.assertEqual(self.gw.get("/one").body, b"1")
        self.wait_state("away")
        self.etcd.start()
        self.etcd.put("routes/2", {"id": "2", **mocking("/two", "2")})
        self.wait_body("/two", "2")

    def test_a_gateway_that_never_saw_etcd_waits_for_it_and_serves_nobody_meanwhile(self):
        self.etcd.put("routes/1", {"id": "1", **mocking("/one", "1")})
        self.etcd.kill()
        self.settings = {"timeout": 60}      # so long it waits
        late = self.gateway(start=False)
        late.process = start_process(late.arguments(), late.log_path)
        late.wait_log("etcd is away")
        self.assertFalse(late.is_serving())
        self.etcd.start()
        wait_for(late.is_serving, 20, "the gateway serving")
        self.assertEqual(late.get("/one").body, b"1")

    def test_compaction_while_the_gateway_is_cut_off_is_caught_up_by_reading_all(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.put("/routes/2", mocking("/two", "2"))
        control = self.gw.status()["control_pid"]
        os.kill(control, signal.SIGSTOP)
        try:
            self.etcd.end(signal.SIGTERM)
            self.etcd.start()
            self.etcd.delete("routes/2")
            for i in range(5):
                self.etcd.put("routes/3", {"id": "3", **mocking("/three", str(i))})
            self.etcd.ctl("compact", str(self.etcd.revision()))
        finally:
            os.kill(control, signal.SIGCONT)
        self.wait_body("/three", "4")
        self.wait_status("/two", 404)
        self.wait_same(self.gw)

    def test_an_etcd_that_was_set_up_anew_is_followed(self):
        for i in range(5):
            self.put("/routes/1", mocking("/one", str(i)))
        self.etcd.kill()
        shutil.rmtree(os.path.join(self.etcd.dir, "data"))
        self.etcd.start()
        self.etcd.put("routes/2", {"id": "2", **mocking("/two", "2")})
        self.wait_body("/two", "2")
        self.wait_status("/one", 404)

    def test_two_hosts_of_which_one_is_not_there_are_one_that_is(self):
        hosts = ["http://127.0.0.1:1", self.etcd.url]
        other = self.gateway({"moongate": {"etcd": {"host": hosts}}, "routes": []})
        self.assertEqual(self.admin_of(other, "PUT", "/routes/1", mocking("/one", "1")).status, 201)
        self.wait_body("/one", "1")


class Editor(threading.Thread):
    """PUTs until it has made `count` edits through one gateway; `acked` has what was acknowledged last by key, `doubted`
    what came after it and was not."""

    def __init__(self, case, gateway, name, count):
        super().__init__(daemon=True)
        self.case, self.gateway, self.prefix, self.count = case, gateway, name, count
        self.made, self.acked, self.doubted, self.surprises = 0, {}, {}, []
        self.is_stopping = False

    def run(self):
        while self.made < self.count and not self.is_stopping:
            name, text = f"{self.prefix}{self.made % 7}", f"{self.prefix}-{self.made}"
            self.doubted.setdefault(name, set()).add(text)
            try:
                answer = self.case.admin_of(self.gateway, "PUT", "/routes/" + name, mocking("/" + name, text))
            except (OSError, ClosedError, WireError):
                continue
            if answer.status in (200, 201):
                self.acked[name], self.doubted[name] = text, set()
                self.made += 1
            elif answer.status != 503:
                self.surprises.append(f"{answer} {answer.body}")


class Crashes(EtcdCase):
    @full_size
    def test_whatever_dies_in_the_middle_of_edits_nothing_acknowledged_is_lost_and_all_agree(self):
        count = 500 if IS_FULL else 60
        other = self.gateway()
        self.put("/routes/steady", mocking("/steady", "steady"))
        self.wait_body("/steady", "steady", other)
        load = Load(other.port, lambda i: (request_bytes("GET", "/steady"), expect(200, b"steady")), connections=2, pace_s=0.01).start()
        editors = [Editor(self, self.gw, "a", count), Editor(self, other, "b", count)]
        for e in editors:
            e.start()
            self.addCleanup(setattr, e, "is_stopping", True)

        def reached(part):
            wait_for(lambda: sum(e.made for e in editors) >= 2 * count * part / 5, 600 if IS_FULL else 120, f"part {part} of the edits")
        reached(1)
        self.etcd.kill()
        self.wait_state("away")
        self.etcd.start()
        reached(2)
        os.kill(self.gw.status()["control_pid"], signal.SIGKILL)
        reached(3)
        os.kill(self.gw.worker_pids()[0], signal.SIGKILL)
        reached(4)
        os.kill(self.gw.status()["control_pid"], signal.SIGKILL)
        self.etcd.kill()
        self.etcd.start()
        for e in editors:
            e.join(600 if IS_FULL else 120)
            self.assertEqual((e.made, e.surprises), (count, []))
        self.wait_same(self.gw, other)
        for e in editors:
            for name, text in e.acked.items():
                stored = self.etcd.get("routes/" + name)["plugins"]["mocking"]["response_example"]
                self.assertIn(stored, {text} | e.doubted[name])
                for gateway in (self.gw, other):
                    self.wait_body("/" + name, stored, gateway)
        load.stop()
        self.assertEqual(load.failures(), 0, load.summary())


class Large(EtcdCase):
    @full_size
    def test_a_large_store_is_read_in_pages_and_changed_at_once(self):
        count = 5000 if IS_FULL else 1200
        for first in range(0, count, 100):
            self.etcd.put_all({f"routes/r{i}": {"id": f"r{i}", **mocking(f"/r{i}", str(i))} for i in range(first, first + 100)})
        late = self.gateway()
        self.assertEqual(late.get(f"/r{count - 1}").body, str(count - 1).encode())
        self.assertEqual(self.wait_same(self.gw, late), self.store(late)["hash"])
        self.etcd.put("routes/r7", {"id": "r7", **mocking("/r7", "changed")})
        self.wait_body("/r7", "changed", late)
        self.etcd.ctl("del", "--prefix", "/apisix/")
        self.wait_status("/r7", 404)
        self.wait_same(self.gw, late)


class Secured(EtcdCase):
    def prepare_etcd(self):
        ctl = self.etcd.ctl
        ctl("user", "add", "root:rootpass")
        ctl("user", "grant-role", "root", "root")
        ctl("role", "add", "gateway")
        ctl("role", "grant-permission", "gateway", "readwrite", "--prefix=true", "/apisix/")
        ctl("user", "add", "gate:gatepass")
        ctl("user", "grant-role", "gate", "gateway")
        ctl("auth", "enable")
        self.etcd.user = "root:rootpass"
        self.settings = {"user": "gate", "password": "gatepass"}

    def test_the_gateway_authenticates_and_renews_a_token_that_etcd_forgot(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.etcd.kill()  # simple tokens live in memory
        self.wait_state("away")
        self.etcd.start()
        self.wait_state("connected")
        self.put("/routes/1", mocking("/one", "2"))
        self.assertEqual(self.gw.get("/one").body, b"2")

    def test_a_wrong_password_is_told_and_serves_nothing_of_etcd(self):
        self.settings = {"user": "gate", "password": "wrong", "timeout": 3}
        other = self.gateway()
        self.wait_state("away", other)
        self.assertIn("authentication failed", self.store(other)["fault"])
        self.assertNotIn("wrong", json.dumps(self.store(other)))


class OverTls(EtcdCase):
    def setUp(self):
        own = certificate("127.0.0.1", ("IP:127.0.0.1",), issuer="etcd")
        self.tls = {"ca": authority("etcd").cert_path, "cert": own.cert_path, "key": own.key_path}
        self.settings = {"tls": {"trusted_certificate": self.tls["ca"]}}
        super().setUp()

    def test_the_server_is_verified_and_one_that_cannot_be_is_not_asked(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.assertEqual(self.gw.get("/one").body, b"1")
        self.settings = {"tls": {"trusted_certificate": authority("another").cert_path}, "timeout": 3}
        stranger = self.gateway()
        self.wait_state("away", stranger)
        self.assertIn("certificate", self.store(stranger)["fault"])
        self.assertEqual(stranger.get("/one").status, 404)
        self.settings = {"tls": {"verify": False}}
        self.wait_body("/one", "1", self.gateway())


if __name__ == "__main__":
    unittest.main()
