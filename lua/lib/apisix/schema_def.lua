-- SPDX-License-Identifier: Apache-2.0
--- `require("apisix.schema_def")`.

return require("moongate.schema.definitions")
