#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Admin API as APISIX documents it: verbs, codes and bodies of every resource, and that a 2xx is served."""

import unittest
from urllib.parse import quote

from admin import AdminCase, mocking, nodes
from certificates import authority, certificate
from harness import free_port, request, sanitized


def plugins(**confs):
    return {"plugins": confs}


@sanitized
class Routes(AdminCase):
    def test_a_route_is_created_read_replaced_and_deleted(self):
        made = self.admin("PUT", "/routes/1", mocking("/a", "one"))
        self.assertEqual(made.status, 201, made)
        body = made.json()
        self.assertEqual(body["key"], "/apisix/routes/1")
        self.assertEqual(body["value"]["id"], "1")
        self.assertEqual(set(body["value"]), {"uri", "plugins", "id", "create_time", "update_time"}, "no schema defaults")
        self.assertEqual(made.get("X-API-VERSION"), "v3")
        self.assertEqual(self.gw.get("/a").body, b"one")
        again = self.admin("PUT", "/routes/1", mocking("/a", "two"))
        self.assertEqual(again.status, 200)
        self.assertEqual(again.json()["value"]["create_time"], body["value"]["create_time"])
        self.assertEqual(self.gw.get("/a").body, b"two")
        one = self.admin("GET", "/routes/1").json()
        self.assertEqual(one["value"], again.json()["value"])
        self.assertLess(one["createdIndex"], one["modifiedIndex"])
        gone = self.admin("DELETE", "/routes/1")
        self.assertEqual((gone.status, gone.json()), (200, {"deleted": "1", "key": "/apisix/routes/1"}))
        self.assertEqual(self.gw.get("/a").status, 404)
        for method in ("GET", "DELETE"):
            missing = self.admin(method, "/routes/1")
            self.assertEqual((missing.status, missing.json()), (404, {"message": "Key not found"}))
        self.assertEqual(self.admin("PATCH", "/routes/1", {"uri": "/b"}).status, 404)

    def test_post_makes_an_id_of_twenty_digits(self):
        made = self.admin("POST", "/routes", mocking("/p", "posted"))
        self.assertEqual(made.status, 201)
        name = made.json()["value"]["id"]
        self.assertRegex(name, r"^\d{20}$")
        self.assertEqual(made.json()["key"], "/apisix/routes/" + name)
        self.assertEqual(self.admin("GET", "/routes/" + name).json()["createdIndex"], int(name))
        self.assertEqual(self.gw.get("/p").body, b"posted")
        self.assert_refused(self.admin("POST", "/routes/7", mocking("/p", "x")), 400, "wrong route id, do not need it")

    def test_patch_merges_replaces_arrays_and_deletes_with_null(self):
        self.put("/routes/1", {**mocking("/a", "one"), "methods": ["GET", "POST"], "labels": {"a": "1", "b": "2"}})
        patched = self.admin("PATCH", "/routes/1", {"methods": ["GET"], "labels": {"a": None, "c": "3"}, "desc": "new"})
        self.assertEqual(patched.status, 200, patched)
        value = patched.json()["value"]
        self.assertEqual(value["methods"], ["GET"])
        self.assertEqual(value["labels"], {"b": "2", "c": "3"})
        self.assertEqual(value["desc"], "new")
        self.assertEqual(self.gw.request("POST", "/a").status, 404)
        sub = self.admin("PATCH", "/routes/1/plugins/mocking", {"response_example": "sub", "content_type": "text/plain"})
        self.assertEqual(sub.status, 200, sub)
        self.assertEqual(self.gw.get("/a").body, b"sub")
        self.assert_refused(self.admin("PATCH", "/routes/1/nowhere/x", 1), 400, "invalid sub-path: /nowhere/x")
        self.assert_refused(self.admin("PATCH", "/routes/1", {"create_time": "x"}), 400, "create_time")

    def test_ids_of_path_and_body_must_agree(self):
        self.assertEqual(self.admin("PUT", "/routes", {**mocking("/a", "x"), "id": "named"}).status, 201)
        self.assertEqual(self.admin("PUT", "/routes", {**mocking("/a", "x"), "id": 17}).json()["key"], "/apisix/routes/17")
        self.assert_refused(self.admin("PUT", "/routes/1", {**mocking("/a", "x"), "id": "2"}), 400, "wrong route id")
        self.assert_refused(self.admin("PUT", "/routes", mocking("/a", "x")), 400, "missing route id")
        self.assert_refused(self.admin("PUT", "/routes/a%20b", mocking("/a", "x")), 400, 'property "id" validation failed')
        self.assert_refused(self.admin("PUT", "/routes/" + "x" * 65, mocking("/a", "x")), 400, 'property "id"')

    def test_what_is_wrong_is_said_in_the_words_of_the_contract(self):
        cases = [
            ("", 400, "missing configurations"),
            (b"{", 400, "invalid request body: "),
            ({"uri": "/a"}, 400, "invalid configuration: "),
            ({"uri": 1, "plugins": {}}, 400, 'invalid configuration: property "uri" validation failed: wrong type: expected string, got number'),
            ({"uri": "/a", "plugins": {}, "bogus": 1}, 400, "invalid configuration: additional properties forbidden, found bogus"),
            ({"uri": "/a", "host": "a", "hosts": ["b"], "plugins": {}}, 400, "only one of host or hosts is allowed"),
            ({"uri": "/a", "upstream_id": "9"}, 400, "failed to fetch upstream info by upstream id [9], response code: 404"),
            ({"uri": "/a", "service_id": "9"}, 400, "failed to fetch service info by service id [9], response code: 404"),
            ({"uri": "/a", "plugin_config_id": "9", "plugins": {}}, 400, "failed to fetch plugin config info by plugin config id [9], response code: 404"),
            ({"uri": "/a", "plugins": {"nothing": {}}}, 400, "unknown plugin [nothing]"),
            ({"uri": "/a", "plugins": {"mocking": {"response_status": 1}}}, 400, "failed to check the configuration of plugin mocking err: "),
            ({"uri": "/a", "plugins": {}, "vars": ["x"]}, 400, "failed to validate the 'vars' expression: "),
            ({"uri": "/a", "plugins": {}, "filter_func": "function( broken"}, 400, "failed to load 'filter_func' string: "),
            ({"uri": "/a", "plugins": {}, "create_time": 1}, 400, "the property is forbidden:  create_time"),
            ({"uri": "/a", "upstream": {"nodes": {"a:1": 1}, "update_time": 1}}, 400, "the property is forbidden:  upstream.update_time"),
            ({"uri": "/[", "plugins": {}, "vars": [["uri", "~~", "["]]}, 400, "vars"),
        ]
        for body, status, text in cases:
            with self.subTest(body=body):
                self.assert_refused(self.admin("PUT", "/routes/1", body), status, text)
        self.assertEqual(self.admin("GET", "/routes").json(), {"list": [], "total": 0}, "nothing of it is there")

    def test_what_is_odd_is_served_and_said_in_one_line(self):
        done = self.put("/routes/1", {**mocking("odd\r\nX-Forged: 1", "x")})
        self.assertIn("no path is like this", done.get("X-Moongate-Warning"))
        self.assertIsNone(done.get("X-Forged"))

    def test_a_bad_body_is_quoted(self):
        answer = self.admin("PUT", "/routes/1", b'{"uri": }')
        self.assertEqual(answer.json()["req_body"], '{"uri": }')

    def test_ttl_ends_an_object(self):
        self.assert_refused(self.admin("PUT", "/routes/1?ttl=soon", mocking("/t", "x")), 400, "invalid argument ttl: should be a number")
        self.put("/routes/1?ttl=0.2", mocking("/t", "short"))
        self.wait(lambda: self.gw.get("/t").status == 404, "the route being gone")
        self.assertEqual(self.admin("GET", "/routes/1").status, 404)
        self.assertIn("ttl: routes/1", self.gw.run("history").stdout)

    def test_if_match_swaps_only_what_was_seen(self):
        tag = self.put("/routes/1", mocking("/a", "one")).get("ETag")
        self.put("/routes/1", mocking("/a", "two"))
        self.assert_refused(self.admin("PUT", "/routes/1", mocking("/a", "three"), {"If-Match": tag}), 412, "value changed")
        now = self.admin("GET", "/routes/1").get("ETag")
        self.assertEqual(self.admin("PATCH", "/routes/1", {"desc": "d"}, {"If-Match": now}).status, 200)
        self.assertEqual(self.gw.get("/a").body, b"two")

    def test_a_plugin_that_nothing_used_yet_is_found(self):
        self.gw.write_plugin("greeter", """local _M = {version = 1, priority = 10, name = "greeter",
            schema = {type = "object", properties = {word = {type = "string"}}, required = {"word"}}}
            function _M.check_schema(conf) return require("apisix.core").schema.check(_M.schema, conf) end
            function _M.access(conf) return 200, conf.word end return _M""")
        self.put("/routes/1", {"uri": "/g", "plugins": {"greeter": {"word": "hello"}}})
        self.assertIn(b"hello", self.gw.get("/g").body)
        self.assert_refused(self.admin("PUT", "/routes/2", {"uri": "/g", "plugins": {"greeter": {}}}), 400,
                            'failed to check the configuration of plugin greeter err: property "word" is required')


