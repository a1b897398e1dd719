-- SPDX-License-Identifier: Apache-2.0
--- `core.io`: reading small local files (certificates, tokens). It blocks, so it belongs into init and timers.

local open = io.open

local size_max_bytes = 64 * 1024 * 1024

local _M = {}

--- Returns the content of a file.
---@param path string
---@return string? content
---@return string? err
function _M.get_file(path)
  local file, err = open(path, "rb")
  if not file then
    return nil, "failed to open file: " .. path .. ", error info: " .. err
  end
  local content, read_err = file:read(size_max_bytes + 1)
  file:close()
  if not content then
    if read_err then
      return nil, "failed to read file: " .. path .. ", error info: " .. read_err
    end
    return ""
  end
  if #content > size_max_bytes then
    return nil, "failed to read file: " .. path .. ", error info: larger than " .. size_max_bytes .. " bytes"
  end
  return content
end

return _M
