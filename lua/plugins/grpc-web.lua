-- SPDX-License-Identifier: Apache-2.0
--- grpc-web: lets browsers call a gRPC upstream. Requests lose the web's framing on the way in; answers get it on the way
--- out, with the upstream's trailers as the last frame of the body, since browsers see no trailers.

local bit = require("bit")
local core = require("apisix.core")
local fields = require("moongate.fields")
local phase = require("moongate.phase")

local band = bit.band
local byte = string.byte
local char = string.char
local concat = table.concat
local decode_base64 = ngx.decode_base64
local encode_base64 = ngx.encode_base64
local find = string.find
local rshift = bit.rshift
local sub = string.sub

local schema = {
  type = "object",
  properties = {
    cors_allow_headers = { type = "string", default = "content-type,x-grpc-web,x-user-agent" },
    max_req_body_size = { type = "integer", minimum = 1, default = 67108864 },
  },
}

local _M = {
  version = 0.1,
  priority = 505,
  name = "grpc-web",
  schema = schema,
}

-- Content types, and whether the body is base64.
local is_text_by_type = {
  ["application/grpc-web"] = false,
  ["application/grpc-web+proto"] = false,
  ["application/grpc-web-text"] = true,
  ["application/grpc-web-text+proto"] = true,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

--- Takes the pieces of a base64 text apart: a client may end each of its frames with padding.
local function decode(text)
  local out, at = {}, 1
  while at <= #text do
    local _, stop = find(text, "=+", at)
    local piece = decode_base64(sub(text, at, stop or #text))
    if not piece then
      return nil
    end
    out[#out + 1] = piece
    at = (stop or #text) + 1
  end
  return concat(out)
end

--- Makes the request one of gRPC. The path is what the route's `*` stands for.
--- Phases: access. Yields while the body is read.
---@param conf plugin.GrpcWebConf
---@param ctx moongate.Ctx
---@return integer? status
---@return table? body
function _M.access(conf, ctx)
  local method = core.request.get_method()
  if method == "OPTIONS" then
    return 204
  end
  if method ~= "POST" then
    return 405, { message = "gRPC-Web calls are POST" }
  end
  local mime = core.request.header(ctx, "Content-Type")
  local is_text = is_text_by_type[mime]
  if is_text == nil then
    return 400, { message = "the content type is none of gRPC-Web" }
  end
  local path = ctx.var["uri_param_:ext"]
  if not path then
    core.log.error("grpc-web: the route's uri has to end in *")
    return 400, { message = "the route is not made for gRPC-Web" }
  end
  local body, err = core.request.get_body(conf.max_req_body_size, ctx)
  if not body then
    core.log.error("grpc-web: no request body: ", err or "it is empty")
    return 400, { message = "the request body cannot be read" }
  end
  if is_text then
    body = decode(body)
    if not body then
      return 400, { message = "the request body is no base64" }
    end
  end
  ctx.grpc_web_mime, ctx.grpc_web_is_text = mime, is_text
  core.request.set_header(ctx, "Content-Type", "application/grpc")
  ngx.req.set_uri(byte(path) == 47 and path or "/" .. path)
  ngx.req.set_body_data(body)
end

--- Sets the CORS headers, and gives a gRPC answer the request's content type.
--- Phases: header_filter. Does not yield.
---@param conf plugin.GrpcWebConf
---@param ctx moongate.Ctx
function _M.header_filter(conf, ctx)
  local set_header = core.response.set_header
  if core.request.get_method() == "OPTIONS" then
    set_header("Access-Control-Allow-Methods", "POST")
    set_header("Access-Control-Allow-Headers", conf.cors_allow_headers)
  end
  if not ngx.header["Access-Control-Allow-Origin"] then
    set_header("Access-Control-Allow-Origin", "*")
  end
  set_header("Access-Control-Expose-Headers", "grpc-message,grpc-status")
  local mime = ngx.header["Content-Type"]
  -- Errors of the gateway, or of an upstream that speaks no gRPC, stay what they are.
  ctx.grpc_web_is_answer = ctx.grpc_web_mime and mime and find(mime, "^application/grpc") ~= nil
  if ctx.grpc_web_is_answer then
    set_header("Content-Type", ctx.grpc_web_mime)
  end
end

--- The frame of trailers: a byte 0x80, the size in four bytes, and lines as HTTP/1 has them. Nil where the upstream did not
--- say how the call ended. Status and message come first, and both are always there.
local function trailer_frame(ctx)
  local status, message
  local others = {}
  for name, value in fields.upstream_trailers(phase.exchange(ctx)) do
    if name == "grpc-status" then
      status = status or value
    elseif name == "grpc-message" then
      message = message or value
    else
      others[#others + 1] = name .. ":" .. value .. "\r\n"
    end
  end
  if not status then
    return nil
  end
  local lines = "grpc-status:" .. status .. "\r\ngrpc-message:" .. (message or "") .. "\r\n" .. concat(others)
  local size = #lines
  return "\128" .. char(band(rshift(size, 24), 255), band(rshift(size, 16), 255), band(rshift(size, 8), 255), band(size, 255))
    .. lines
end

--- Appends the trailers to the last piece, and encodes each where the client wants text.
--- Phases: body_filter. Does not yield.
---@param ctx moongate.Ctx
function _M.body_filter(_, ctx)
  if not ctx.grpc_web_is_answer then
    return
  end
  local arg = ngx.arg
  local piece = arg[1] or ""
  if arg[2] then
    piece = piece .. (trailer_frame(ctx) or "")
  end
  arg[1] = ctx.grpc_web_is_text and encode_base64(piece) or piece
end

return _M
