-- SPDX-License-Identifier: Apache-2.0
--- `require("ngx.base64")`: base64 for URLs.

return require("moongate.ngx").base64
