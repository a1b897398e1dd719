// SPDX-License-Identifier: Apache-2.0
// What is said to etcd and by etcd: the JSON of its gateway (/v3/...), in which keys and values are base64
// and 64-bit numbers are texts. Pure; the connection is etcd_client.h's.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/resource_store.h"

namespace moongate::control {

/// A larger value is told of and not kept; no write of the Admin API makes one.
inline constexpr size_t kEtcdValueMaxBytes = 1572864;

/// Where a resource is kept: "/apisix/routes/1".
std::string etcd_key(const std::string& prefix, const ResourceKey& key);
/// Nothing for keys below the prefix that are none of our resources.
std::optional<ResourceKey> resource_of(const std::string& prefix, std::string_view key);

/// One key, as it is or, in news, as it became.
struct EtcdEntry {
  std::string key;
  std::string value;
  uint64_t create_revision = 0;
  uint64_t mod_revision = 0;
  bool is_deleted = false;
  bool is_too_large = false;  // the value was left out
};

struct EtcdPage {
  std::vector<EtcdEntry> entries;  // in the order of their keys
  uint64_t revision = 0;           // of the whole store
  std::string cluster_id;
  bool has_more = false;
};

/// A part of everything below `prefix`, from `from_key` on ("" for the first).
struct EtcdPageQuestion {
  std::string prefix;
  std::string from_key;
  size_t limit = 0;
  uint64_t revision = 0;  // 0: the newest
  bool is_keys_only = false;
};
std::string page_request(const EtcdPageQuestion& question);
base::Result<EtcdPage> parse_page(std::string_view text, bool is_keys_only);
/// Asks for the revision of the store, and whether it answers at all.
std::string probe_request(const std::string& prefix);

/// One message of a watch.
struct EtcdNews {
  std::vector<EtcdEntry> entries;
  uint64_t revision = 0;  // of the whole store
  std::string cluster_id;
  uint64_t compact_revision = 0;  // not 0: what was asked for is not kept any more
  bool is_created = false;
  bool is_fragment = false;  // more of the same revisions follows
  std::string end;           // not empty: why the watch is over
};
std::string watch_request(const std::string& prefix, uint64_t from_revision);
base::Result<EtcdNews> parse_news(std::string_view text);

/// What must be so for a write to be made.
struct EtcdCompare {
  enum class Kind : uint8_t { kUnchanged, kAbsent, kPresent, kNothingNewer };
  Kind kind = Kind::kUnchanged;
  std::string key;  // of kNothingNewer: the prefix of all that is meant
  uint64_t revision = 0;
  bool operator==(const EtcdCompare&) const = default;
};
struct EtcdOperation {
  std::string key;
  std::optional<std::string> value;  // nothing: delete
  uint64_t ttl_s = 0;                // 0: for ever
  std::string lease_id = {};         // of the ttl, once it was granted
};
/// All of `operations`, if all of `compares` hold.
struct EtcdTransaction {
  std::vector<EtcdCompare> compares;
  std::vector<EtcdOperation> operations;
};
std::string transaction_request(const EtcdTransaction& transaction);
struct EtcdVerdict {
  bool is_made = false;  // false: something that was compared is otherwise
  uint64_t revision = 0;
};
base::Result<EtcdVerdict> parse_verdict(std::string_view text);

std::string lease_request(uint64_t ttl_s);
base::Result<std::string> parse_lease(std::string_view text);
std::string authentication_request(const std::string& user, const std::string& password);
base::Result<std::string> parse_token(std::string_view text);

/// What an answer other than 200 says.
struct EtcdRefusal {
  std::string text;
  bool is_certain = false;   // nothing was done
  bool is_of_token = false;  // another token may do
};
EtcdRefusal parse_refusal(uint16_t status, std::string_view body);

/// Cuts the stream of a watch, one JSON text on each line, into its messages.
///
/// Fails:   kLimit at a message of more than `message_max_bytes`.
class EtcdMessageCutter {
 public:
  explicit EtcdMessageCutter(size_t message_max_bytes) : message_max_bytes_(message_max_bytes) {}

  /// `on_message` gets each whole message and returns false to be given no more.
  base::Result<void> feed(std::string_view bytes, const std::function<bool(std::string_view)>& on_message);

 private:
  size_t message_max_bytes_;
  std::string begun_;
};

}  // namespace moongate::control
