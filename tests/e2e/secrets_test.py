#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`$secret://` references. What answers for Vault here is a stand-in: a small server that speaks the two calls that are
made of it, the reads of version 1 and 2 of its key-value engine, with token and namespace."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from admin import AdminCase
from certificates import authority, certificate
from harness import HOST, TestCase, sanitized, wait_for

TOKEN, VALUE = "the-token-of-vault", "the-value-in-vault"


class StandIn:
    """`secrets` are values by path and key; `status` replaces every answer."""

    def __init__(self, case, tls=None):
        stand_in = self
        self.secrets, self.status, self.asked = {"kv/web": {"key": VALUE}}, None, []
        self.together = None  # a barrier that questions wait at

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = stand_in.answer(self.path, self.headers)
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass
        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        if tls is not None:
            import ssl
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert_path, tls.key_path)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        case.addCleanup(self.close)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path, headers):
        self.asked.append(path)
        if self.together is not None:
            self.together.wait(30)
        if self.status is not None:
            return self.status, {"errors": []}
        if headers.get("X-Vault-Token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        path = path.removeprefix("/v1/")
        if path.startswith("two/data/"):  # version 2, which wants a namespace here
            values = self.secrets.get(path.removeprefix("two/data/"))
            if values is None or headers.get("X-Vault-Namespace") != "team":
                return 404, {"errors": []}
            return 200, {"data": {"data": values, "metadata": {"version": 3}}}
        values = self.secrets.get(path)
        return (200, {"data": values}) if values is not None else (404, {"errors": []})


def guarded(reference):
    """A route that shows whether its plugin has the value."""
    return {"id": "1", "uri": "/*", "plugins": {"mocking": {"response_example": reference, "content_type": "text/plain", "with_mock_header": False}}}


@sanitized
class Values(TestCase):
    limits = {"ttl": 0.2, "retry_after": 0.1, "stale": 3600}

    def gateway(self, vault, reference="$secret://vault/1/web/key", scheme="http", host=HOST, more=None, settings=None, **options):
        manager = {"id": "vault/1", "uri": f"{scheme}://{host}:{vault.port}", "prefix": "kv", "token": "$env://VAULT_TOKEN", **(more or {})}
        return self.serve({"secrets": [manager], "routes": [guarded(reference)]}, env={"VAULT_TOKEN": TOKEN},
                          moongate={"secrets": self.limits, **(settings or {})}, workers=1, **options)

    def test_a_plugin_has_the_value_and_nothing_else_shows_it(self):
        gw = self.gateway(StandIn(self))
        self.assertEqual(gw.get("/").body.decode(), VALUE)
        shown = gw.run("explain", "GET", "/", "--json").stdout + gw.run("status", "--json").stdout + gw.log_text()
        shown += json.dumps(gw.admin("GET", "/routes").json()) + json.dumps(gw.admin("GET", "/secrets").json())
        self.assertIn("$secret://vault/1/web/key", shown)
        self.assertNotIn(VALUE, shown)
        self.assertNotIn(TOKEN, shown)

    def test_version_two_and_a_namespace(self):
        vault = StandIn(self)
        vault.secrets["deep/er"] = {"k": "two"}
        gw = self.gateway(vault, "$secret://vault/1/deep/er/k", more={"prefix": "two/data", "namespace": "team"})
        self.assertEqual(gw.get("/").body, b"two")
        self.assertEqual(vault.asked, ["/v1/two/data/deep/er"])

    def test_a_value_that_changes_is_used_once_its_time_is_over(self):
        vault = StandIn(self)
        gw = self.gateway(vault)
        self.assertEqual(gw.get("/").body.decode(), VALUE)
        vault.secrets["kv/web"] = {"key": "changed"}
        wait_for(lambda: gw.get("/").body == b"changed", 10, "the changed value")

    def test_what_cannot_be_had_closes_the_route_and_says_why(self):
        for name, change, reason in (("gone", {"secrets": {}}, "the manager answers 404"), ("sealed", {"status": 503}, "the manager answers 503"),
                                     ("no such key", {"secrets": {"kv/web": {"other": "x"}}}, "there is no key `key`")):
            with self.subTest(name):
                vault = StandIn(self)
                was = dict(vault.secrets), vault.status
                for field, value in change.items():
                    setattr(vault, field, value)
                gw = self.gateway(vault)
                answer = gw.get("/")
                self.assertEqual(answer.status, 503)
                self.assertNotIn(b"$secret", answer.body)
                gw.wait_log("the secret $secret://vault/1/web/key cannot be had: " + reason)
                vault.secrets, vault.status = was
                wait_for(lambda: gw.get("/").body.decode() == VALUE, 10, "the value once it is there")

    def test_a_value_outlives_a_manager_that_does_not_answer_but_not_its_no(self):
        vault = StandIn(self)
        gw = self.gateway(vault)
        gw.get("/")
        vault.status, seen = 500, len(vault.asked)
        wait_for(lambda: gw.get("/").status == 200 and len(vault.asked) > seen + 1, 10, "the manager being asked twice more")
        self.assertEqual(gw.get("/").body.decode(), VALUE)
        vault.status = 403
        wait_for(lambda: gw.get("/").status == 503, 10, "the route being closed")

    def test_one_question_serves_all_who_wait_for_it(self):
        vault = StandIn(self)
        self.limits = {**self.limits, "ttl": 300}
        gw = self.gateway(vault)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(gw.get("/").body.decode())) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual((answers, len(vault.asked)), ([VALUE] * 16, 1))

    def test_the_manager_s_certificate_is_verified(self):
        vault = StandIn(self, tls=certificate("vault.example"))
        names = {"dns": {"hosts": {"vault.example": HOST, "other.example": HOST}}}
        trust = {**names, "upstream": {"tls_trusted_certificate": authority().cert_path}}
        self.assertEqual(self.gateway(vault, scheme="https", host="vault.example", settings=trust).get("/").body.decode(), VALUE)
        self.assertEqual(self.gateway(vault, scheme="https", host="other.example", settings=trust).get("/").status, 503)
        self.assertEqual(self.gateway(vault, scheme="https", host="vault.example", settings=names).get("/").status, 503)

    def test_a_manager_that_is_not_configured_is_warned_about_and_closes_the_route(self):
        gw = self.serve({"routes": [guarded("$secret://vault/9/web/key")]})
        gw.wait_log("there is no secrets/vault/9")
        self.assertEqual(gw.get("/").status, 503)

    def test_a_phase_that_comes_later_has_the_value_too(self):
        plugin = """local _M = {version = 1, priority = 10, name = "late", schema = {type = "object"}}
            function _M.header_filter(conf) ngx.header["X-Late"] = conf.word end return _M"""
        vault = StandIn(self)
        with self.upstream() as up:
            gw = self.serve({"secrets": [{"id": "vault/1", "uri": f"http://{HOST}:{vault.port}", "prefix": "kv", "token": TOKEN}],
                             "routes": [{"uri": "/*", "upstream": {"nodes": up.nodes}, "plugins": {"late": {"word": "$secret://vault/1/web/key"}}}]},
                            plugins={"late": plugin})
            self.assertEqual(gw.get("/").get("X-Late"), VALUE)


