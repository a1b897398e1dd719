-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.core.sleep")`.

return require("moongate.core.sleep")
