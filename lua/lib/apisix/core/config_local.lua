-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.config_local")`.

return require("moongate.core.config")
