-- SPDX-License-Identifier: Apache-2.0
--- `resty.core.response`: `ngx.resp` under another name.

return require("moongate.ngx").resp
