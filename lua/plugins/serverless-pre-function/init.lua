-- SPDX-License-Identifier: Apache-2.0
--- serverless-pre-function: Lua functions written in the configuration, run before nearly all other plugins.

return require("apisix.plugins.serverless-pre-function.runner")("serverless-pre-function", 10000)
