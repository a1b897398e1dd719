// SPDX-License-Identifier: Apache-2.0
#include "tls/issued.h"

#include "base/json.h"
#include "base/log.h"

namespace moongate::tls {

using base::Result;
using base::Value;

Issued& Issued::of_process() {
  static Issued issued;
  return issued;
}

std::string Issued::pack(const std::vector<IssuedCertificate>& certificates) {
  Value list = Value::array();
  for (const IssuedCertificate& certificate : certificates) {
    Value one = Value::object();
    Value& names = one.set("names", Value::array());
    for (const std::string& name : certificate.names) names.items().push_back(Value::string(name));
    one.set("cert", Value::string(certificate.pair.certificate_pem));
    one.set("key", Value::string(certificate.pair.key_pem));
    list.items().push_back(std::move(one));
  }
  return base::to_json(list);
}

namespace {

/// What was there already stays what it is: contexts are made of it.
std::shared_ptr<const CertificatePair> take_pair(const Value& one,
                                                 const std::shared_ptr<const CertificatePair>& had) {
  CertificatePair pair{std::string(one.get_string("cert")), std::string(one.get_string("key"))};
  const bool is_as_it_was =
      had && had->certificate_pem == pair.certificate_pem && had->key_pem == pair.key_pem;
  return is_as_it_was ? had : std::make_shared<const CertificatePair>(std::move(pair));
}

}  // namespace

Result<void> Issued::replace(std::string_view packed) {
  const Result<Value> list = base::parse_json(packed);
  if (!list || !list->is_array()) return base::invalid("issued certificates: what came is no list of them");
  decltype(by_name_) by_name;
  for (const Value& one : list->items()) {
    const Value* names = one.find("names");
    if (names == nullptr || !names->is_array()) return base::invalid("issued certificates: one has no names");
    std::shared_ptr<const CertificatePair> pair;
    for (const Value& name : names->items()) {
      if (!name.is_string()) continue;
      if (!pair) pair = take_pair(one, find(name.as_string()));
      by_name[name.as_string()] = pair;
    }
  }
  by_name_ = std::move(by_name);
  generation_++;
  return {};
}

const std::shared_ptr<const CertificatePair>& Issued::find(const std::string& name) const {
  static const std::shared_ptr<const CertificatePair> none;
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? none : found->second;
}

Result<std::shared_ptr<AwaitedContext>> AwaitedContext::make(ServerOptions options) {
  auto without = ServerContext::make(options);
  if (!without) return without.error();
  std::shared_ptr<AwaitedContext> made(new AwaitedContext);
  made->options_ = std::move(options);
  made->without_ = without.take();
  return made;
}

std::shared_ptr<const ServerContext> AwaitedContext::find(const std::string& name) {
  const Issued& issued = Issued::of_process();
  if (generation_ != issued.generation())  // what nobody but we have is served no more
    std::erase_if(with_, [](const auto& made) { return made.first.use_count() == 1; });
  generation_ = issued.generation();
  const std::shared_ptr<const CertificatePair>& pair = issued.find(name);
  if (!pair) return without_;
  std::shared_ptr<const ServerContext>& context = with_[pair];
  if (context) return context;
  ServerOptions options = options_;
  options.certificates = {*pair};
  auto made = ServerContext::make(options);
  if (!made) MG_LOG(kError) << "ssls/" << options.id << ": the issued certificate: " << made.error().detail;
  context = made ? made.take() : without_;
  return context;
}

}  // namespace moongate::tls
