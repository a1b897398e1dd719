// SPDX-License-Identifier: Apache-2.0
// APISIX's config.yaml, translated into `moongate:`, `plugins` and `plugin_attr`. Its other file,
// apisix.yaml, needs no translation: our sections are its sections. As with kong.h one translator serves both
// a file that is loaded as it is and `moongate convert apisix`, and what it makes keeps the lines it was made
// from.
//
//   apisix_rules.h   the table: what each key becomes, or why nothing stands for it
#pragma once

#include "config/dialect.h"

namespace moongate::config {

/// True for the tree of a config.yaml: it has a section of APISIX's, and none of ours.
bool is_apisix_file(const base::Value& root);

DialectTranslation translate_apisix(const base::Value& root, const Places& places);

/// Whether a text ends as APISIX wants its apisix.yaml to: with a line `#END`, so that a file that is half
/// written is not taken for a whole one.
bool has_end_flag(std::string_view text);

}  // namespace moongate::config
