-- SPDX-License-Identifier: Apache-2.0
--- `require("ngx.process")`: what kind of process runs this script.

return require("moongate.ngx").process
