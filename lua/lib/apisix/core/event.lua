-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.event")`.

return require("moongate.core.event")
