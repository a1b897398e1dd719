-- SPDX-License-Identifier: Apache-2.0
--- `resty.core`: required by some modules for its effect on OpenResty; everything is in place already.

return { version = "0.1.27" }