@sanitized
class OtherResources(AdminCase):
    def test_services_and_upstreams_are_used_and_then_cannot_be_deleted(self):
        up = self.upstream()
        self.put("/upstreams/u", {"type": "roundrobin", "nodes": up.nodes})
        self.put("/services/s", {"upstream_id": "u"})
        self.put("/routes/1", {"uri": "/s", "service_id": "s"})
        self.put("/routes/2", {"uri": "/u", "upstream_id": "u"})
        for path in ("/s", "/u"):
            self.assertEqual(self.gw.get(path).status, 200)
        self.assert_refused(self.admin("DELETE", "/upstreams/u"), 400, "can not delete this upstream, route [2] is still using it now")
        self.assert_refused(self.admin("DELETE", "/services/s"), 400, "can not delete this service directly, route [1] is still using it now")
        self.admin("DELETE", "/routes/2")
        self.assert_refused(self.admin("DELETE", "/upstreams/u"), 400, "can not delete this upstream, service [s] is still using it now")
        self.admin("DELETE", "/routes/1")
        self.assertEqual(self.admin("DELETE", "/services/s").status, 200)
        self.assertEqual(self.admin("DELETE", "/upstreams/u").status, 200)

    def test_force_deletes_what_is_used_and_its_routes_say_so(self):
        up = self.upstream()
        self.put("/upstreams/u", {"nodes": up.nodes})
        self.put("/routes/1", {"uri": "/u", "upstream_id": "u"})
        self.put("/routes/2", mocking("/other", "fine"))
        self.assertEqual(self.admin("DELETE", "/upstreams/u?force=true").status, 200)
        self.assertGreaterEqual(self.gw.get("/u").status, 502)
        self.assertIn("routes/1", " ".join(self.gw.status()["quarantined"]))
        self.restart()
        self.assertGreaterEqual(self.gw.get("/u").status, 502)
        self.assertEqual(self.gw.get("/other").body, b"fine")
        self.put("/upstreams/u", {"nodes": up.nodes})
        self.assertEqual(self.gw.get("/u").status, 200)
        self.assertEqual(self.gw.status()["quarantined"], [])

    def test_consumers_and_their_credentials(self):
        self.put("/routes/1", {**mocking("/a", "in"), "plugins": {"key-auth": {}, **mocking("/", "in")["plugins"]}})
        made = self.admin("PUT", "/consumers", {"username": "jack", **plugins(**{"key-auth": {"key": "jacks"}})})
        self.assertEqual((made.status, made.json()["key"]), (201, "/apisix/consumers/jack"))
        self.assertNotIn("id", made.json()["value"])
        self.assertEqual(self.gw.get("/a", {"apikey": "jacks"}).body, b"in")
        self.assertEqual(self.admin("PUT", "/consumers/jack", {"username": "jack"}).status, 200)
        self.assertEqual(self.gw.get("/a", {"apikey": "jacks"}).status, 401)
        self.assert_refused(self.admin("PUT", "/consumers/jack", {"username": "jill"}), 400, "wrong username")
        self.assert_refused(self.admin("PUT", "/consumers/jack", {}), 400, 'property "username" is required')
        self.assert_refused(self.admin("POST", "/consumers", {"username": "x"}), 405, "not supported `POST` method for consumer")
        self.assert_refused(self.admin("PATCH", "/consumers/jack", {}), 405, "not supported `PATCH` method for consumer")
        self.assert_refused(self.admin("PUT", "/consumers", {"username": "x", **plugins(**{"key-auth": {"key": 1}})}), 400,
                            "invalid plugins configuration: failed to check the configuration of plugin key-auth err: ")
        credential = plugins(**{"key-auth": {"key": "c-one"}})
        self.assert_refused(self.admin("PUT", "/consumers/jill/credentials/c1", credential), 404, "consumer not found")
        made = self.admin("PUT", "/consumers/jack/credentials/c1", credential)
        self.assertEqual((made.status, made.json()["key"], made.json()["value"]["id"]),
                         (201, "/apisix/consumers/jack/credentials/c1", "c1"))
        self.assertEqual(self.gw.get("/a", {"apikey": "c-one"}).body, b"in")
        self.assertEqual(self.admin("GET", "/consumers/jack/credentials").json()["total"], 1)
        self.assertEqual(self.admin("GET", "/consumers").json()["total"], 1)
        self.assertEqual(self.admin("GET", "/consumers/jack/credentials/c1").json()["value"]["id"], "c1")
        self.put("/consumers", {"username": "jill"})
        self.assert_refused(self.admin("PUT", "/consumers/jill/credentials/c2", credential), 400,
                            "duplicate key of plugin key-auth found with credential: c1 of consumer: jack")
        self.assert_refused(self.admin("PUT", "/consumers/jack/credentials/c3", plugins(**mocking("/", "x")["plugins"])), 400,
                            "only supports auth type plugins in consumer credential")
        self.assertEqual(self.admin("DELETE", "/consumers/jack").status, 200)
        self.assertEqual(self.gw.get("/a", {"apikey": "c-one"}).status, 401)
        self.assert_refused(self.admin("GET", "/consumers/jack/credentials/c1"), 404, "consumer not found")
        self.put("/consumers/jill/credentials/c2", credential)

    def test_the_id_of_a_credential_may_be_in_the_body(self):
        self.put("/consumers", {"username": "jack"})
        credential = plugins(**{"key-auth": {"key": "c-one"}})
        made = self.admin("PUT", "/consumers/jack/credentials", {"id": "c1", **credential})
        self.assertEqual((made.status, made.json()["key"]), (201, "/apisix/consumers/jack/credentials/c1"))
        self.assertEqual(self.admin("PUT", "/consumers/jack/credentials", {"id": "c1", **credential}).status, 200)
        self.assert_refused(self.admin("PUT", "/consumers/jack/credentials", credential), 400, "missing credential id")
        self.assert_refused(self.admin("DELETE", "/consumers/jack/credentials"), 400, "missing credential id")
        for other in ("x/credentials/c1", "jack/credentials/c1"):
            self.assert_refused(self.admin("PUT", "/consumers/jack/credentials", {"id": other, **credential}), 400,
                                "wrong credential id")
        self.assertEqual(self.admin("GET", "/consumers/jack/credentials").json()["total"], 1)

    def test_two_consumers_do_not_share_a_key(self):
        self.put("/consumers", {"username": "jack", **plugins(**{"key-auth": {"key": "same"}})})
        self.assert_refused(self.admin("PUT", "/consumers", {"username": "jill", **plugins(**{"key-auth": {"key": "same"}})}), 400,
                            "duplicate key of plugin key-auth found with consumer: jack")
        self.put("/consumers", {"username": "jack", **plugins(**{"key-auth": {"key": "other"}})})
        self.put("/consumers", {"username": "jill", **plugins(**{"key-auth": {"key": "same"}})})

    def test_cost_decorations_belong_to_their_service_and_go_with_it(self):
        folder = "/services/s/graphql_cost_decorations"
        decoration = {"field_path": "Query.products", "mul_arguments": ["first"], "add_value": 2.5}
        self.assert_refused(self.admin("PUT", folder + "/d1", decoration), 404, "service not found")
        self.put("/services/s", {"upstream": nodes()})
        self.put("/services/other", {"upstream": nodes()})
        self.assertEqual(self.admin("GET", folder).status, 404)
        made = self.admin("PUT", folder + "/d1", decoration)
        self.assertEqual((made.status, made.json()["key"]), (201, "/apisix/services/s/graphql_cost_decorations/d1"))
        value = made.json()["value"]
        self.assertEqual({**decoration, "id": "d1", "service_id": "s"},
                         {key: value[key] for key in value if key not in ("create_time", "update_time")})
        self.assertEqual(self.admin("GET", folder + "/d1").json()["value"], value)
        for wrong, text in (({}, 'property "field_path" is required'), ({**decoration, "field_path": "a..b"}, "failed to match pattern"),
                            ({"field_path": "Query.b", "add_value": -1}, "expected -1 to be at least 0"),
                            ({"field_path": "Query.b", "x": 1}, "additional properties forbidden, found x"),
                            ({**decoration, "service_id": "other"}, "wrong service_id, it is taken from the path"),
                            (decoration, "field_path Query.products is already decorated on this service by [d1]")):
            self.assert_refused(self.admin("PUT", folder + "/d2", wrong), 400, text)
        self.put("/services/other/graphql_cost_decorations/d1", decoration)
        listed = self.admin("PUT", folder, {"id": "d9", "field_path": "Query.z"})
        self.assertEqual((listed.status, listed.json()["key"]), (201, "/apisix/services/s/graphql_cost_decorations/d9"))
        self.assertEqual(self.admin("DELETE", folder + "/d9").status, 200)
        posted = self.admin("POST", folder, {"field_path": "Product"})
        self.assertEqual((posted.status, len(posted.json()["value"]["id"])), (201, 20))
        patched = self.admin("PATCH", folder + "/d1", {"add_value": 7})
        self.assertEqual((patched.status, patched.json()["value"]["add_value"]), (200, 7))
        self.assertEqual(self.admin("PATCH", folder + "/d1/mul_value", "3").json()["value"]["mul_value"], 3)
        self.assert_refused(self.admin("PATCH", folder + "/d1", {"service_id": "other"}), 400, "service_id can not be patched")
        self.assert_refused(self.admin("PATCH", folder + "/d1", {"field_path": "Product"}), 400, "is already decorated")
        self.assertEqual(self.admin("GET", folder).json()["total"], 2)
        self.assertEqual(self.admin("GET", "/services").json()["total"], 2)
        self.restart()
        self.assertEqual(self.admin("GET", folder + "/d1").json()["value"]["add_value"], 7)
        self.assertEqual(self.admin("DELETE", posted.json()["key"].removeprefix("/apisix")).status, 200)
        self.assertEqual(self.admin("DELETE", "/services/s").status, 200)
        self.assertEqual(self.admin("GET", folder + "/d1").status, 404)
        self.assertEqual(self.admin("GET", "/services/other/graphql_cost_decorations").json()["total"], 1)

    def test_cost_decorations_are_in_the_whole_configuration_and_in_files(self):
        decoration = {"id": "s/graphql_cost_decorations/d1", "field_path": "Query.a"}
        service = {"id": "s", "upstream": nodes()}
        self.assertEqual(self.admin("PUT", "/configs", {"services": [service, decoration]}, {"X-Digest": "1"}).status, 202)
        told = [item for item in self.admin("GET", "/configs").json()["services"] if item["id"] != "s"]
        self.assertEqual([(item["id"], item["service_id"], item["field_path"]) for item in told], [(decoration["id"], "s", "Query.a")])
        refused = self.admin("PUT", "/configs", {"services": [service, {**decoration, "service_id": "t"}]}, {"X-Digest": "2"})
        self.assert_refused(refused, 400, "service_id: is `t`")
        self.assertEqual(self.admin("PUT", "/configs", {"services": []}, {"X-Digest": "3"}).status, 202)
        self.gw.apply({"services": [service, decoration]})
        self.assertEqual(self.admin("GET", "/services/s/graphql_cost_decorations/d1").json()["value"]["service_id"], "s")
        self.assert_refused(self.admin("DELETE", "/services/s/graphql_cost_decorations/d1"), 405, "change it there")
        self.assertEqual(self.admin("GET", "/schema/graphql_cost_decoration").json()["required"], ["field_path"])

    def test_groups_and_plugin_configs_in_use_are_kept(self):
        mock = mocking("/", "shared")["plugins"]
        self.put("/plugin_configs/p", {"plugins": mock})
        self.put("/routes/1", {"uri": "/p", "plugin_config_id": "p", "plugins": {}})
        self.assertEqual(self.gw.get("/p").body, b"shared")
        self.assert_refused(self.admin("DELETE", "/plugin_configs/p"), 400, "can not delete this plugin config, route [1] is still using it now")
        self.put("/consumer_groups/g", {"plugins": {}})
        self.put("/consumers", {"username": "jack", "group_id": "g"})
        self.assert_refused(self.admin("DELETE", "/consumer_groups/g"), 400, "can not delete this consumer group, consumer [jack] is still using it now")
        self.assert_refused(self.admin("PUT", "/consumer_groups/x", {}), 400, 'property "plugins" is required')
        self.assertEqual(self.admin("PATCH", "/consumer_groups/g", {"desc": "d"}).status, 200)
        self.admin("DELETE", "/consumers/jack")
        self.assertEqual(self.admin("DELETE", "/consumer_groups/g").status, 200)

    def test_a_plugin_is_in_one_global_rule_only(self):
        self.put("/global_rules/1", {"plugins": {"request-id": {}}})
        self.assert_refused(self.admin("PUT", "/global_rules/2", {"plugins": {"request-id": {}}}), 400,
                            "plugin 'request-id' already exists in global rule with id '1'")
        self.put("/global_rules/1", {"plugins": {"request-id": {"include_in_response": True}}})
        self.put("/routes/1", mocking("/r", "x"))
        self.assertIsNotNone(self.gw.get("/r").get("X-Request-Id"))
        self.assertEqual(self.admin("DELETE", "/global_rules/1").status, 200)
        self.assertIsNone(self.gw.get("/r").get("X-Request-Id"))

    def test_plugin_metadata_protos_and_secrets_are_kept(self):
        self.assert_refused(self.admin("PUT", "/plugin_metadata", {}), 400, "missing plugin name")
        self.assert_refused(self.admin("PUT", "/plugin_metadata/nothing", {"a": 1}), 400, "invalid plugin name")
        made = self.admin("PUT", "/plugin_metadata/mocking", {"any": 1})
        self.assertEqual((made.status, made.json()["value"]), (201, {"any": 1}))
        self.assertEqual(self.admin("GET", "/plugin_metadata/mocking").json()["value"], {"any": 1})
        self.put("/protos/1", {"content": 'syntax = "proto3";'})
        self.assert_refused(self.admin("PUT", "/protos/2", {}), 400, 'property "content" is required')
        vault = {"uri": "http://127.0.0.1:1", "prefix": "kv", "token": "t"}
        made = self.admin("PUT", "/secrets/vault/1", vault)
        self.assertEqual((made.status, made.json()["key"]), (201, "/apisix/secrets/vault/1"))
        self.assert_refused(self.admin("PUT", "/secrets/bank/1", vault), 400, "invalid secret manager: bank")
        self.assert_refused(self.admin("PUT", "/secrets/vault", vault), 400, "missing secret id")
        self.assertEqual(self.admin("GET", "/secrets").json()["total"], 1)
        self.assertEqual(self.admin("DELETE", "/secrets/vault/1").status, 200)

    def test_keys_of_certificates_are_never_returned(self):
        shop = certificate("shop.example")
        body = {"sni": "shop.example", "cert": shop.cert, "key": shop.key}
        made = self.admin("PUT", "/ssls/1", body)
        self.assertEqual(made.status, 201, made)
        for answer in (made, self.admin("GET", "/ssls/1"), self.admin("GET", "/ssls")):
            self.assertNotIn("PRIVATE KEY", answer.body.decode())
        self.assertEqual(self.admin("GET", "/ssls/1").json()["value"]["sni"], "shop.example")
        self.assertEqual(self.admin("PATCH", "/ssls/1", {"labels": {"a": "b"}}).status, 200, "the key is still there")
        self.assert_refused(self.admin("PUT", "/ssls/2", {**body, "certs": [shop.cert]}), 400, "mismatched number of certs and keys")

    def test_what_is_no_certificate_is_named_as_apisix_names_it(self):
        shop, other = certificate("shop.example"), certificate("other.example")
        good = {"sni": "shop.example", "cert": shop.cert, "key": shop.key}
        bad_cert, bad_key = shop.cert.replace("\n", "\n!", 3), shop.key.replace("\n", "\n!", 3)
        no_cert = "failed to parse cert: PEM_read_bio_X509_AUX() failed"
        no_key = "failed to parse key: PEM_read_bio_PrivateKey() failed"
        for body, text in (({"cert": bad_cert}, no_cert), ({"key": bad_key}, no_key),
                           ({"certs": [other.cert, bad_cert], "keys": [other.key, other.key]}, "failed to handle cert-key pair[2]: " + no_cert),
                           ({"certs": [other.cert], "keys": [bad_key]}, "failed to handle cert-key pair[1]: " + no_key),
                           ({"client": {"ca": bad_cert}}, "failed to validate client_cert: " + no_cert)):
            refused = self.admin("PUT", "/ssls/1", {**good, **body})
            self.assertEqual((refused.status, refused.json()), (400, {"error_msg": text}))
        self.assert_refused(self.admin("PUT", "/ssls/1", {**good, "key": other.key}), 400, "the key does not belong to the certificate")
        self.assertEqual(self.admin("PUT", "/ssls/1", {**good, "certs": [other.cert], "keys": [other.key]}).status, 201)

    def test_stream_routes_are_refused(self):
        for method, path in (("PUT", "/stream_routes/1"), ("POST", "/stream_routes")):
            self.assert_refused(self.admin(method, path, {"upstream": nodes()}), 400, "stream mode is disabled, can not add stream routes")
        self.assertEqual(self.admin("GET", "/stream_routes").json(), {"list": [], "total": 0})

    def test_what_there_is_not_is_named(self):
        self.assert_refused(self.admin("GET", "/nothing"), 404, "Unsupported resource type: nothing")
        self.assertEqual(self.admin("HEAD", "").status, 200)


