-- SPDX-License-Identifier: Apache-2.0
--- The clock functions of `ngx`. The time stands still within a turn of the event loop until `update_time` is called.

local native = require("moongate.native")

local C = native.C
local date = os.date
local floor = math.floor
local max = math.max
local tonumber = tonumber

local _M = {}

local updated = 0

--- Seconds since 1970 with milliseconds.
---@return number
function _M.now()
  return floor(max(C.mg_now(), updated) * 1000) / 1000
end

--- Whole seconds since 1970.
---@return integer
function _M.time()
  return floor(max(C.mg_now(), updated))
end

--- Reads the clock now.
function _M.update_time()
  updated = C.mg_now_fresh()
end

function _M.today()
  return date("%Y-%m-%d", _M.time())
end

function _M.localtime()
  return date("%Y-%m-%d %H:%M:%S", _M.time())
end

function _M.utctime()
  return date("!%Y-%m-%d %H:%M:%S", _M.time())
end

--- "Thu, 18 Nov 2010 11:27:35 GMT"
---@param seconds number
---@return string
function _M.http_time(seconds)
  return date("!%a, %d %b %Y %H:%M:%S GMT", seconds)
end

--- "Thu, 18-Nov-10 11:27:35 GMT"
---@param seconds number
---@return string
function _M.cookie_time(seconds)
  return date("!%a, %d-%b-%y %H:%M:%S GMT", seconds)
end

local month_of = {
  Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12,
}

-- Days from 1970-01-01 to a date of the Gregorian calendar; the year begins in March, so leap days come last.
local function days_of(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local leap_days = floor(year / 4) - floor(year / 100) + floor(year / 400)
  return year * 365 + leap_days + floor((153 * (month - 3) + 2) / 5) + day - 719469
end

--- Reads the three date forms of HTTP; nil when it is none of them.
---@param text string
---@return integer?
function _M.parse_http_time(text)
  local day, month, year, hour, minute, second = text:match("^%a+, (%d+) (%a+) (%d+) (%d+):(%d+):(%d+) GMT$")
  if not day then
    day, month, year, hour, minute, second = text:match("^%a+, (%d+)%-(%a+)%-(%d%d) (%d+):(%d+):(%d+) GMT$")
    year = year and (tonumber(year) < 70 and 2000 or 1900) + tonumber(year)
  end
  if not day then
    month, day, hour, minute, second, year = text:match("^%a+ (%a+) +(%d+) (%d+):(%d+):(%d+) (%d+)$")
  end
  local month_number = month_of[month]
  if not month_number then
    return nil
  end
  day, year, hour, minute, second = tonumber(day), tonumber(year), tonumber(hour), tonumber(minute), tonumber(second)
  if day < 1 or day > 31 or hour > 23 or minute > 59 or second > 60 then
    return nil
  end
  return days_of(year, month_number, day) * 86400 + hour * 3600 + minute * 60 + second
end

return _M
