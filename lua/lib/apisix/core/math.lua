-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.math")`.

return require("moongate.core.math")
