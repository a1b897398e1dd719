-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.utils")`.

return require("moongate.core.utils")
