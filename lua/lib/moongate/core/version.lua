-- SPDX-License-Identifier: Apache-2.0
--- `core.version`: the APISIX release whose plugin API this is, which plugins compare with, and our own version.

return { VERSION = "3.18.0", MOONGATE = "0.1.0" }
