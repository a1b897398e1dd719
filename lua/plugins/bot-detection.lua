-- SPDX-License-Identifier: Apache-2.0
--- bot-detection: refuses clients by their User-Agent, as Kong's plugin of that name does: who matches `allow` may come in,
--- who matches `deny` or is a well-known crawler may not.

local core = require("apisix.core")
local bounded_map = require("moongate.bounded_map")

local concat = table.concat
local ipairs = ipairs
local re_find = ngx.re.find
local setmetatable = setmetatable
local type = type

-- Names that crawlers, feed readers and link checkers give themselves.
local crawlers = {
  [[(?i)\b\w*(?:bot|spider|crawler|slurp|fetcher)\b]],
  [[(?i)\b(?:Ask Jeeves|BingPreview|CCBot|facebookexternalhit|ia_archiver|Mediapartners-Google|Nutch|Pingdom\.com)\b]],
  [[(?i)\b(?:ApacheBench|HTTrack|Nikto|Scrapy|sqlmap|WebCopier|WebZIP|Yandex\w*|Baiduspider\w*|YahooSeeker)\b]],
}

local patterns = { type = "array", maxItems = 1000, items = { type = "string", minLength = 1, maxLength = 4096 } }

local schema = {
  type = "object",
  properties = { allow = patterns, deny = patterns },
  additionalProperties = false,
}

local _M = {
  version = 0.1,
  priority = 5000, -- before cors and authentication
  name = "bot-detection",
  schema = schema,
}

function _M.check_schema(conf)
  local ok, err = core.schema.check(schema, conf)
  if not ok then
    return false, err
  end
  for _, list in ipairs({ conf.allow or {}, conf.deny or {} }) do
    for _, pattern in ipairs(list) do
      local _, _, problem = re_find("", pattern, "j")
      if problem then
        return false, "invalid pattern " .. pattern .. ": " .. problem
      end
    end
  end
  return true
end

local function any_of(list)
  return list and #list > 0 and "(?:" .. concat(list, ")|(?:") .. ")" or nil
end

local known_crawler = any_of(crawlers)
local prepared = setmetatable({}, { __mode = "k" })

local function prepare(conf)
  local plan = { allow = any_of(conf.allow), deny = any_of(conf.deny), verdicts = bounded_map.new(1000) }
  prepared[conf] = plan
  return plan
end

local function matches(agent, pattern)
  return pattern ~= nil and re_find(agent, pattern, "jo") ~= nil
end

local function is_bot(plan, agent)
  if matches(agent, plan.allow) then
    return false
  end
  return matches(agent, plan.deny) or matches(agent, known_crawler)
end

local agent_size_max_bytes = 512

--- Refuses bots. A client without a User-Agent is none; one with several is refused.
--- Phases: rewrite. Does not yield.
---@param conf plugin.BotDetectionConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.rewrite(conf, ctx)
  local agent = core.request.headers(ctx)["user-agent"]
  if agent == nil or agent == "" then
    return nil
  end
  if type(agent) == "table" then
    return 400, { message = "Only one User-Agent header allowed" }
  end
  local plan = prepared[conf] or prepare(conf)
  local verdict = plan.verdicts:get(agent)
  if verdict == nil then
    verdict = is_bot(plan, agent)
    if #agent <= agent_size_max_bytes then
      plan.verdicts:set(agent, verdict)
    end
  end
  if verdict then
    return 403, { message = "Forbidden" }
  end
end

return _M
