// SPDX-License-Identifier: Apache-2.0
// What control needs of Lua: judge a configuration and its plugins, and run configuration files written in
// Lua. An interface, because the VM behind it is made for one load and thrown away, and because tests bring
// rules of their own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "config/document.h"

namespace moongate::control {

/// Lua source as it was found on disk.
struct SourceFile {
  std::string name;  // plugins: the plugin's name; libraries: what `require` is given
  std::string path;
  std::string text;
};

struct Sources {
  std::vector<SourceFile> plugins;
  std::vector<SourceFile> libraries;
};

/// One thing that is wrong.
struct Complaint {
  std::string resource_kind;  // "route"; "plugin" for the source of one, whose name is `id`
  std::string id;
  std::vector<std::string>
      path;          // keys and 0-based indices into the resource's body: {"plugins", "key-auth", "header"}
  std::string text;  // what is wrong; what would be right
};

class Validator {
 public:
  virtual ~Validator() = default;
  /// Runs a Lua configuration file; the table it returns.
  virtual base::Result<base::Value> evaluate(const std::string& path, std::string_view text,
                                             uint16_t file_index) = 0;
  /// Loads the plugins and checks every resource with them. Empty: all is well.
  virtual base::Result<std::vector<Complaint>> check(const config::Document& document,
                                                     const Sources& sources) = 0;

  /// Loads the plugins for the two below, in place of those before.
  virtual base::Result<void> load(const Sources& sources, const std::string& attributes_json) = 0;
  /// Checks single resources, in the words of the Admin API. `context` has what they refer to, and the other
  /// global rules.
  virtual base::Result<std::vector<Complaint>> check_changes(const config::Document& changes,
                                                             const config::Document& context) = 0;
  /// What there is to say about schemas: an HTTP status and a body in JSON. The question is a name and texts.
  virtual base::Result<std::pair<int, std::string>> describe_schemas(
      const std::vector<std::string>& question) = 0;
};

/// Makes a validator for one load, or says why it cannot.
using ValidatorFactory = std::function<base::Result<std::unique_ptr<Validator>>()>;

}  // namespace moongate::control
