-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.json")`.

return require("moongate.core.json")
