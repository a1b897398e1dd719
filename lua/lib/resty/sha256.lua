-- SPDX-License-Identifier: Apache-2.0
--- `resty.sha256`: the digest over pieces: new, update, final, reset.

return require("moongate.ngx.digest").module("sha256")
