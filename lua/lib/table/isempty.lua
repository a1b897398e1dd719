-- SPDX-License-Identifier: Apache-2.0
--- `table.isempty(t)`: true when a table has no key at all.

local next = next

local function isempty(t)
  return next(t) == nil
end

rawset(table, "isempty", isempty)
return isempty