class Trusting(AdminCase):
    more = {"moongate": {"upstream": {"tls_trusted_certificate": authority().cert_path}}}

    def test_what_is_trusted_does_not_keep_resources_from_being_made(self):
        self.put("/routes/1", {"uri": "/a", "upstream": {"scheme": "https", **nodes()}})
        self.assertEqual(self.admin("GET", "/routes").json()["total"], 1)


class Lists(AdminCase):
    def test_pages_filters_and_totals(self):
        for i in range(25):
            self.put(f"/routes/r{24 - i:02}", {**mocking(f"/x/{i}", "x"), "name": f"name-{i}", "labels": {"even": "1"} if i % 2 == 0 else {"odd": "1"}})
        everything = self.admin("GET", "/routes").json()
        self.assertEqual(everything["total"], 25)
        self.assertEqual([e["value"]["name"] for e in everything["list"]], [f"name-{i}" for i in range(25)], "by createdIndex")
        page = self.admin("GET", "/routes?page=3&page_size=10").json()
        self.assertEqual((page["total"], [e["value"]["name"] for e in page["list"]]), (25, [f"name-{i}" for i in range(20, 25)]))
        self.assertEqual(self.admin("GET", "/routes?page=9&page_size=10").json()["list"], [])
        for size in ("9", "501", "x"):
            answer = self.admin("GET", "/routes?page=1&page_size=" + size)
            self.assertEqual((answer.status, answer.body.strip()), (400, b"page_size must be between 10 and 500"))
        self.assertEqual(self.admin("GET", "/routes?label=even").json()["total"], 13)
        self.assertEqual(self.admin("GET", "/routes?name=name-1").json()["total"], 11)
        self.assertEqual(self.admin("GET", "/routes?uri=" + quote("/x/2")).json()["total"], 6)
        self.assertEqual(self.admin("GET", "/routes?label=odd&name=name-1&page=1&page_size=10").json()["total"], 6)
        self.put("/upstreams/u", nodes())
        self.put("/routes/by-u", {"uri": "/u", "upstream_id": "u"})
        self.assertEqual([e["value"]["id"] for e in self.admin("GET", "/routes?filter=" + quote("upstream_id=u")).json()["list"]], ["by-u"])
        self.assertEqual(self.admin("GET", "/routes?filter=" + quote("service_id=u")).json()["total"], 0)
        self.assert_refused(self.admin("GET", "/routes?name=["), 400, "invalid pattern `[`")


