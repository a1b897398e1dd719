-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.request")`.

return require("moongate.core.request")
