-- SPDX-License-Identifier: Apache-2.0
--- `resty.core.request`: `ngx.req` under another name.

return require("moongate.ngx.req")
