-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.io")`.

return require("moongate.core.io")
