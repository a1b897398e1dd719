-- SPDX-License-Identifier: Apache-2.0
--- `core.tablepool`: pools of tables.

return require("tablepool")
