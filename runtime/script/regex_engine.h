// SPDX-License-Identifier: Apache-2.0
// Regular expressions for the router's conditions, from the same engine that `ngx.re` uses.
#pragma once

namespace moongate::script {

/// Registers the engine with router/. Called once per process, before the first snapshot is compiled.
void install_regex_engine();

}  // namespace moongate::script
