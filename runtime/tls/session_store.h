// SPDX-License-Identifier: Apache-2.0
// Sessions that servers offered to resume, by the name that was asked for: the next handshake is then a short
// one.
#pragma once

#include <list>
#include <string>
#include <string_view>

namespace moongate::tls {

/// The sessions with one address under one ClientContext.
///
/// Shape:   the last session of each name, the name used last first.
/// Owner:   shared by whoever makes connections and the connections, which put in what the server sends late.
class SessionStore {
 public:
  static constexpr size_t kNamesMax = 32;

  /// `bytes` is the library's own form of a session.
  void keep(std::string_view name, std::string bytes);
  /// Null when there is none.
  const std::string* find(std::string_view name);
  void forget(std::string_view name);
  size_t count() const { return sessions_.size(); }

 private:
  struct Entry {
    std::string name, bytes;
  };
  std::list<Entry>::iterator place_of(std::string_view name);
  std::list<Entry> sessions_;
};

}  // namespace moongate::tls
