-- SPDX-License-Identifier: Apache-2.0
--- The windows of kong-rate-limiting: second, minute, ... year of the calendar, in UTC, as Kong counts them. Each window
--- has a name, by which everybody who counts in it finds the same counter, and an end.

local date = os.date
local floor = math.floor
local tonumber = tonumber

local _M = {}

--- From the shortest to the longest.
_M.names = { "second", "minute", "hour", "day", "month", "year" }

--- As the headers spell them.
_M.titles = { second = "Second", minute = "Minute", hour = "Hour", day = "Day", month = "Month", year = "Year" }

local lengths = { second = 1, minute = 60, hour = 3600, day = 86400 }

local function is_leap(year)
  return (year % 4 == 0 and year % 100 ~= 0) or year % 400 == 0
end

local month_days = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- Returns the name of the window that `now` lies in, and how many seconds are left of it, one at least.
---@param window string
---@param now number      seconds since 1970
---@return string name
---@return integer left
function _M.at(window, now)
  now = floor(now)
  local length = lengths[window]
  if length then
    local start = now - now % length
    return window .. start, start + length - now
  end
  local year, month, day = tonumber(date("!%Y", now)), tonumber(date("!%m", now)), tonumber(date("!%d", now))
  local left = 86400 - now % 86400
  if window == "month" then
    local days = month == 2 and is_leap(year) and 29 or month_days[month]
    return "month" .. year .. "-" .. month, left + (days - day) * 86400
  end
  local days = is_leap(year) and 366 or 365
  return "year" .. year, left + (days - tonumber(date("!%j", now))) * 86400
end

return _M
