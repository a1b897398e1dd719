// SPDX-License-Identifier: Apache-2.0
#include "tls/server_names.h"

namespace moongate::tls {

bool ServerNames::add(std::string_view name, std::shared_ptr<const ServerContext> context) {
  return contexts_.emplace(std::string(name), std::move(context)).second;
}

const ServerContext* ServerNames::find(std::string_view name) const {
  std::string wanted(name.empty() ? std::string_view(fallback_) : name);
  for (char& c : wanted) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  if (!wanted.empty() && wanted.back() == '.') wanted.pop_back();
  auto found = contexts_.find(wanted);
  const size_t dot = wanted.find('.');
  if (found == contexts_.end() && dot != std::string::npos && dot > 0)
    found = contexts_.find("*" + wanted.substr(dot));
  if (found == contexts_.end()) found = contexts_.find("*");
  return found == contexts_.end() ? nullptr : found->second.get();
}

}  // namespace moongate::tls