class Schemas(AdminCase):
    def test_plugins_and_schemas_are_told(self):
        names = self.admin("GET", "/plugins/list").json()
        self.assertIn("key-auth", names)
        self.assertLess(names.index("key-auth"), names.index("proxy-rewrite"), "by priority")
        self.assertEqual(self.admin("GET", "/plugins/list?subsystem=bogus").status, 400)
        self.assertEqual(self.admin("GET", "/plugins/key-auth").json()["type"], "object")
        self.assert_refused(self.admin("GET", "/plugins/nothing"), 404, "plugin not found in subsystem http")
        schema = self.admin("GET", "/schema/plugins/key-auth?schema_type=consumer").json()
        self.assertIn("key", schema["properties"])
        self.assertIn("_meta", schema["properties"])
        self.assertIn("$comment", schema)
        self.assertIn("uri", self.admin("GET", "/schema/route").json()["properties"])
        self.assert_refused(self.admin("GET", "/schema/x"), 400, "not found schema: x")
        self.assertIn("limit-count", self.admin("GET", "/plugins?all=true").json())
        done = self.admin("PUT", "/plugins/reload")
        self.assertEqual((done.status, done.body.strip()), (200, b"done"))
        self.assertEqual(self.admin("GET", "/plugins/reload").status, 405)

    def test_a_schema_validates_without_changing_anything(self):
        good = self.admin("POST", "/schema/validate/routes", {"uri": "/a", "plugins": {"unknown": {}}})
        self.assertEqual((good.status, good.body), (200, b""))
        self.assert_refused(self.admin("POST", "/schema/validate/routes", {"uri": 1, "plugins": {}}), 400, 'property "uri"')
        self.assertEqual(self.admin("GET", "/routes").json()["total"], 0)


