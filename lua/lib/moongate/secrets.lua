-- SPDX-License-Identifier: Apache-2.0
--- What `$secret://MANAGER/ID/PATH/KEY` stands for, asked of the manager that the resource `secrets/MANAGER/ID` tells of.
--
-- Values live here, in the worker's memory, and nowhere else. One is asked for when a request first needs it and again
-- when `ttl` is over; that later question holds up no request. A manager that says no (or no longer) ends the value at
-- once; one that does not answer leaves it in use for `stale` seconds more. The question runs in a timer, so that a
-- client that goes away takes nobody's answer along.

local cjson = require("cjson.safe")
local log = require("moongate.core.log")
local native = require("moongate.native")

local C = native.C
local match = string.match
local next = next
local pairs = pairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local timeout_ms = 5000
local answer_limit_s = 8       -- of one question, with everything
local look_every_s = 0.005
local body_max = 1024 * 1024
local known_max = 10000        -- references come from configurations, but plugins may make their own
local depth_max = 64

local _M = {}

local managers = {}            -- "vault/1" to its configuration
local manager_texts = {}       -- the same as JSON, to see what changed
local known = {}               -- reference to {value, err, had_at, asked_at, is_asking}
local known_count = 0
local limits = { ttl = 300, retry_after = 5, stale = 3600 }

---@param text any
---@return boolean
function _M.is_reference(text)
  return type(text) == "string" and text:sub(1, 10) == "$secret://"
end

--- Takes over what a snapshot says of managers. Values whose manager changed are forgotten.
---@param texts table<string, string>     JSON by "MANAGER/ID"
---@param new_limits table                ttl, retry_after, stale in seconds
function _M.adopt(texts, new_limits)
  limits = new_limits
  for id in pairs(manager_texts) do
    if texts[id] == nil then
      managers[id] = nil
    end
  end
  for reference, item in pairs(known) do
    local id = match(reference, "^%$secret://([^/]+/[^/]+)")
    local is_unused = not item.is_asking and C.mg_steady() - item.asked_at > limits.ttl + limits.stale
    if is_unused or not id or texts[id] ~= manager_texts[id] then
      known[reference] = nil
      known_count = known_count - 1
    end
  end
  for id, text in pairs(texts) do
    if text ~= manager_texts[id] then
      managers[id] = cjson.decode(text)
    end
  end
  manager_texts = texts
end

-- {status, body} or nil and a reason. A status is the manager's own word; no answer is not.
local function ask_vault(conf, path)
  local http = require("resty.http")
  local client, err = http.new()
  if not client then
    return nil, err
  end
  client:set_timeout(timeout_ms)
  local uri = conf.uri:gsub("/+$", "") .. "/v1/" .. conf.prefix:gsub("^/+", ""):gsub("/+$", "") .. "/" .. path
  local answer
  answer, err = client:request_uri(uri, {
    method = "GET", ssl_verify = true,
    headers = { ["X-Vault-Token"] = conf.token, ["X-Vault-Namespace"] = conf.namespace, Accept = "application/json" },
  })
  if not answer then
    return nil, err
  end
  if #answer.body > body_max then
    return nil, "the answer is longer than a megabyte"
  end
  return answer
end

-- Version 2 of the engine has a second `data` within, beside `metadata`.
local function find_value(answer, key)
  local body = cjson.decode(answer.body)
  local data = type(body) == "table" and body.data
  if type(data) ~= "table" then
    return nil, "the answer has no data"
  end
  if type(data.data) == "table" and type(data.metadata) == "table" then
    data = data.data
  end
  local value = data[key]
  if value == nil or value == cjson.null then
    return nil, "there is no key `" .. key .. "`"
  end
  if type(value) == "table" then
    return nil, "`" .. key .. "` is no text"
  end
  return value
end

-- value; or nil, a reason and whether the manager itself has said no.
local function fetch(reference)
  local id, path, key = match(reference, "^%$secret://([^/]+/[^/]+)/(.+)/([^/]+)$")
  local conf = id and managers[id]
  if not conf then
    return nil, "there is no secrets/" .. tostring(id or "MANAGER/ID") .. "; make one, or mend the reference", true
  end
  if not id:find("^vault/") then
    return nil, "secrets of " .. match(id, "^[^/]+") .. " are not supported", true
  end
  local answer, err = ask_vault(conf, path)
  if not answer then
    return nil, "the manager does not answer: " .. tostring(err), false
  end
  if answer.status ~= 200 then
    return nil, "the manager answers " .. answer.status, answer.status < 500 and answer.status ~= 429
  end
  local value
  value, err = find_value(answer, key)
  return value, err, true
