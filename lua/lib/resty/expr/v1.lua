-- SPDX-License-Identifier: Apache-2.0
--- `resty.expr.v1`: the expressions of route.vars, `_meta.filter` and of many plugins:
--- {{"arg_name", "==", "json"}, {"OR", {"http_x", "has", "a"}, {"remote_addr", "ipmatch", {"10.0.0.0/8"}}}}.
--
-- `new` checks the rules and turns them into a tree of nodes; `eval` walks it with any table of variables.

local cjson = require("cjson.safe")
local ipmatcher = require("resty.ipmatcher")
local regex = require("moongate.ngx.regex")

local ipairs = ipairs
local lower = string.lower
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local upper = string.upper

local depth_max = 32

local _M = { _VERSION = "1.3.2" }
local methods = {}
local expr_mt = { __index = methods }

-- The side that configuration fixed decides: a number there makes a number of the other.
local function equals(left, right)
  if right == cjson.null then
    return left == nil
  end
  if type(right) == "number" then
    left = tonumber(left)
    return left == right
  end
  if type(left) == "number" and type(right) == "string" then
    return tostring(left) == right
  end
  return left == right
end

local function numeric(compare)
  return function(left, right)
    left, right = tonumber(left), tonumber(right)
    return left ~= nil and right ~= nil and compare(left, right)
  end
end

local function finds(options)
  return function(left, right)
    if left == nil or type(left) == "table" then
      return false
    end
    local from, _, err = regex.find(tostring(left), right, options)
    if err then
      return nil, err
    end
    return from ~= nil
  end
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if equals(value, item) then
      return true
    end
  end
  return false
end

local operators = {
  ["=="] = equals,
  ["~="] = function(left, right) return not equals(left, right) end,
  [">"] = numeric(function(a, b) return a > b end),
  [">="] = numeric(function(a, b) return a >= b end),
  ["<"] = numeric(function(a, b) return a < b end),
  ["<="] = numeric(function(a, b) return a <= b end),
  ["~~"] = finds("jo"),
  ["~*"] = finds("joi"),
  ["in"] = function(left, right)
    return type(right) == "table" and contains(right, left)
  end,
  ["has"] = function(left, right)
    return type(left) == "table" and contains(left, right)
  end,
  -- The right side became a matcher when the rule was compiled.
  ["ipmatch"] = function(left, right)
    return type(left) == "string" and right:match(left) == true
  end,
}

local logic = { AND = true, OR = true, ["!AND"] = true, ["!OR"] = true }

local function logic_word(value)
  local word = type(value) == "string" and upper(value)
  return logic[word] and word or nil
end

-- Checks the right side and prepares what is dear to make.
local function prepare(operator, right)
  if operator == "ipmatch" then
    local matcher, err = ipmatcher.new(type(right) == "table" and right or { right })
    if not matcher then
      return nil, err
    end
    return matcher
  end
  if operator == "~~" or operator == "~*" then
    if type(right) ~= "string" then
      return nil, "invalid expression: a pattern is a string, not a " .. type(right)
    end
    local compiled, err = regex.compile(right, operator == "~*" and "joi" or "jo")
    if not compiled then
      return nil, err
    end
  end
  return right
end

local compile

local function compile_triple(rule)
  if #rule < 2 then
    return nil, "rule too short"
  end
  local operator, right, is_negated = rule[2], rule[3], false
  if operator == "!" then
    if #rule < 4 then
      return nil, "bad 'not' expression"
    end
    operator, right, is_negated = rule[3], rule[4], true
  elseif #rule == 2 then
    operator, right = "==", rule[2]
  end
  if type(rule[1]) ~= "string" then
    return nil, "invalid expression"
  end
  local fn = type(operator) == "string" and operators[lower(operator)]
  if not fn then
    return nil, "invalid operator '" .. tostring(operator) .. "'"
  end
  local prepared, err = prepare(lower(operator), right)
  if err then
    return nil, err
  end
  return { name = rule[1], fn = fn, right = prepared, is_negated = is_negated }
end

local function compile_list(rules, first, word, depth)
  local nodes = {}
  for index = first, #rules do
    local node, err = compile(rules[index], depth + 1)
    if not node then
      return nil, err
    end
    nodes[#nodes + 1] = node
  end
  return { nodes = nodes, is_or = sub(word, -2) == "OR", is_negated = sub(word, 1, 1) == "!" }
end

function compile(rule, depth)
  if type(rule) ~= "table" or depth > depth_max then
    return nil, "invalid expression"
  end
  local word = logic_word(rule[1])
  if word then
    if #rule <= 2 then
      return nil, "rule too short"
    end
    return compile_list(rule, 2, word, depth)
  end
  if type(rule[1]) == "table" then
    return compile_list(rule, 1, "AND", depth)
  end
  return compile_triple(rule)
end

--- Compiles rules.
---@param rules table
---@return table? expr      has `:eval(vars)`
---@return string? err
function _M.new(rules)
  if type(rules) ~= "table" then
    return nil, "rule should be wrapped inside brackets"
  end
  if #rules == 0 then
    return setmetatable({ node = { nodes = {}, is_or = false, is_negated = false } }, expr_mt)
  end
  if type(rules[1]) ~= "table" and not logic_word(rules[1]) then
    return nil, "rule should be wrapped inside brackets"
  end
  local node, err = compile(rules, 1)
  if not node then
    return nil, err
  end
  return setmetatable({ node = node }, expr_mt)
end

local function eval(node, vars)
  local nodes = node.nodes
  if not nodes then
    local truth, err = node.fn(vars[node.name], node.right)
    if truth == nil then
      return nil, err
    end
    return truth ~= node.is_negated
  end
  local is_or = node.is_or
  local result = not is_or
  for index = 1, #nodes do
    local truth, err = eval(nodes[index], vars)
    if truth == nil then
      return nil, err
    end
    if truth == is_or then
      result = is_or
      break
    end
  end
  return result ~= node.is_negated
end

--- Evaluates with a table of variables, usually ctx.var.
---@param vars table
---@return boolean? truth
---@return string? err
function methods:eval(vars)
  if vars == nil then
    return nil, "missing vars"
  end
  return eval(self.node, vars)
end

return _M
