// SPDX-License-Identifier: Apache-2.0
// What several resources have in common: labels, plugins, timeouts, an inline upstream.
#pragma once

#include "config/field_reader.h"
#include "config/resources.h"

namespace moongate::config {

void read_labels(FieldReader& fields, Labels* labels);
void read_plugins(FieldReader& fields, std::vector<PluginConf>* plugins);
void read_timeouts(FieldReader& fields, std::optional<Timeouts>* timeouts);
void read_upstream(FieldReader& fields, std::optional<Upstream>* upstream);
base::Result<Upstream> parse_upstream_at(const base::Value& body, const std::string& where);
void lower_case(std::vector<std::string>* texts);

}  // namespace moongate::config
