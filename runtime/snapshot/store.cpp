// SPDX-License-Identifier: Apache-2.0
#include "snapshot/store.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/log.h"
#include "snapshot/blob.h"

namespace moongate::snapshot {

using base::Result;

namespace {

constexpr std::string_view kSuffix = ".snap";

/// The number that a text begins with when nothing but `suffix` follows.
std::optional<uint64_t> parse_number(std::string_view text, std::string_view suffix) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || std::string_view(end, text.data() + text.size() - end) != suffix || number == 0)
    return {};
  return number;
}

StoredSnapshot describe(const BlobView& view) {
  return {view.number(), view.hash(), view.made_at_ms(), std::string(view.reason())};
}

}  // namespace

Result<Store> Store::open(const std::string& directory) {
  Store store(directory + "/snapshots");
  std::error_code error;
  std::filesystem::create_directories(store.folder_, error);
  if (error)
    return base::Error{base::ErrorKind::kIo, base::Side::kSelf, false,
                       store.folder_ + ": " + error.message()};
  if (auto scanned = store.scan(); !scanned) return scanned.error();
  return store;
}

std::string Store::path_of(uint64_t number) const {
  char name[32];
  std::snprintf(name, sizeof name, "/%08llu", static_cast<unsigned long long>(number));
  return folder_ + name + std::string(kSuffix);
}

Result<void> Store::scan() {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    const auto number = parse_number(at->path().filename().string(), kSuffix);
    if (!number) continue;
    last_number_ = std::max(last_number_, *number);
    Result<std::string> bytes = load(*number);
    if (!bytes) {
      MG_LOG(kWarn) << "a stored snapshot is skipped: " << bytes.error().detail;
      continue;
    }
    const Result<BlobView> view = BlobView::open(*bytes);
    if (view) list_.push_back(describe(*view));
  }
  if (error)
    return base::Error{base::ErrorKind::kIo, base::Side::kSelf, false, folder_ + ": " + error.message()};
  std::sort(list_.begin(), list_.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  if (Result<std::string> text = base::read_file(folder_ + "/current", kBlobSizeMaxBytes))
    current_ = parse_number(*text, "\n").value_or(0);
  last_number_ = std::max(last_number_, current_);
  return {};
}

Result<void> Store::save(std::string_view blob, base::Durability durability) {
  const Result<BlobView> view = BlobView::open(blob);
  if (!view) return view.error();
  return save(*view, durability);
}

Result<void> Store::save(const BlobView& view, base::Durability durability) {
  if (auto written = base::write_file(path_of(view.number()), view.bytes(), durability); !written)
    return written;
  std::erase_if(list_, [&](const StoredSnapshot& stored) { return stored.number == view.number(); });
  list_.push_back(describe(view));
  std::sort(list_.begin(), list_.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  current_ = view.number();
  last_number_ = std::max(last_number_, current_);
  drop_oldest();
  return base::write_file(folder_ + "/current", std::to_string(current_) + "\n", durability);
}

void Store::drop_oldest() {
  while (list_.size() > kKept) {
    const auto oldest = list_.front().number == current_ ? list_.begin() + 1 : list_.begin();
    ::unlink(path_of(oldest->number).c_str());
    list_.erase(oldest);
  }
}

const StoredSnapshot* Store::find_previous() const {
  const auto now =
      std::find_if(list_.begin(), list_.end(), [&](const auto& stored) { return stored.number == current_; });
  if (now == list_.end()) return nullptr;
  for (auto at = now; at != list_.begin();) {
    --at;
    if (at->hash != now->hash) return &*at;
  }
  return nullptr;
}

Result<std::string> Store::load(uint64_t number) const {
  const std::string path = path_of(number);
  Result<std::string> bytes = base::read_file(path, kBlobSizeMaxBytes);
  if (!bytes) {
    const bool is_there = ::access(path.c_str(), F_OK) == 0;
    if (is_there) return bytes.error();
    return base::Error{base::ErrorKind::kNotFound, base::Side::kSelf, false,
                       "there is no snapshot " + std::to_string(number)};
  }
  const Result<BlobView> view = BlobView::open(*bytes);
  if (!view) return base::invalid(path + ": " + view.error().detail);
  if (view->number() != number)
    return base::invalid(path + ": holds snapshot " + std::to_string(view->number()));
  return bytes;
}

Result<std::string> Store::load_current() const {
  if (current_ != 0) {
    Result<std::string> bytes = load(current_);
    if (bytes) return bytes;
    MG_LOG(kWarn) << "the current snapshot cannot be used, an older one may: " << bytes.error().detail;
  }
  for (auto at = list_.rbegin(); at != list_.rend(); ++at) {
    Result<std::string> bytes = load(at->number);
    if (bytes) return bytes;
  }
  return base::Error{base::ErrorKind::kNotFound, base::Side::kSelf, false,
                     folder_ + " holds no whole snapshot"};
}

}  // namespace moongate::snapshot
