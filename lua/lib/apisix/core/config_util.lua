-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.config_util")`.

return require("moongate.core.config_util")
