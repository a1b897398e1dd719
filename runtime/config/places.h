// SPDX-License-Identifier: Apache-2.0
// The table of files a configuration came from, which turns the places that values carry into "path:line".
// Apart from Source because configuration also arrives without files (Admin API, snapshots).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace moongate::config {

class Places {
 public:
  static constexpr size_t kFilesMax = 256;

  /// Notes a file and returns its index; kLimit when there are kFilesMax already.
  base::Result<uint16_t> add(std::string path);
  const std::vector<std::string>& files() const { return files_; }

  /// "path:line"; less when less is known, and empty when nothing is.
  std::string of(const base::Value& value) const;
  /// The place of what `path` ("/routes/0/uri", a JSON pointer into `root`) leads to, or of its nearest
  /// parent that exists.
  std::string of(const base::Value& root, std::string_view path) const;

  /// An error that says "path:line: field: what", without the parts that are not known.
  base::Error error(const base::Value& at, std::string_view field, std::string_view what) const;

 private:
  std::vector<std::string> files_;
};

/// "routes[0].plugins.key-auth.header": a value below `name`, by the keys and indices that lead to it.
std::string field_text(const std::string& name, const std::vector<std::string>& path);
/// The same path as a JSON pointer (RFC 6901), for Places::of.
std::string pointer_text(const std::vector<std::string>& path);

}  // namespace moongate::config
