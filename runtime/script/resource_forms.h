// SPDX-License-Identifier: Apache-2.0
// Which routes of a configuration are the same but for their names, paths and hosts: of 100,000 most are, and
// judging one of them by its schemas and plugins judges them all. Apart from checker.h because nothing here
// runs Lua.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "config/document.h"

namespace moongate::script {

/// Groups routes by their form: everything in them but the values of plain fields.
///
/// Shape:   the first route of each form, found by a hash and then compared: no two forms are ever taken for
///          one. At most 65,536; routes of further forms stand alone, as all other resources do.
/// Owner:   one check; the resources must outlive it.
class ResourceForms {
 public:
  /// The first resource of this form that was added. The resource itself when it is that, or stands alone.
  const config::Resource* add(const config::Resource& resource);

  /// The plain fields alone, as JSON: each is judged by its own schema, whatever else is in the resource.
  static std::string plain_json(const config::Resource& resource);

 private:
  std::unordered_multimap<size_t, const config::Resource*> first_;
};

}  // namespace moongate::script
