-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.response")`.

return require("moongate.core.response")
