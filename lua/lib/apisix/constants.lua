-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.constants")`.

return {
  apisix_lua_home = ".",
  HTTP_ETCD_DIRECTORY = {
    ["/upstreams"] = true, ["/plugins"] = true, ["/ssls"] = true, ["/stream_routes"] = true,
    ["/plugin_metadata"] = true, ["/routes"] = true, ["/services"] = true, ["/consumers"] = true,
    ["/global_rules"] = true, ["/protos"] = true, ["/plugin_configs"] = true, ["/consumer_groups"] = true,
    ["/secrets"] = true,
  },
}