class Whole(AdminCase):
    def test_a_whole_configuration_replaces_what_the_api_made(self):
        self.put("/routes/old", mocking("/old", "old"))
        config = {"routes": [{"id": "new", **mocking("/new", "new"), "service_id": "s"}],
                  "services": [{"id": "s", "upstream": nodes()}],
                  "consumers": [{"username": "jack"}, {"id": "jack/credentials/c1", **plugins(**{"key-auth": {"key": "k"}})}]}
        self.assert_refused(self.admin("PUT", "/configs", config), 400, "missing digest header")
        done = self.admin("PUT", "/configs", config, {"X-Digest": "d1"})
        self.assertEqual((done.status, done.get("X-Digest")), (202, "d1"), done)
        self.assertEqual((self.gw.get("/new").body, self.gw.get("/old").status), (b"new", 404))
        self.assertEqual(self.admin("PUT", "/configs", config, {"X-Digest": "d1"}).status, 204)
        whole = self.admin("GET", "/configs").json()
        self.assertEqual([r["id"] for r in whole["routes"]], ["new"])
        bad = {"routes": [{"id": "bad", "uri": 1, "plugins": {}}]}
        self.assert_refused(self.admin("PUT", "/configs", bad, {"X-Digest": "d2"}), 400, 'property "uri"')
        self.assertEqual(self.gw.get("/new").body, b"new")
        stale = {"routes": [], "routes_conf_version": 0}
        self.assert_refused(self.admin("PUT", "/configs", stale, {"X-Digest": "d3"}), 400, "routes_conf_version must be greater than or equal to")
        self.assertEqual(self.admin("PUT", "/configs", {}, {"X-Digest": "d4"}).status, 202)
        self.assertEqual(self.gw.get("/new").status, 404)

    def test_a_whole_configuration_may_be_yaml_both_ways(self):
        yaml = {"Content-Type": "application/yaml", "X-Digest": "y1"}
        text = "routes:\n  - id: y\n    uri: /y   # a comment\n    plugins: {mocking: {response_example: yaml, content_type: text/plain}}\n"
        done = self.admin("PUT", "/configs", text, yaml)
        self.assertEqual((done.status, done.get("X-Digest"), done.get("X-Last-Modified").isdigit()), (202, "y1", True), done)
        self.assertEqual(self.gw.get("/y").body, b"yaml")
        shown = self.admin("GET", "/configs", headers={"Accept": "application/yaml"})
        self.assertEqual((shown.get("Content-Type"), shown.get("X-Digest"), shown.get("X-Last-Modified")), ("application/yaml", "y1", done.get("X-Last-Modified")))
        again = self.admin("PUT", "/configs", shown.body, {**yaml, "X-Digest": "y2"})
        self.assertEqual(again.status, 202, again.body)
        self.assertEqual(self.gw.get("/y").body, b"yaml")
        head = self.admin("HEAD", "/configs")
        self.assertEqual((head.status, head.body, head.get("X-Digest")), (200, b"", "y2"))
        for bad in ("routes: [", "- a list", "a text"):
            self.assert_refused(self.admin("PUT", "/configs", bad, yaml | {"X-Digest": "y3"}), 400, "invalid request body: invalid yaml request body")
            self.assert_refused(self.admin("POST", "/configs/validate", bad, yaml), 400, "invalid request body: invalid yaml request body")
        self.assertEqual(self.admin("POST", "/configs/validate", text, yaml).json(), {})

    def test_versions_of_lists_are_the_client_s_and_an_equal_one_leaves_its_list_alone(self):
        shop = certificate("shop.example")
        first = {"routes": [{"id": "a", **mocking("/a", "a")}], "ssls": [{"id": "s", "sni": "shop.example", "cert": shop.cert, "key": shop.key}],
                 "routes_conf_version": 1000, "ssls_conf_version": 7}
        self.assertEqual(self.admin("PUT", "/configs", first, {"X-Digest": "1"}).status, 202)
        whole = self.admin("GET", "/configs").json()
        self.assertEqual([whole[k + "_conf_version"] for k in ("routes", "ssls", "services")], [1000, 7, 1])
        lower = {"routes": [], "routes_conf_version": 999}
        self.assert_refused(self.admin("PUT", "/configs", lower, {"X-Digest": "2"}), 400, "routes_conf_version must be greater than or equal to (1000)")
        self.assert_refused(self.admin("PUT", "/configs", {"routes_conf_version": "x"}, {"X-Digest": "2"}), 400, "routes_conf_version must be a number")
        same = {"routes": [], "routes_conf_version": 1000, "ssls_conf_version": 7}
        self.assertEqual(self.admin("PUT", "/configs", same, {"X-Digest": "3"}).status, 202)
        self.assertEqual((self.gw.get("/a").body, self.admin("GET", "/ssls/s").status), (b"a", 200))
        self.put("/routes/b", mocking("/b", "b"))
        after = self.admin("GET", "/configs")
        self.assertEqual((after.json()["routes_conf_version"], after.get("X-Digest")), (1001, None))
        self.assertEqual(self.admin("PUT", "/configs", {"routes": [], "ssls_conf_version": 7}, {"X-Digest": "4"}).status, 202)
        self.assertEqual((self.gw.get("/a").status, self.admin("GET", "/ssls/s").status), (404, 200))

    def test_validate_names_every_fault(self):
        answer = self.admin("POST", "/configs/validate", {"routes": [mocking("/a", "x") | {"id": "1"}, {"id": "2", "uri": 1, "plugins": {}}]})
        self.assertEqual(answer.status, 400)
        (error,) = answer.json()["errors"]
        self.assertEqual((error["resource_type"], error["resource_id"], error["index"]), ("routes", "2", 1))
        twice = self.admin("POST", "/configs/validate", {"consumers": [{"username": "jack"}, {"username": "jack"}]}).json()["errors"]
        self.assertEqual([(e["index"], e["error"]) for e in twice], [(1, "found duplicate username jack in consumers")])
        self.assertEqual(self.admin("POST", "/configs/validate", {"routes": [mocking("/a", "x") | {"id": "1"}]}).json(), {})
        self.assertEqual(self.admin("GET", "/routes").json()["total"], 0)