class Consumers(AdminCase):
    def setUp(self):
        super().setUp()
        self.vault = StandIn(self)
        self.put("/secrets/vault/1", {"uri": f"http://{HOST}:{self.vault.port}", "prefix": "kv", "token": TOKEN})

    def test_a_key_in_vault_lets_its_consumer_in_and_the_reference_lets_in_nobody(self):
        reference = "$secret://vault/1/web/key"
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": reference}}})
        self.put("/consumers", {"username": "jill", "plugins": {"key-auth": {"key": "plain"}}})
        self.put("/routes/1", {"uri": "/*", "plugins": {"key-auth": {}, "mocking": {"response_example": "in", "content_type": "text/plain"}}})
        statuses = {key: self.gw.get("/", {"apikey": key}).status for key in (VALUE, "plain", reference, "wrong")}
        self.assertEqual(statuses, {VALUE: 200, "plain": 200, reference: 401, "wrong": 401})
        self.assertNotIn(VALUE, self.gw.log_text() + self.admin("GET", "/consumers").body.decode())

    def test_the_keys_of_several_consumers_are_asked_for_at_once(self):
        names = ["a", "b", "c"]
        for name in names:
            self.vault.secrets[f"kv/{name}"] = {"key": f"key of {name}"}
            self.put("/consumers", {"username": name, "plugins": {"key-auth": {"key": f"$secret://vault/1/{name}/key"}}})
        self.put("/routes/1", {"uri": "/*", "plugins": {"key-auth": {}, "mocking": {"response_example": "in", "content_type": "text/plain"}}})
        self.vault.together = threading.Barrier(len(names))
        self.assertEqual(self.gw.get("/", {"apikey": "key of c"}).status, 200)
        self.assertEqual(len(self.vault.asked), len(names))

    def test_a_password_in_vault_that_cannot_be_had_lets_in_nobody(self):
        self.put("/consumers", {"username": "jack", "plugins": {"basic-auth": {"username": "jack", "password": "$secret://vault/1/none/key"}}})
        self.put("/routes/1", {"uri": "/*", "plugins": {"basic-auth": {}, "mocking": {"response_example": "in", "content_type": "text/plain"}}})
        self.assertEqual(self.gw.get("/", {"Authorization": "Basic amFjazp4"}).status, 401)
        self.assertIn("consumer jack is not recognised", self.gw.log_text())

    def test_other_managers_and_bad_references_are_refused_where_they_are_used(self):
        aws = {"access_key_id": "a", "secret_access_key": "b"}
        self.assertIn("secrets of aws are not supported", self.put("/secrets/aws/1", aws).get("X-Moongate-Warning"))
        for reference, text in (("$secret://aws/1/a/b", "secrets of aws are not supported in this version"),
                                ("$secret://gcp/1/a/b", "secrets of gcp are not supported in this version"),
                                ("$secret://bank/1/a/b", "there is no secret manager of that name"),
                                ("$secret://vault/1/key", "expected $secret://vault/ID/PATH/KEY"),
                                ("$secret://vault/1/../sys/key", "expected $secret://vault/ID/PATH/KEY")):
            self.assert_refused(self.admin("PUT", "/routes/1", guarded(reference)), 400, text)

    def test_certificates_say_that_managers_are_for_plugins(self):
        shop = certificate("shop.example")
        body = {"sni": "shop.example", "cert": shop.cert, "key": "$secret://vault/1/web/" + "k" * 80}
        self.assert_refused(self.admin("PUT", "/ssls/1", body), 400, "only plugins can use secret managers")


if __name__ == "__main__":
    unittest.main()
