-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.ctx")`.

return require("moongate.core.ctx")
