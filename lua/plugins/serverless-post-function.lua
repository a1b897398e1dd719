-- SPDX-License-Identifier: Apache-2.0
--- serverless-post-function: Lua functions written in the configuration, run after nearly all other plugins.

return require("apisix.plugins.serverless-pre-function.runner")("serverless-post-function", -2000)
