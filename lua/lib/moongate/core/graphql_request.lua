-- SPDX-License-Identifier: Apache-2.0
--- Finds the GraphQL document of a request, where servers look for it: `query` of the URL, of a form or of JSON, JSON in
--- the part `operations` of a multipart form, or a body that is the document. Several that may differ are an error, and
--- so is a request for a document that only the upstream has.

local exact_body = require("moongate.core.exact_body")
local folded_name = require("moongate.core.folded_name")
local form_fields = require("moongate.core.form_fields")
local graphql = require("moongate.core.graphql")
local json = require("moongate.core.json")

local format = string.format
local ipairs = ipairs
local pairs = pairs
local type = type

local _M = {}

-- What servers call the id of a document that they have. The `id` of Hot Chocolate is not among them: bodies that are no
-- GraphQL have one too often.
local document_ids = { documentid = true, doc_id = true, queryid = true }
local unknown_document = "it is a GraphQL request without its document; send `query` with it"

local function get_member(object, name)
  local value, err = exact_body.get_member(object, name)
  return type(value) == "string" and value or nil, err
end

-- The text of `name` that all places agree on; an empty one is none.
local function find_argument(places, name)
  local found
  for _, place in ipairs(places) do
    local value, err
    if place.object then
      value, err = get_member(place.object, name)
    else
      value, err = place.form:get(name)
    end
    if err then
      return nil, err
    elseif value and value ~= "" then
      if found and found ~= value then
        return nil, format("it has several arguments `%s` that may differ; send one", name)
      end
      found = value
    end
  end
  return found
end

-- Whether `extensions` asks for a document by its hash.
local function is_persisted(extensions)
  if type(extensions) == "string" then
    extensions = json.decode(extensions)
  end
  for key in pairs(type(extensions) == "table" and extensions or {}) do
    if folded_name(key) == "persistedquery" then
      return true
    end
  end
  return false
end

local function asks_by(name, value)
  return document_ids[name] and type(value) == "string" or name == "extensions" and is_persisted(value)
end

-- Refuses what asks for a document by its id or hash.
local function check_unknown(place)
  if place.form then
    for key, values in pairs(place.form.values) do
      local name = folded_name(key)
      for _, value in ipairs(values) do
        if asks_by(name, value) then
          return unknown_document
        end
      end
    end
    return place.form:doubt_of("extensions")
  end
  for key, value in pairs(place.object) do
    if type(key) == "string" and asks_by(folded_name(key), value) then
      return unknown_document
    end
  end
  return nil
end

local function add_object(places, object)
  places[#places + 1] = { object = object }
  return object[1] ~= nil and "it is a batch of GraphQL requests; send them one by one" or nil
end

local function add_form(places, body)
  places[#places + 1] = { form = body.form }
  if body.kind ~= "multipart" then
    return nil
  end
  local operations, err = body.form:get("operations")
  local object
  if operations then
    object, err = exact_body.decode_json(operations)
  end
  return err or object and add_object(places, object)
end

-- Where arguments may be, with the body's text where that is the document.
local function places_of(body, url_query)
  local places = { { form = form_fields.decode(url_query) } }
  if not body then
    return places
  elseif body.form then
    return places, add_form(places, body)
  elseif body.object then
    return places, add_object(places, body.object)
  end
  local form = form_fields.new()
  form:add("query", body.text)
  places[2] = { form = form }
  return places
end

--- Reads what the document of a request says (see graphql.lua).
---@param body moongate.ExactBody?      nil: there is none that could have a document
---@param url_query string
---@return {operation: string, name: string, root_fields: string[]}? found     nil without an error: it has no document
---@return string? err
function _M.read(body, url_query)
  local places, err = places_of(body, url_query)
  if err then
    return nil, err
  end
  local text, operation
  text, err = find_argument(places, "query")
  if not text then
    for _, place in ipairs(places) do
      err = err or check_unknown(place)
    end
    return nil, err
  end
  operation, err = find_argument(places, "operationName")
  if err then
    return nil, err
  end
  local found
  found, err = graphql.parse(text, operation)
  return found, err and "its GraphQL document cannot be read: " .. err
end

return _M
