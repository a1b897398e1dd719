-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.os")`.

return require("moongate.core.os")