class ControlApi(AdminCase):
    def setUp(self):
        self.port = free_port()
        self.gw = self.serve({"routes": [{"id": "file", **mocking("/f", "f")}]}, moongate={"control": {"listen": f"127.0.0.1:{self.port}"}})

    def call(self, path, method="GET", headers=None):
        return request(self.port, method, path, headers or {})

    def test_what_is_in_memory_is_told_without_a_key(self):
        self.put("/upstreams/u", nodes())
        self.put("/plugin_metadata/mocking", {"a": 1})
        self.assertEqual([i["key"] for i in self.call("/v1/routes").json()], ["/apisix/routes/file"])
        self.assertEqual(self.call("/v1/upstream/u").json()["value"]["nodes"], {"127.0.0.1:1": 1})
        missing = self.call("/v1/route/9")
        self.assertEqual((missing.status, missing.json()["error_msg"]), (404, "route[9] not found"))
        self.assertEqual(self.call("/v1/plugin_metadatas").json(), [{"a": 1, "id": "mocking"}])
        self.assertEqual(self.call("/v1/plugin_metadata/x").json()["error_msg"], "plugin metadata[x] not found")
        schema = self.call("/v1/schema").json()
        self.assertIn("uri", schema["main"]["route"]["properties"])
        self.assertIn("priority", schema["plugins"]["key-auth"])
        self.assertEqual(self.call("/v1/healthcheck").json(), [])
        self.assertEqual(self.call("/v1/healthcheck/upstreams/u").json()["error_msg"], "no checker for upstreams[u]")
        self.assertEqual(self.call("/v1/healthcheck/x/1").status, 400)
        self.assertEqual(self.call("/v1/gc", "POST").status, 200)
        self.assertEqual(self.call("/v1/plugins/reload", "PUT").body.strip(), b"done")
        self.assertEqual(self.call("/v2").status, 404)
        self.assertEqual(self.call("/v1/routes", "DELETE").status, 404)
        self.put("/upstreams/u", nodes("127.0.0.1:2"))

    def test_pages_of_others_are_refused(self):
        self.assertEqual(self.call("/v1/routes", headers={"Host": "evil.example"}).status, 403)
        self.assertEqual(self.call("/v1/gc", "POST", {"Host": "127.0.0.1", "Origin": "http://evil.example"}).status, 403)


if __name__ == "__main__":
    unittest.main()
