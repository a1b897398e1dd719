# SPDX-License-Identifier: Apache-2.0
"""What says who the client is comes from the gateway, never from the client: identity fields and forwarded fields."""

import base64
import unittest

from harness import HOST, TestCase, describe, route, sanitized

STRIPPED = ["X-Consumer-Username", "X-Consumer-Custom-ID", "X-Consumer-Group-Id", "X-Credential-Identifier", "X-Userinfo"]


def spellings(name):
    """A field name as clients forge it."""
    under = name.replace("-", "_")
    mixed = under.replace("_", "-", 1)
    return [name, name.lower(), name.upper(), under, under.lower(), under.upper(), mixed, name.swapcase()]


def normal(name):
    return name.lower().replace("_", "-")


PLUGINS = {
    "none": {},
    "key-auth": {"key-auth": {"anonymous_consumer": "guest"}},
    "basic-auth": {"basic-auth": {"anonymous_consumer": "guest"}},
    "jwt-auth": {"jwt-auth": {"anonymous_consumer": "guest"}},
}
CONSUMERS = [{"username": "guest"},
             {"username": "jack", "plugins": {"key-auth": {"key": "jacks-key"}, "basic-auth": {"username": "jack", "password": "pw"}}}]


@sanitized
class Identity(TestCase):
    def forged(self, up):
        return {normal(n): v for r in up.take() for n, v in r.fields if "forged" in v}

    def test_no_spelling_of_an_identity_field_passes_any_authentication_plugin(self):
        for plugin, conf in PLUGINS.items():
            up = self.upstream(describe)
            gw = self.serve({"routes": [route("/*", up, plugins=conf)], "consumers": CONSUMERS}, workers=1)
            for name in STRIPPED:
                for spelling in spellings(name):
                    with self.subTest(plugin=plugin, spelling=spelling):
                        r = gw.get("/", [(spelling, "forged"), (spelling, "forged, again")])
                        self.assertIn(r.status, (200, 400))
                        self.assertEqual(self.forged(up), {})
            gw.close()

    def test_a_forged_name_does_not_survive_beside_the_real_one(self):
        up = self.upstream(describe)
        gw = self.serve({"routes": [route("/*", up, plugins={"key-auth": {}})], "consumers": CONSUMERS}, workers=1)
        for spelling in spellings("X-Consumer-Username"):
            gw.get("/", [("apikey", "jacks-key"), (spelling, "admin")])
            names = [v for n, v in up.last().fields if normal(n) == "x-consumer-username"]
            self.assertEqual(names, ["jack"], spelling)

    def test_connection_cannot_remove_the_identity_that_the_gateway_adds(self):
        up = self.upstream(describe)
        gw = self.serve({"routes": [route("/*", up, plugins={"key-auth": {}})], "consumers": CONSUMERS}, workers=1)
        gw.get("/", [("apikey", "jacks-key"), ("Connection", "X-Consumer-Username, close")])
        self.assertEqual(up.last().get("X-Consumer-Username"), "jack")

    def test_plugins_do_not_see_forged_fields_either(self):
        up = self.upstream(describe)
        tell = ("return function(conf, ctx) local core = require('apisix.core') "
                "core.request.set_header(ctx, 'X-Seen', tostring(core.request.header(ctx, 'X-Consumer-Username'))) end")
        gw = self.serve({"routes": [route("/*", up, plugins={"serverless-pre-function": {"functions": [tell], "phase": "rewrite"}})]},
                        workers=1)
        gw.get("/", {"x_consumer_username": "forged"})
        self.assertEqual(up.last().get("X-Seen"), "nil")

    def test_basic_auth_names_the_consumer(self):
        up = self.upstream(describe)
        gw = self.serve({"routes": [route("/*", up, plugins={"basic-auth": {}})], "consumers": CONSUMERS}, workers=1)
        credentials = base64.b64encode(b"jack:pw").decode()
        self.assertEqual(gw.get("/", {"Authorization": "Basic " + credentials}).status, 200)
        self.assertEqual(up.last().get("X-Consumer-Username"), "jack")
        self.assertEqual(gw.get("/", {"Authorization": "Basic " + base64.b64encode(b"jack:no").decode()}).status, 401)


