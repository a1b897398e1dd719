# SPDX-License-Identifier: Apache-2.0
"""Plugins of others, written for APISIX, lean on more than its documentation promises: what they expect of the core."""

from harness import TestCase, Upstream, describe, route, sanitized

REWRITER = """
local core = require("apisix.core")
local _M = { version = 0.1, priority = 1008, name = "rewriter",
             schema = { type = "object", properties = { to = { type = "string" } } } }
function _M.rewrite(conf, ctx)
  ctx.var.upstream_uri = core.utils.resolve_var(conf.to, ctx.var)
end
function _M.header_filter(conf, ctx)
  core.response.set_header("X-Uri", ctx.var.uri)
  core.response.set_header("X-Node", ctx.var.balancer_ip .. " " .. ctx.var.balancer_port)
end
return _M
"""

TOKENS = """
local core = require("apisix.core")
local consumer = require("apisix.consumer")
local _M = { version = 0.1, priority = 2501, type = "auth", name = "tokens", schema = { type = "object" },
  consumer_schema = { type = "object", required = { "token" }, properties = {
    token = { type = "string" }, kind = { type = "string", enum = { "app", "user" }, default = "user" } } } }
function _M.check_schema(conf, schema_type)
  return core.schema.check(schema_type == core.schema.TYPE_CONSUMER and _M.consumer_schema or _M.schema, conf)
end
function _M.rewrite(conf, ctx)
  local all = consumer.plugin("tokens")
  local known = consumer.consumers_kv("tokens", all, "token")[core.request.header(ctx, "X-Token") or ""]
  if not known then
    return 401, { message = "who?" }
  end
  consumer.attach_consumer(ctx, known, all)
  core.request.set_header(ctx, "X-Kind", known.auth_conf.kind)
end
return _M
"""


class ForeignPlugins(TestCase):
    @sanitized
    def test_what_a_plugin_writes_to_upstream_uri_is_sent_and_uri_stays(self):
        with Upstream(describe) as up:
            gw = self.serve({"routes": [route("/a/*", up, plugins={"rewriter": {"to": "/b/$arg_to"}})]}, plugins={"rewriter": REWRITER})
            answer = gw.get("/a/x?to=y%3Fz=1")
            self.assertEqual((answer.json()["target"], answer.get("x-uri")), ("/b/y?z=1", "/a/x"))
            self.assertEqual(gw.get("/a/x?to=%20").status, 500)
            gw.wait_log("core.utils.uri_safe_encode")

    def test_a_node_that_is_a_name_has_the_address_that_was_found_as_balancer_ip(self):
        with Upstream(describe) as up:
            gw = self.serve({"routes": [route("/*", {f"named.test:{up.port}": 1}, plugins={"rewriter": {"to": ""}})]},
                            plugins={"rewriter": REWRITER}, moongate={"dns": {"hosts": {"named.test": "127.0.0.1"}}})
            self.assertEqual(gw.get("/").get("x-node"), f"127.0.0.1 {up.port}")

    def test_a_credential_has_the_defaults_of_its_plugin_s_schema(self):
        with Upstream(describe) as up:
            gw = self.serve({"routes": [route("/*", up, plugins={"tokens": {}})],
                             "consumers": [{"username": "ada", "plugins": {"tokens": {"token": "one"}}},
                                           {"username": "bob", "plugins": {"tokens": {"token": "two", "kind": "app"}}}]},
                            plugins={"tokens": TOKENS})
            for token, kind in (("one", "user"), ("two", "app")):
                self.assertIn(["X-Kind", kind], gw.get("/", {"X-Token": token}).json()["fields"])
            self.assertEqual(gw.get("/").status, 401)
