-- SPDX-License-Identifier: Apache-2.0
--- kong-acl: lets in, or keeps out, by the groups of the consumer, as Kong's acl does. The groups are a JSON array in the
--- consumer's label `acl_groups`.

local core = require("apisix.core")

local concat = table.concat
local ipairs = ipairs
local setmetatable = setmetatable
local type = type

local groups_schema = { type = "array", minItems = 1, items = { type = "string", minLength = 1 } }

local schema = {
  type = "object",
  properties = {
    allow = groups_schema,
    deny = groups_schema,
    hide_groups_header = { type = "boolean", default = false },
    include_consumer_groups = { type = "boolean", enum = { false } },
    always_use_authenticated_groups = { type = "boolean", enum = { false } },
  },
  oneOf = { { required = { "allow" } }, { required = { "deny" } } },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 950,
  name = "kong-acl",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

-- The groups of a consumer, by its table, which lives as long as a configuration.
local groups_of = setmetatable({}, { __mode = "k" })

local function find_groups(consumer)
  local groups = groups_of[consumer]
  if not groups then
    local label = consumer.labels and consumer.labels.acl_groups
    local list = label and core.json.decode(label)
    groups = type(list) == "table" and list or {}
    groups_of[consumer] = groups
  end
  return groups
end

local function has_one(groups, listed)
  for _, group in ipairs(groups) do
    for _, name in ipairs(listed) do
      if group == name then
        return true
      end
    end
  end
  return false
end

--- Refuses consumers by their groups, and clients that nobody knows.
--- Phases: access. Does not yield.
---@param conf plugin.KongAclConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.access(conf, ctx)
  if not ctx.consumer then
    return 401, { message = "Unauthorized" }
  end
  local groups = find_groups(ctx.consumer)
  local is_allowed
  if conf.allow then
    is_allowed = has_one(groups, conf.allow)
  else
    is_allowed = not has_one(groups, conf.deny)
  end
  if not is_allowed then
    return 403, { message = "You cannot consume this service" }
  end
  if not conf.hide_groups_header and #groups > 0 then
    core.request.set_header(ctx, "X-Consumer-Groups", concat(groups, ", "))
  end
end

return _M
