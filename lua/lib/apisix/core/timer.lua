-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.timer")`.

return require("moongate.core.timer")
