-- SPDX-License-Identifier: Apache-2.0
--- Small schemas that the larger ones are made of: ids, names, addresses, time-outs, certificates.

local host_pattern = "^\\*?[0-9a-zA-Z-._\\[\\]:]+$"

local _M = {}

_M.id_schema = {
  anyOf = {
    { type = "string", minLength = 1, maxLength = 64, pattern = "^[a-zA-Z0-9-_.]+$" },
    { type = "integer", minimum = 1 },
  },
}
_M.name = { type = "string", minLength = 1, maxLength = 256 }
_M.rule_name_def = _M.name
_M.desc = { type = "string", maxLength = 256 }
_M.desc_def = _M.desc
_M.label_value_def = { type = "string", pattern = "^\\S+$", minLength = 1, maxLength = 256 }
_M.labels_def = { type = "object", patternProperties = { [".*"] = _M.label_value_def } }
_M.timestamp_def = { type = "integer" }
_M.uri_def = { type = "string", pattern = [=[^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?]=] }
-- `*` alone is every host.
_M.host_def = { type = "string", pattern = "^\\*$|" .. host_pattern }

local ipv4 = "([0-9]{1,3}\\.){3}[0-9]{1,3}"
_M.ip_def = {
  { title = "IPv4", type = "string", format = "ipv4" },
  { title = "IPv4/CIDR", type = "string", pattern = "^" .. ipv4 .. "/([12]?[0-9]|3[0-2])$" },
  { title = "IPv6", type = "string", format = "ipv6" },
  {
    title = "IPv6/CIDR",
    type = "string",
    pattern = "^[a-fA-F0-9]{0,4}(:[a-fA-F0-9]{0,4}){1,8}(:" .. ipv4 .. ")?/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$",
  },
}
_M.remote_addr_def = { description = "client address", type = "string", anyOf = _M.ip_def }

_M.method_schema = {
  type = "string",
  enum = { "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE" },
}
_M.http_methods = { type = "array", items = _M.method_schema, uniqueItems = true }

local seconds = { type = "number", exclusiveMinimum = 0 }
_M.timeout_def = {
  type = "object",
  properties = { connect = seconds, send = seconds, read = seconds },
  required = { "connect", "send", "read" },
}

_M.certificate_scheme = { anyOf = { { type = "string", minLength = 128, maxLength = 65536 }, {
  type = "string", pattern = "^\\$(secret|env|ENV)://",
} } }
_M.private_key_schema = { anyOf = { { type = "string", minLength = 64, maxLength = 65536 }, {
  type = "string", pattern = "^\\$(secret|env|ENV)://",
} } }

_M.plugins_schema = { type = "object" }
_M.plugins = _M.plugins_schema
_M.anonymous_consumer_schema = { type = "string", minLength = 1 }

--- What every resource may have beside its own properties.
---@param properties table
---@return table properties
function _M.with_common(properties)
  properties.id = properties.id or _M.id_schema
  properties.create_time = _M.timestamp_def
  properties.update_time = _M.timestamp_def
  properties.modifiedIndex = { type = "integer" }
  return properties
end

return _M