@sanitized
class Forwarded(TestCase):
    FORGED = [("X-Forwarded-For", "198.51.100.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "bank.example"),
              ("X-Forwarded-Port", "443"), ("X-Real-IP", "198.51.100.9"), ("Forwarded", "for=198.51.100.9;proto=https")]

    def test_an_untrusted_peer_is_not_believed(self):
        gw, up = self.proxy(moongate={"trusted_addresses": ["203.0.113.0/24"]})
        gw.get("/", self.FORGED)
        r = up.last()
        self.assertEqual(r.get("X-Real-IP"), HOST)
        self.assertEqual(r.get("X-Forwarded-For"), HOST)
        self.assertEqual(r.get("X-Forwarded-Proto"), "http")
        self.assertEqual(r.get("X-Forwarded-Host"), "localhost")
        self.assertEqual(r.get("X-Forwarded-Port"), str(gw.port))
        self.assertIsNone(r.get("Forwarded"))

    def test_without_trusted_addresses_nobody_is_believed(self):
        gw, up = self.proxy()
        gw.get("/", self.FORGED)
        self.assertEqual(up.last().get("X-Real-IP"), HOST)
        self.assertEqual(up.last().get("X-Forwarded-Proto"), "http")
        self.assertNotIn("bank.example", str(up.last().fields))

    def test_no_spelling_of_a_forwarded_field_passes_from_an_untrusted_peer(self):
        gw, up = self.proxy(workers=1)
        for name, _ in self.FORGED:
            for spelling in spellings(name):
                with self.subTest(spelling=spelling):
                    gw.get("/", [(spelling, "forged.example")])
                    self.assertNotIn("forged.example", str(up.take()[-1].fields))

    def test_plugins_see_none_of_what_an_untrusted_peer_forwards(self):
        look = ("return function(conf, ctx) local h = require('apisix.core').request.headers(ctx) local seen = {} "
                "for name in pairs(h) do if name:find('forwarded') or name:find('real') then seen[#seen + 1] = name end end "
                "return 200, #seen .. ' ' .. tostring(ctx.var.http_x_forwarded_proto) end")
        for trusted, seen in (([], b"0 nil"), ([HOST], b"6 https")):
            gw, _ = self.proxy(route_more={"plugins": {"serverless-pre-function": {"phase": "access", "functions": [look]}}},
                               moongate={"trusted_addresses": trusted})
            self.assertEqual(gw.get("/", self.FORGED).body, seen)

    def test_a_trusted_peer_is_believed(self):
        gw, up = self.proxy(moongate={"trusted_addresses": [HOST]})
        gw.get("/", self.FORGED)
        r = up.last()
        self.assertEqual(r.get("X-Forwarded-Proto"), "https")
        self.assertEqual(r.get("X-Forwarded-Host"), "bank.example")
        self.assertEqual(r.get("X-Forwarded-Port"), "443")
        self.assertEqual(r.get("X-Forwarded-For"), f"198.51.100.9, {HOST}")

    def test_the_client_address_is_read_from_the_right_past_trusted_proxies(self):
        gw, up = self.proxy(moongate={"trusted_addresses": [HOST, "192.0.2.0/24"]})
        gw.get("/", {"X-Forwarded-For": "10.9.9.9, 198.51.100.9, 192.0.2.7"})
        self.assertEqual(up.last().get("X-Real-IP"), "198.51.100.9")

    def test_address_rules_use_the_real_client_address(self):
        up = self.upstream()
        gw = self.serve({"routes": [route("/*", up, plugins={"ip-restriction": {"blacklist": ["198.51.100.9"]}})]}, workers=1,
                        moongate={"trusted_addresses": [HOST]})
        self.assertEqual(gw.get("/", {"X-Forwarded-For": "198.51.100.9"}).status, 403)
        self.assertEqual(gw.get("/", {"X-Forwarded-For": "198.51.100.8"}).status, 200)

    def test_a_garbled_forwarded_field_of_a_trusted_peer_does_no_harm(self):
        gw, up = self.proxy(moongate={"trusted_addresses": [HOST]}, workers=1)
        for value in ("", ",", "unknown", "1.2.3", "a" * 5000, "::1::", "127.0.0.1;drop", "\xff\xfe", ", , ,", "[::1]:99999"):
            with self.subTest(value=value):
                self.assertIn(gw.get("/", {"X-Forwarded-For": value}).status, (200, 400))
        self.assertEqual(gw.get("/").status, 200)


if __name__ == "__main__":
    unittest.main()
