// SPDX-License-Identifier: Apache-2.0
// A snapshot as bytes: what travels from control to the workers in a sealed memfd, and what lies in
// DIR/snapshots. Apart from snapshot.h because control, which makes blobs, must not compile them, and
// workers, which compile them, did not make them.
//
//   0   8  "MGSNAP1\n"
//   8   8  number                       64   records, one after the other, each padded to 8 bytes:
//  16  16  hash of the content               0  2  kind          16  4  bytes of the place
//  32   8  made at, ms since 1970            2  2  flags         20  4  bytes of the body
//  40   8  bytes of the whole blob           4  4  order         24  8  hash of the body
//  48   4  count of records                  8  4  0             32     id, place, body
//  52   4  0                                12  4  bytes of the id
//  56   8  hash of all other bytes
//
// Numbers are little-endian. Records are sorted by kind, then order (routes keep the order of their file),
// then id; no two have the same kind and id. The hash of the content leaves out number, time, reason and
// places: an added comment line makes no new snapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/document.h"
#include "snapshot/descriptor.h"
#include "snapshot/hash.h"

namespace moongate::snapshot {

enum class RecordKind : uint16_t {
  kReason,      // why the snapshot was made; body is the sentence
  kSettings,    // body: config::settings_to_json
  kPluginAttr,  // body: JSON object, plugin name to attributes
  kRoute,       // from here to kStreamRoute in the order of config::Kind; body: canonical JSON
  kService,
  kUpstream,
  kConsumer,
  kCredential,
  kConsumerGroup,
  kPluginConfig,
  kGlobalRule,
  kPluginMetadata,
  kSsl,
  kProto,
  kSecret,
  kStreamRoute,
  kPluginSource,   // id: the plugin's name; place: its path; body: Lua
  kLibrarySource,  // id: what `require` is given; place: its path; body: Lua
  kQuarantined,    // id: "routes/ID" or "plugins/NAME"; body: the reason
  kTrusted,        // place: the path; body: upstream.tls_trusted_certificate as PEM
  // What came later stands behind: numbers are in files that an older version has written.
  kGraphqlCostDecoration,  // a resource
  kClosedNames,  // id: of an `ssls` resource that is wrong; body: JSON list of the names no handshake gets
  kClosedHosts,  // id: of a service that is wrong; body: JSON list of its hosts, which its routes are for
};
inline constexpr uint16_t kRecordKindCount = 23;

RecordKind record_kind(config::Kind kind);
/// Nothing for kinds that are no resource.
const config::Kind* resource_kind(RecordKind kind);

/// One record. In a BlobView the texts are views into the blob.
/// In Record::flags of a plugin source: it comes with the gateway.
inline constexpr uint16_t kFlagShipped = 1;

struct Record {
  RecordKind kind = RecordKind::kReason;
  uint16_t flags = 0;
  uint32_t order = 0;
  std::string_view id;
  std::string_view place;  // "file:line" where it was written, or the path of a source
  std::string_view body;
  uint64_t hash = 0;  // of the body
};

inline constexpr size_t kBlobSizeMaxBytes = size_t{1} << 30;
inline constexpr size_t kBlobRecordsMax = 4'000'000;

/// Collects records and writes them as a blob.
class BlobWriter {
 public:
  /// `hash` of the record is ignored and computed. Copies the texts.
  void add(const Record& record);
  /// Everything in `view` but its reason.
  void add_all(const class BlobView& view);

  struct About {
    uint64_t number = 0;
    uint64_t made_at_ms = 0;
    std::string reason;
  };
  /// The blob; or an error when two records have the same kind and id, or it would be too large. Leaves the
  /// writer empty.
  base::Result<std::string> finish(const About& about);

 private:
  struct Owned {
    RecordKind kind;
    uint16_t flags;
    uint32_t order;
    std::string id;
    std::string place;
    std::string body;
  };
  std::vector<Owned> records_;
};

/// A blob to read from. Everything was checked when it was opened; the bytes must outlive the view.
class BlobView {
 public:
  static base::Result<BlobView> open(std::string_view bytes);
  /// For a worker that must not stand still: reads the header only, then records by read_some(). For bytes
  /// that nobody can have damaged since they were made (a sealed memfd): hashes are not computed again.
  static base::Result<BlobView> begin(std::string_view bytes);
  /// All of such bytes at once.
  static base::Result<BlobView> read(std::string_view bytes);
  /// Reads `count` more records; true when all are there.
  base::Result<bool> read_some(size_t count);
  /// Does as if the records of which `is_out` is said were not there.
  void leave_out(const std::function<bool(const Record&)>& is_out);

  uint64_t number() const { return number_; }
  uint64_t made_at_ms() const { return made_at_ms_; }
  const Hash128& hash() const { return hash_; }
  std::string_view reason() const;
  std::string_view bytes() const { return bytes_; }

  std::span<const Record> records() const { return records_; }
  std::span<const Record> records_of(RecordKind kind) const;
  /// The record, or null.
  const Record* find(RecordKind kind, std::string_view id) const;
  /// The body of the only record of its kind (settings, plugin_attr), or `fallback`.
  std::string_view body_of(RecordKind kind, std::string_view fallback = {}) const;

 private:
  base::Result<void> read_header();
  base::Result<void> check_hashes() const;
  base::Result<Record> read_record(size_t* at) const;

  std::string_view bytes_;
  uint64_t number_ = 0;
  uint64_t made_at_ms_ = 0;
  Hash128 hash_;
  uint32_t record_count_ = 0;
  size_t at_ = 0;  // of the next record to read
  std::vector<Record> records_;
};

/// A record that another takes the place of, or none.
struct RecordChange {
  RecordKind kind;
  std::string id;
  const Record* record = nullptr;  // null: it goes
};

/// The content with some records replaced, added or removed, without a copy of each in between. The last
/// change of a record counts.
base::Result<std::string> replace_records(const BlobView& view, std::span<const RecordChange> changes,
                                          const BlobWriter::About& about);

/// The same content under another number, time and reason.
base::Result<std::string> renumber(const BlobView& view, const BlobWriter::About& about);

}  // namespace moongate::snapshot
