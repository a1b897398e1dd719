// SPDX-License-Identifier: Apache-2.0
// One changed route among 10,000. When everything but routes is as in the present snapshot, that is taken
// over as a whole, the records of routes are compared by their hashes, and only what differs is compiled: the
// rest of the list, and of the router, is the present one's.
#include <algorithm>
#include <tuple>

#include "config/encrypted_fields.h"
#include "snapshot/compiler.h"

namespace moongate::snapshot {

namespace {

constexpr size_t kRecordsPerStep = 512;
constexpr size_t kRoutesPerStep = 4;
constexpr size_t kUnitsPerStep = 64;
constexpr size_t kChangesMax = 256;

}  // namespace

uint64_t Compiler::print_of(const Record& record) {
  return hash64(record.id, record.hash ^ uint64_t{record.order} * 0x9e3779b97f4a7c15u);
}

void Compiler::begin_snapshot(std::shared_ptr<Surroundings> around) {
  next_ = graveyard_.make(std::move(around));
  next_->number = blob_.number();
  next_->hash = blob_.hash().text();
  position_ = 0;
}

/// Compiles everything, whatever was tried before.
void Compiler::begin_anew() {
  is_patching_ = false;
  patch_.reset();
  changes_.clear();
  services_.clear();
  plugin_configs_.clear();
  source_hashes_.clear();
  complaints_.clear();
  begin_snapshot(std::make_shared<Surroundings>());
  next_->around->print = print_;
  stage_ = Stage::kSettings;
}

/// Folds all that is no route into one hash.
void Compiler::read_surroundings() {
  const std::span<const Record> records = blob_.records();
  for (size_t n = 0; n < kRecordsPerStep && position_ < records.size(); n++) {
    const Record& record = records[position_++];
    if (record.kind == RecordKind::kReason || record.kind == RecordKind::kQuarantined) continue;
    if (record.kind == RecordKind::kRoute) {
      position_ += blob_.records_of(RecordKind::kRoute).size() - 1;
      continue;
    }
    surroundings_.add(uint64_t{static_cast<uint16_t>(record.kind)} << 48 | uint64_t{record.flags} << 32 |
                      record.order);
    surroundings_.add(record.id);
    surroundings_.add(record.hash);
    const bool is_source =
        record.kind == RecordKind::kPluginSource || record.kind == RecordKind::kLibrarySource;
    if (is_source) surroundings_.add(record.place);
  }
  if (position_ < records.size()) return;
  print_ = surroundings_.finish();
  if (!present_ || !present_->router || present_->around->print != print_) return begin_anew();
  begin_snapshot(present_->around);
  next_->route_order.reserve(blob_.records_of(RecordKind::kRoute).size());
  present_at_ = 0;
  stage_ = Stage::kCompare;
}

uint32_t Compiler::keep_left_out(std::string_view id) {
  next_->left_out.emplace_back(id);
  return RouteEntry::kLeftOut | static_cast<uint32_t>(next_->left_out.size() - 1);
}

/// Goes through both orders at once; true when both are at their end.
bool Compiler::compare_routes() {
  const size_t count = blob_.records_of(RecordKind::kRoute).size();
  for (size_t n = 0; n < kRecordsPerStep; n++) {
    if (position_ == count && present_at_ == present_->route_order.size()) return true;
    compare_one();
    if (changes_.size() <= kChangesMax) continue;
    begin_anew();
    return false;
  }
  return false;
}

void Compiler::compare_one() {
  const std::span<const Record> records = blob_.records_of(RecordKind::kRoute);
  const Record* record = position_ < records.size() ? &records[position_] : nullptr;
  const bool has_present = present_at_ < present_->route_order.size();
  const RouteEntry had =
      has_present ? present_->route_order[present_at_] : RouteEntry{0, 0, RouteIndex::kNone};
  const bool is_left_out = (had.slot & RouteEntry::kLeftOut) != 0;
  const uint64_t print = record != nullptr ? print_of(*record) : 0;
  if (record != nullptr && has_present && print == had.print) {
    const uint32_t slot = is_left_out ? keep_left_out(record->id) : had.slot;
    next_->route_order.push_back({print, record->order, slot});
    position_++;
    present_at_++;
    return;
  }
  bool is_new = !has_present;
  bool is_gone = record == nullptr;
  if (record != nullptr && has_present) {
    const std::string_view had_id =
        is_left_out ? present_->left_out[had.slot & ~RouteEntry::kLeftOut] : present_->routes[had.slot]->id;
    const auto now_key = std::tuple(record->order, record->id);
    const auto had_key = std::tuple(had.order, had_id);
    is_new = now_key < had_key;
    is_gone = had_key < now_key;
  }
  RouteChange change{is_gone ? nullptr : record, static_cast<uint32_t>(next_->route_order.size()),
                     is_new || is_left_out ? RouteIndex::kNone : had.slot};
  if (!is_gone) {
    next_->route_order.push_back({print, record->order, RouteIndex::kNone});
    position_++;
  }
  if (!is_new) present_at_++;
  changes_.push_back(change);
}

void Compiler::begin_patch() {
  if (!router::Router::Patch::can_take(*present_->router, changes_.size())) return begin_anew();
  is_patching_ = true;
  config::Keyring::of_process().set(
      next_->settings->data_encryption);  // an abandoned snapshot's may be there
  note_source_hashes();
  next_->routes = present_->routes;
  patch_ = std::make_unique<router::Router::Patch>(*present_->router);
  for (const RouteChange& change : changes_) {
    if (change.had == RouteIndex::kNone) continue;
    patch_->remove(present_->routes[change.had]->origin.spec, change.had);
    next_->routes.set(change.had, nullptr);
  }
  position_ = 0;
  stage_ = Stage::kPatchRoutes;
}

/// A patch reads only those services and plugin_configs that a changed route names.
Compiler::ServiceEntry* Compiler::find_service(const std::string& id) {
  const Record* unread =
      is_patching_ && services_.count(id) == 0 ? blob_.find(RecordKind::kService, id) : nullptr;
  if (unread != nullptr) add_service(*unread);
  const auto found = services_.find(id);
  return found == services_.end() ? nullptr : found->second.get();
}

Compiler::GroupEntry* Compiler::find_plugin_config(const std::string& id) {
  const Record* unread =
      is_patching_ && plugin_configs_.count(id) == 0 ? blob_.find(RecordKind::kPluginConfig, id) : nullptr;
  if (unread != nullptr) add_group(*unread);
  const auto found = plugin_configs_.find(id);
  return found == plugin_configs_.end() ? nullptr : found->second.get();
}

void Compiler::patch_some_routes() {
  for (size_t n = 0; n < kRoutesPerStep && position_ < changes_.size(); n++) {
    const RouteChange& change = changes_[position_++];
    if (change.record != nullptr) patch_route(change);
  }
  if (position_ == changes_.size()) stage_ = Stage::kPatchRouter;
}

void Compiler::patch_route(const RouteChange& change) {
  const Record& record = *change.record;
  uint32_t& slot = next_->route_order[change.entry].slot;
  patched_ = change.had == RouteIndex::kNone ? nullptr : present_->routes[change.had].get();
  std::shared_ptr<Route> route = compile_route(record);
  if (!route) {
    slot = keep_left_out(record.id);
    return;
  }
  const bool has_slot = change.had != RouteIndex::kNone;
  const auto target = has_slot ? change.had : static_cast<uint32_t>(next_->routes.size());
  if (auto added = patch_->add(route->origin.spec, target, record.order); !added) {
    complain(record, added.error().detail);
    slot = keep_left_out(record.id);
    return;
  }
  slot = target;
  if (has_slot)
    next_->routes.set(target, std::move(route));
  else
    next_->routes.push_back(std::move(route));
}

void Compiler::finish_patch() {
  if (!patch_->step(kUnitsPerStep)) return;
  next_->router = patch_->finish();
  patch_.reset();
  if (!next_->router) return begin_anew();
  stage_ = Stage::kDone;
}

}  // namespace moongate::snapshot
