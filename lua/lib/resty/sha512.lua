-- SPDX-License-Identifier: Apache-2.0
--- `resty.sha512`: the digest over pieces: new, update, final, reset.

return require("moongate.ngx.digest").module("sha512")
