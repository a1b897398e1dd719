// SPDX-License-Identifier: Apache-2.0
#include "tls/server_names.h"

#include "base/ascii.h"
#include "tls/digest.h"
#include "tls/issued.h"

namespace moongate::tls {

// Whoever resumes a session under another name would be taken for the client that name had checked; and a
// session that was allowed without a certificate must not be resumed where one is asked for.
std::string ServerContext::client_scope_of(const ServerOptions& options) {
  char scope[kDigestMaxBytes];
  const char* rule = options.is_client_optional ? "optional" : "required";
  const std::string depth = std::to_string(options.client_depth);
  return {scope,
          digest("sha256", options.id + '\0' + rule + '\0' + depth + '\0' + options.client_ca_pem, scope)};
}

const std::shared_ptr<const ServerContext>& ServerContext::closed() {
  static const std::shared_ptr<const ServerContext> shared = [] {
    std::shared_ptr<ServerContext> made(new ServerContext);
    made->client_scope_ = "closed";
    made->wants_client_certificate_ = true;
    return made;
  }();
  return shared;
}

bool ServerNames::add(std::string_view name, std::shared_ptr<const ServerContext> context) {
  return contexts_.emplace(std::string(name), Entry{std::move(context)}).second;
}

bool ServerNames::add_awaited(std::string_view name, std::shared_ptr<AwaitedContext> awaited) {
  return contexts_.emplace(std::string(name), Entry{nullptr, std::move(awaited)}).second;
}

const std::shared_ptr<const ServerContext>& ServerNames::find(std::string_view name) const {
  std::string wanted(name.empty() ? std::string_view(fallback_) : name);
  for (char& c : wanted) c = base::to_lower(c);
  if (!wanted.empty() && wanted.back() == '.') wanted.pop_back();
  auto found = contexts_.find(wanted);
  const size_t dot = wanted.find('.');
  if (found == contexts_.end() && dot != std::string::npos && dot > 0)
    found = contexts_.find("*" + wanted.substr(dot));
  if (found == contexts_.end()) found = contexts_.find("*");
  static const std::shared_ptr<const ServerContext> none;
  if (found == contexts_.end()) return none;
  Entry& entry = found->second;
  if (entry.awaited && entry.generation != Issued::of_process().generation()) {
    entry.context = entry.awaited->find(found->first);
    entry.generation = Issued::of_process().generation();
  }
  return entry.context;
}

}  // namespace moongate::tls
