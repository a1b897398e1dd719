// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration, each thing with its file, line and field. The checks of a load write
// into one of these.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"

namespace moongate::control {

class Findings {
 public:
  /// Without places yet (no file has been read), errors have none.
  void set_places(const config::Places& places) { places_ = &places; }

  /// Resources of which `is_tolerated` is said do not refuse the whole when something is wrong with them, or
  /// with what the path leads to: they are quarantined, and their routes answer 503.
  using IsTolerated = std::function<bool(const config::Resource&, const std::vector<std::string>& path)>;
  void set_tolerated(IsTolerated is_tolerated) { is_tolerated_ = std::move(is_tolerated); }
  /// The same for one that is known to be wrong. The hint is only told now.
  void quarantine(const std::string& name, const std::string& reason, const std::string& hint = {});
  /// The same for a resource of the document that another one keeps from serving.
  void quarantine(const config::Resource& resource, const std::string& reason, const std::string& hint = {});
  /// Names of stored ones that were found to be wrong and tolerated.
  const std::set<std::string>& wrong() const { return wrong_; }
  /// By name, with the first thing that is wrong.
  const std::map<std::string, std::string>& quarantined() const { return quarantined_; }

  /// `path` leads from the resource's body to what is wrong.
  void add(const config::Resource& resource, const std::vector<std::string>& path, const std::string& text);
  /// `detail` begins with the field, as errors of parsers do: "upstream.nodes[0].port: expected ...".
  void add_detail(const config::Resource& resource, const std::string& detail);
  /// `path` leads to a setting below `moongate:`.
  void add_setting(const config::Document& document, const std::vector<std::string>& path,
                   const std::string& text);
  /// What is odd and refuses nothing.
  void warn(const config::Resource& resource, const std::vector<std::string>& path, const std::string& text);
  void add_text(std::string text) { errors_.push_back(std::move(text)); }

  /// "file:line" of what `path` leads to.
  std::string place_of(const config::Resource& resource, const std::vector<std::string>& path) const;
  /// Whether something is wrong with this resource.
  bool concerns(const config::Resource& resource) const { return concerned_.count(&resource) > 0; }
  bool is_empty() const { return errors_.empty(); }
  std::vector<std::string>& errors() { return errors_; }
  std::vector<std::string>& warnings() { return warnings_; }

 private:
  std::string line_of(const config::Resource& resource, const std::vector<std::string>& path,
                      const std::string& text) const;
  void note(const config::Resource& resource, const std::vector<std::string>& path, std::string line);

  const config::Places* places_ = nullptr;
  std::vector<std::string> errors_;
  std::vector<std::string> warnings_;
  std::set<const config::Resource*> concerned_;
  IsTolerated is_tolerated_;
  std::map<std::string, std::string> quarantined_;
  std::set<std::string> wrong_;
};

}  // namespace moongate::control
