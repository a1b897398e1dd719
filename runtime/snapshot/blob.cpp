// SPDX-License-Identifier: Apache-2.0
#include "snapshot/blob.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_set>

#include "base/little_endian.h"

namespace moongate::snapshot {

using base::Result;

namespace {

constexpr std::string_view kMagic = "MGSNAP1\n";
constexpr size_t kHeaderSize = 64;
constexpr size_t kRecordHeaderSize = 32;
constexpr size_t kChecksumAt = 56;

constexpr std::array<config::Kind, config::kKindCount> kResourceKinds = {
    config::Kind::kRoute,          config::Kind::kService,
    config::Kind::kUpstream,       config::Kind::kConsumer,
    config::Kind::kCredential,     config::Kind::kConsumerGroup,
    config::Kind::kPluginConfig,   config::Kind::kGlobalRule,
    config::Kind::kPluginMetadata, config::Kind::kSsl,
    config::Kind::kProto,          config::Kind::kSecret,
    config::Kind::kStreamRoute,    config::Kind::kGraphqlCostDecoration};

size_t padded(size_t size) { return (size + 7) & ~size_t{7}; }

/// Covers every byte but the checksum itself.
uint64_t checksum(std::string_view bytes) {
  return hash64(bytes.substr(kHeaderSize), hash64(bytes.substr(0, kChecksumAt)));
}

void add_content(Hasher& hasher, const Record& record) {
  if (record.kind == RecordKind::kReason) return;
  hasher.add(uint64_t{static_cast<uint16_t>(record.kind)} << 16 | record.flags);
  hasher.add(record.order);
  hasher.add(record.id);
  hasher.add(record.body);
}

template <class R>
auto sort_key(const R& record) {
  return std::tuple(record.kind, record.order, std::string_view(record.id));
}

template <class R>
auto identity(const R& record) {
  return std::tuple(record.kind, std::string_view(record.id));
}

base::Error damaged(std::string what) { return base::invalid("damaged snapshot: " + std::move(what)); }

base::Error duplicate(RecordKind kind, std::string_view id) {
  return base::invalid("two records of kind " + std::to_string(static_cast<int>(kind)) + " have the id `" +
                       std::string(id) + "`");
}

/// Two records of one kind and id, or null. The records are in their order, so that those of one kind and
/// order stand beside each other; where orders differ, a table finds the others.
template <class R>
const R* find_duplicate(const std::vector<R>& records) {
  std::unordered_set<std::string_view> ids;
  for (size_t i = 1; i < records.size(); i++) {
    const R& before = records[i - 1];
    const R& record = records[i];
    if (before.kind != record.kind) {
      ids.clear();
    } else if (identity(before) == identity(record)) {
      return &record;
    } else if (before.order != record.order || !ids.empty()) {
      if (ids.empty()) {
        for (size_t j = i; j-- > 0 && records[j].kind == record.kind;) ids.insert(records[j].id);
      }
      if (!ids.insert(record.id).second) return &record;
    }
  }
  return nullptr;
}

size_t record_size(const Record& record) {
  return kRecordHeaderSize + padded(record.id.size() + record.place.size() + record.body.size());
}

void put_record(std::string& out, const Record& record) {
  base::put_number(out, static_cast<uint16_t>(record.kind), 2);
  base::put_number(out, record.flags, 2);
  base::put_number(out, record.order, 4);
  base::put_number(out, 0, 4);
  base::put_number(out, record.id.size(), 4);
  base::put_number(out, record.place.size(), 4);
  base::put_number(out, record.body.size(), 4);
  base::put_number(out, record.hash, 8);
  out.append(record.id).append(record.place).append(record.body);
  out.resize(padded(out.size()), '\0');
}

/// Room for the header; the records are written behind it, so that megabytes need not be moved.
std::string begin_blob(size_t size) {
  std::string blob;
  blob.reserve(size);
  blob.resize(kHeaderSize);
  return blob;
}

void put_header(std::string* blob, const BlobWriter::About& about, const Hash128& hash, size_t record_count) {
  std::string header(kMagic);
  base::put_number(header, about.number, 8);
  base::put_number(header, hash.high, 8);
  base::put_number(header, hash.low, 8);
  base::put_number(header, about.made_at_ms, 8);
  base::put_number(header, blob->size(), 8);
  base::put_number(header, record_count, 4);
  base::put_number(header, 0, 4);
  base::put_number(header, hash64(std::string_view(*blob).substr(kHeaderSize), hash64(header)), 8);
  blob->replace(0, kHeaderSize, header);
}

/// Writes records that are in their order, have their hashes and differ in kind or id. Those that are views
/// into `source`, a blob, are copied as they stand there.
Result<std::string> write_records(const std::vector<Record>& records, const BlobWriter::About& about,
                                  std::string_view source) {
  size_t size = kHeaderSize;
  for (const Record& record : records) size += record_size(record);
  if (size > kBlobSizeMaxBytes || records.size() > kBlobRecordsMax) {
    return base::Error{base::ErrorKind::kLimit, base::Side::kSelf, false,
                       "a snapshot larger than 1 GB or 4,000,000 records"};
  }
  std::string blob = begin_blob(size);
  Hasher hasher;
  for (const Record& record : records) {
    add_content(hasher, record);
    const auto at = reinterpret_cast<uintptr_t>(record.id.data());
    const auto begin = reinterpret_cast<uintptr_t>(source.data());
    if (at >= begin && at < begin + source.size())
      blob += source.substr(at - begin - kRecordHeaderSize, record_size(record));
    else
      put_record(blob, record);
  }
  put_header(&blob, about, hasher.finish(), records.size());
  return blob;
}

}  // namespace

RecordKind record_kind(config::Kind kind) {
  if (kind == config::Kind::kGraphqlCostDecoration) return RecordKind::kGraphqlCostDecoration;
  return static_cast<RecordKind>(static_cast<uint16_t>(RecordKind::kRoute) + static_cast<uint16_t>(kind));
}

const config::Kind* resource_kind(RecordKind kind) {
  if (kind == RecordKind::kGraphqlCostDecoration) return &kResourceKinds.back();
  if (kind < RecordKind::kRoute || kind > RecordKind::kStreamRoute) return nullptr;
  return &kResourceKinds[static_cast<size_t>(kind) - static_cast<size_t>(RecordKind::kRoute)];
}

void BlobWriter::add(const Record& record) {
  records_.push_back(Owned{record.kind, record.flags, record.order, std::string(record.id),
                           std::string(record.place), std::string(record.body)});
}

void BlobWriter::add_all(const BlobView& view) {
  for (const Record& record : view.records()) {
    if (record.kind != RecordKind::kReason) add(record);
  }
}

Result<std::string> BlobWriter::finish(const About& about) {
  add(Record{RecordKind::kReason, 0, 0, "", "", about.reason, 0});
  std::vector<Owned> records = std::move(records_);
  records_.clear();
  const auto is_before = [](const Owned& a, const Owned& b) { return sort_key(a) < sort_key(b); };
  // Mostly they come in order, and moving 10,000 of them about takes its time.
  if (!std::is_sorted(records.begin(), records.end(), is_before))
    std::sort(records.begin(), records.end(), is_before);
  std::vector<Record> views;
  views.reserve(records.size());
  for (const Owned& owned : records) {
    views.push_back(
        {owned.kind, owned.flags, owned.order, owned.id, owned.place, owned.body, hash64(owned.body)});
  }
  if (const Record* twin = find_duplicate(views)) return duplicate(twin->kind, twin->id);
  return write_records(views, about, {});
}

Result<std::string> replace_records(const BlobView& view, std::span<const RecordChange> changes,
                                    const BlobWriter::About& about) {
  std::map<std::pair<RecordKind, std::string_view>, const Record*> replaced;
  for (const RecordChange& change : changes) replaced[{change.kind, change.id}] = change.record;
  std::vector<Record> added;
  for (const auto& [key, record] : replaced) {
    if (record == nullptr) continue;
    added.push_back(*record);
    added.back().hash = hash64(record->body);
  }
  added.push_back({RecordKind::kReason, 0, 0, "", "", about.reason, hash64(about.reason)});
  const auto by_key = [](const Record& a, const Record& b) { return sort_key(a) < sort_key(b); };
  std::sort(added.begin(), added.end(), by_key);
  std::vector<Record> kept;
  kept.reserve(view.records().size());
  for (const Record& record : view.records()) {
    if (record.kind != RecordKind::kReason && replaced.count({record.kind, record.id}) == 0)
      kept.push_back(record);
  }
  std::vector<Record> records;
  records.reserve(kept.size() + added.size());
  std::merge(kept.begin(), kept.end(), added.begin(), added.end(), std::back_inserter(records), by_key);
  return write_records(records, about, view.bytes());
}

Result<std::string> renumber(const BlobView& view, const BlobWriter::About& about) {
  const std::span<const Record> reasons = view.records_of(RecordKind::kReason);
  if (reasons.size() != 1) return damaged("it does not begin with one reason");
  std::string blob = begin_blob(view.bytes().size() + about.reason.size());
  put_record(blob, Record{RecordKind::kReason, 0, 0, "", "", about.reason, hash64(about.reason)});
  // The reason is the first record; all others stay as they are.
  blob.append(view.bytes().substr(kHeaderSize + record_size(reasons.front())));
  if (blob.size() > kBlobSizeMaxBytes)
    return base::Error{base::ErrorKind::kLimit, base::Side::kSelf, false, "a snapshot larger than 1 GB"};
  put_header(&blob, about, view.hash(), view.records().size());
  return blob;
}

Result<BlobView> BlobView::begin(std::string_view bytes) {
  BlobView view;
  view.bytes_ = bytes;
  if (auto read = view.read_header(); !read) return read.error();
  view.at_ = kHeaderSize;
  view.records_.reserve(view.record_count_);
  return view;
}

Result<BlobView> BlobView::read(std::string_view bytes) {
  Result<BlobView> view = begin(bytes);
  if (!view) return view;
  if (auto all = view->read_some(view->record_count_); !all) return all.error();
  return view;
}

Result<BlobView> BlobView::open(std::string_view bytes) {
  Result<BlobView> view = begin(bytes);
  if (!view) return view;
  if (checksum(bytes) != base::get_number(bytes, kChecksumAt, 8))
    return damaged("the hash of its bytes is wrong");
  if (auto read = view->read_some(view->record_count_); !read) return read.error();
  if (auto checked = view->check_hashes(); !checked) return checked.error();
  return view;
}

Result<void> BlobView::read_header() {
  if (bytes_.size() < kHeaderSize) return damaged("shorter than its header");
  if (bytes_.substr(0, kMagic.size()) != kMagic)
    return damaged("it does not begin with MGSNAP1; made by another version?");
  number_ = base::get_number(bytes_, 8, 8);
  hash_ = {base::get_number(bytes_, 16, 8), base::get_number(bytes_, 24, 8)};
  made_at_ms_ = base::get_number(bytes_, 32, 8);
  const uint64_t size = base::get_number(bytes_, 40, 8);
  if (size > kBlobSizeMaxBytes) return damaged("it claims more than 1 GB");
  if (size != bytes_.size()) {
    return damaged(std::to_string(bytes_.size()) + " bytes in place of " + std::to_string(size));
  }
  record_count_ = static_cast<uint32_t>(base::get_number(bytes_, 48, 4));
  if (record_count_ > kBlobRecordsMax || record_count_ > (size - kHeaderSize) / kRecordHeaderSize) {
    return damaged("it claims " + std::to_string(record_count_) + " records");
  }
  if (base::get_number(bytes_, 52, 4) != 0) return damaged("its header");
  return {};
}

Result<Record> BlobView::read_record(size_t* at) const {
  if (bytes_.size() - *at < kRecordHeaderSize) return damaged("a record is cut short");
  const std::string_view head = bytes_.substr(*at, kRecordHeaderSize);
  const uint64_t kind = base::get_number(head, 0, 2);
  if (kind >= kRecordKindCount || base::get_number(head, 8, 4) != 0)
    return damaged("a record of an unknown kind");
  const size_t id_size = base::get_number(head, 12, 4);
  const size_t place_size = base::get_number(head, 16, 4);
  const size_t body_size = base::get_number(head, 20, 4);
  const size_t size =
      kRecordHeaderSize + padded(id_size + place_size + body_size);  // three 32-bit sizes cannot overflow
  if (size > bytes_.size() - *at) return damaged("a record is cut short");
  const std::string_view texts = bytes_.substr(*at + kRecordHeaderSize, id_size + place_size + body_size);
  Record record;
  record.kind = static_cast<RecordKind>(kind);
  record.flags = static_cast<uint16_t>(base::get_number(head, 2, 2));
  record.order = static_cast<uint32_t>(base::get_number(head, 4, 4));
  record.id = texts.substr(0, id_size);
  record.place = texts.substr(id_size, place_size);
  record.body = texts.substr(id_size + place_size);
  record.hash = base::get_number(head, 24, 8);
  *at += size;
  return record;
}

Result<bool> BlobView::read_some(size_t count) {
  for (; count > 0 && records_.size() < record_count_; count--) {
    Result<Record> record = read_record(&at_);
    if (!record) return record.error();
    if (!records_.empty() && !(sort_key(records_.back()) < sort_key(*record)))
      return damaged("its records are out of order");
    records_.push_back(*record);
  }
  if (records_.size() < record_count_) return false;
  if (at_ != bytes_.size()) return damaged("bytes after its last record");
  return true;
}

void BlobView::leave_out(const std::function<bool(const Record&)>& is_out) {
  std::erase_if(records_, is_out);
  record_count_ = static_cast<uint32_t>(records_.size());
}

Result<void> BlobView::check_hashes() const {
  Hasher hasher;
  for (const Record& record : records_) {
    if (record.hash != hash64(record.body))
      return damaged("the hash of record `" + std::string(record.id) + "` is wrong");
    add_content(hasher, record);
  }
  if (find_duplicate(records_) != nullptr) return damaged("two records with one id");
  if (hasher.finish() != hash_) return damaged("the hash of its content is wrong");
  return {};
}

std::string_view BlobView::reason() const { return body_of(RecordKind::kReason); }

std::span<const Record> BlobView::records_of(RecordKind kind) const {
  const auto begins_before = [](const Record& record, RecordKind k) { return record.kind < k; };
  const auto ends_before = [](RecordKind k, const Record& record) { return k < record.kind; };
  const auto first = std::lower_bound(records_.begin(), records_.end(), kind, begins_before);
  const auto last = std::upper_bound(first, records_.end(), kind, ends_before);
  return {first, last};
}

const Record* BlobView::find(RecordKind kind, std::string_view id) const {
  const std::span<const Record> all = records_of(kind);
  if (all.empty()) return nullptr;
  // Those of the last order are mostly all, and sorted by their ids.
  const uint32_t last = all.back().order;
  const auto group = std::lower_bound(all.begin(), all.end(), last, [](const Record& record, uint32_t order) {
    return record.order < order;
  });
  const auto found = std::lower_bound(
      group, all.end(), id, [](const Record& record, std::string_view wanted) { return record.id < wanted; });
  if (found != all.end() && found->id == id) return &*found;
  const auto other = std::find_if(all.begin(), group, [&](const Record& record) { return record.id == id; });
  return other == group ? nullptr : &*other;
}

std::string_view BlobView::body_of(RecordKind kind, std::string_view fallback) const {
  const std::span<const Record> found = records_of(kind);
  return found.empty() ? fallback : found.front().body;
}

}  // namespace moongate::snapshot