end

local function ask(reference, item)
  local is_run, value, err, is_final = pcall(fetch, reference)
  if not is_run then
    value, err, is_final = nil, value, false
  end
  local now = C.mg_steady()
  item.is_asking = false
  item.asked_at = now
  if value ~= nil then
    item.value, item.err, item.had_at = value, nil, now
    return
  end
  item.err = tostring(err)
  log.error("the secret ", reference, " cannot be had: ", item.err)
  if is_final then
    item.value = nil
  end
end

local function start_asking(reference, item)
  item.is_asking, item.asked_at = true, C.mg_steady()
  local ok, err = require("moongate.ngx.timer").at(0, function()
    ask(reference, item)
  end)
  if not ok then
    item.is_asking, item.err = false, "it cannot be asked for: " .. tostring(err)
  end
end

local function wait_for(item)
  local sleep = require("moongate.wait").sleep
  local deadline = C.mg_steady() + answer_limit_s
  while item.is_asking and C.mg_steady() < deadline do
    sleep(look_every_s)
  end
end

-- What is known of a reference, which is asked for if that is due; nil when there are too many.
local function touch(reference)
  local item = known[reference]
  if not item then
    if known_count >= known_max then
      return nil
    end
    known_count = known_count + 1
    item = { had_at = 0, asked_at = -limits.retry_after }
    known[reference] = item
  end
  local now = C.mg_steady()
  local is_fresh = item.value ~= nil and now - item.had_at < limits.ttl
  if not is_fresh and not item.is_asking and now - item.asked_at >= (item.err and limits.retry_after or 0) then
    start_asking(reference, item)
  end
  return item
end

--- Begins to ask for what is not known yet, so that several questions are under way at once. Does not wait.
---@param references table<string, boolean>
function _M.prefetch(references)
  for reference in pairs(references) do
    touch(reference)
  end
end

--- What a reference stands for. Waits only when there is no value yet.
---@param reference string
---@return any? value
---@return string? err
function _M.get(reference)
  local item = touch(reference)
  if not item then
    return nil, reference .. ": there are " .. known_max .. " references to secrets already"
  end
  if item.value ~= nil and C.mg_steady() - item.had_at < limits.ttl + limits.stale then
    return item.value
  end
  item.value = nil
  wait_for(item)
  if item.value ~= nil then
    return item.value
  end
  return nil, reference .. ": " .. (item.err or "the manager does not answer in time")
end

local function collect(value, found, depth)
  if _M.is_reference(value) then
    found[value] = true
  elseif type(value) == "table" and depth < depth_max then
    for _, member in pairs(value) do
      collect(member, found, depth + 1)
    end
  end
  return found
end

--- The references below `value` as keys; nil when there are none.
---@param value any
---@return table<string, boolean>?
function _M.references_in(value)
  local found = collect(value, {}, 1)
  return next(found) and found or nil
end

--- The values of all of them; nil and the reason when one cannot be had.
---@param references table<string, boolean>
---@return table<string, any>? values
---@return string? err
function _M.get_all(references)
  local values = {}
  for reference in pairs(references) do
    local value, err = _M.get(reference)
    if value == nil then
      return nil, err
    end
    values[reference] = value
  end
  return values
end

--- A copy of `value` with what the references in it stand for.
---@param value any
---@param values table<string, any>
---@return any
function _M.replaced(value, values)
  if type(value) ~= "table" then
    local found = type(value) == "string" and values[value]
    if found ~= nil and found ~= false then
      return found
    end
    return value
  end
  local copy = {}
  for key, member in pairs(value) do
    copy[key] = _M.replaced(member, values)
  end
  return setmetatable(copy, getmetatable(value))
end

--- A text without the values, for logs.
---@param text string
---@param values table<string, any>
---@return string
function _M.hidden(text, values)
  for reference, value in pairs(values) do
    local secret = tostring(value)
    local first, last = text:find(secret, 1, true)
    while first and secret ~= "" do
      text = text:sub(1, first - 1) .. reference .. text:sub(last + 1)
      first, last = text:find(secret, first + #reference, true)
    end
  end
  return text
end

return _M
