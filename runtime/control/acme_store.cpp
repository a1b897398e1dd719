// SPDX-License-Identifier: Apache-2.0
#include "control/acme_store.h"

#include <filesystem>

#include "base/file.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "tls/digest.h"
#include "tls/private_key.h"

namespace moongate::control {

using base::Result;
using base::Value;

namespace {

constexpr size_t kFileMaxBytes = size_t{1} << 20;
constexpr std::string_view kSuffix = ".json";

std::string to_text(const AcmeCertificate& certificate) {
  Value value = Value::object();
  Value& names = value.set("names", Value::array());
  for (const std::string& name : certificate.names) names.items().push_back(Value::string(name));
  value.set("directory", Value::string(certificate.directory));
  value.set("key_type", Value::string(certificate.is_rsa ? "rsa" : "ecdsa"));
  value.set("cert", Value::string(certificate.pair.certificate_pem));
  value.set("key", Value::string(certificate.pair.key_pem));
  return base::to_json(value);
}

Result<AcmeCertificate> from_text(std::string_view text) {
  const Result<Value> value = base::parse_json(text);
  const Value* names = value ? value->find("names") : nullptr;
  if (names == nullptr || !names->is_array()) return base::invalid("it holds no certificate");
  AcmeCertificate certificate;
  for (const Value& name : names->items()) {
    if (name.is_string()) certificate.names.push_back(name.as_string());
  }
  certificate.directory = value->get_string("directory");
  certificate.is_rsa = value->get_string("key_type") == "rsa";
  certificate.pair = {std::string(value->get_string("cert")), std::string(value->get_string("key"))};
  return certificate;
}

}  // namespace

Result<void> AcmeStore::check(AcmeCertificate* certificate) const {
  tls::ServerOptions options;
  options.certificates = {certificate->pair};
  if (auto made = tls::ServerContext::make(options); !made) return made.error();
  const Result<tls::Validity> validity = tls::read_validity(certificate->pair.certificate_pem);
  if (!validity) return validity.error();
  for (const std::string& name : certificate->names) {
    if (!tls::is_for_host(certificate->pair.certificate_pem, name))
      return base::invalid("it is not for " + name);
  }
  certificate->validity = *validity;
  return {};
}

void AcmeStore::load() {
  by_name_.clear();
  certificates_.clear();
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != kSuffix) continue;
    const std::string path = at->path().string();
    const Result<std::string> text = base::read_file(path, kFileMaxBytes);
    Result<AcmeCertificate> read = text ? from_text(*text) : Result<AcmeCertificate>(text.error());
    const Result<void> checked = read ? check(&*read) : Result<void>(read.error());
    if (checked)
      keep(read.take());
    else
      MG_LOG(kWarn) << path << " is not used: " << checked.error().detail;
  }
}

Result<void> AcmeStore::add(AcmeCertificate certificate) {
  const std::string text = to_text(certificate);
  const std::string path = path_of(certificate.names);
  keep(std::move(certificate));
  if (auto made = make_folder(); !made) return made;
  return base::write_file(path, text);
}

void AcmeStore::keep(AcmeCertificate certificate) {
  const auto [at, is_new] = certificates_.try_emplace(certificate.names);
  Kept& kept = at->second;
  if (!is_new) kept.former = std::move(kept.last);
  kept.last = std::move(certificate);
  if (!is_new) return;
  for (const std::string& name : at->first) by_name_[name].push_back(&kept);
}

const AcmeCertificate* AcmeStore::find(const std::vector<std::string>& names) const {
  const auto found = certificates_.find(names);
  return found == certificates_.end() ? nullptr : &found->second.last;
}

const AcmeCertificate* AcmeStore::choose(const std::vector<std::string>& names, const std::string& name,
                                         base::WallTime now) const {
  const AcmeCertificate* best = find(names);
  if (best != nullptr && best->holds(now)) return best;
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  const auto look_at = [&](const AcmeCertificate& one) {
    const bool is_better = best == nullptr || one.holds(now) > best->holds(now) ||
                           (one.holds(now) == best->holds(now) && one.validity.until > best->validity.until);
    if (is_better) best = &one;
  };
  for (const Kept* kept : found->second) {
    look_at(kept->last);
    if (kept->former) look_at(*kept->former);
  }
  return best;
}

Result<std::string> AcmeStore::account_key() {
  const std::string path = folder_ + "/account.key";
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    Result<std::string> key = base::read_file(path, kFileMaxBytes);
    if (!key) return key;
    if (auto jwk = tls::public_jwk(*key); !jwk)
      return base::invalid(path + ": " + jwk.error().detail +
                           "; remove the file to have another account made");
    return key;
  }
  Result<std::string> key = tls::make_key(tls::KeyType::kEcdsa);
  if (!key) return key;
  if (auto made = make_folder(); !made) return made.error();
  if (auto written = base::write_file(path, *key); !written) return written.error();
  return key;
}

std::string AcmeStore::path_of(const std::vector<std::string>& names) const {
  std::string text;
  for (const std::string& name : names) text.append(name).append("\n");
  char hash[tls::kDigestMaxBytes];
  const size_t size = tls::digest("sha256", text, hash);
  return folder_ + "/" + base::to_hex({hash, size}).append(kSuffix);
}

Result<void> AcmeStore::make_folder() const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return base::invalid(folder_ + ": " + error.message());
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
  return {};
}

}  // namespace moongate::control
