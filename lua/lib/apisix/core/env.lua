-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.env")`.

return require("moongate.core.env")
