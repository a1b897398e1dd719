-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.lrucache")`.

return require("moongate.core.lrucache")
