// SPDX-License-Identifier: Apache-2.0
// What a compiler takes over from the present snapshot: upstreams with their connections, routes whole or at
// least what others left on them. An edit of one route in 10,000 then costs little more than looking at the
// others.
#include "snapshot/compiler.h"

#include <algorithm>

namespace moongate::snapshot {

bool Compiler::has_same_upstream_settings() const {
  return present_ && present_->settings->upstream == next_->settings->upstream &&
         present_->trust == next_->trust;
}

/// Whether the certificate that the upstream shows is still the one of that name.
bool Compiler::is_current(const upstream::Upstream& upstream) const {
  const upstream::UpstreamOptions& options = upstream.options();
  if (options.client_cert_id.empty()) return true;
  const auto now = next_->client_certificates.find(options.client_cert_id);
  return now != next_->client_certificates.end() && now->second.hash == options.client_cert_hash;
}

/// The upstream of the present snapshot, when it was made from the same.
std::shared_ptr<upstream::Upstream> Compiler::find_present_upstream(const std::string& id,
                                                                    uint64_t hash) const {
  if (!has_same_upstream_settings()) return nullptr;
  const auto had = present_->upstreams.find(id);
  const auto had_hash = present_->upstream_hashes.find(id);
  if (had == present_->upstreams.end() || had_hash == present_->upstream_hashes.end()) return nullptr;
  return had_hash->second == hash && is_current(*had->second) ? had->second : nullptr;
}

void Compiler::keep_upstream(const std::string& id, uint64_t hash, std::shared_ptr<upstream::Upstream> made) {
  next_->upstreams[id] = std::move(made);
  next_->upstream_hashes[id] = hash;
}

/// Where the present snapshot has which route, some hundred at a time.
void Compiler::index_present() {
  constexpr size_t kRoutesPerStep = 512;
  const size_t count = present_ ? present_->route_order.size() : 0;
  if (position_ == 0) present_index_.reserve(count);
  for (size_t n = 0; n < kRoutesPerStep && position_ < count; n++, position_++) {
    const uint32_t slot = present_->route_order[position_].slot;
    if ((slot & RouteEntry::kLeftOut) == 0) present_index_.add(present_->routes, slot);
  }
  if (position_ < count) return;
  position_ = 0;
  stage_ = Stage::kRoutes;
}

/// The slot of the route in the present snapshot, or kNone. Mostly it is the one after the last, or the one
/// after those that are gone.
uint32_t Compiler::find_present_route(std::string_view id) {
  constexpr size_t kGoneMax = 4;
  const std::vector<RouteEntry>& order = present_->route_order;
  const size_t end = std::min(order.size(), present_at_ + kGoneMax);
  for (size_t at = present_at_; at < end; at++) {
    const uint32_t slot = order[at].slot;
    if ((slot & RouteEntry::kLeftOut) != 0 || present_->routes[slot]->id != id) continue;
    present_at_ = at + 1;
    return slot;
  }
  return present_index_.find(present_->routes, id);
}

/// Takes the route over whole when nothing it is made from has changed: then its record need not even be
/// parsed.
bool Compiler::reuse_route(const Record& record) {
  if (!has_same_upstream_settings() || present_->code_hash != next_->code_hash) return false;
  const uint32_t had = find_present_route(record.id);
  if (had == RouteIndex::kNone) return false;
  const std::shared_ptr<const Route>& route = present_->routes[had];
  const RouteOrigin& origin = route->origin;
  if (origin.record_hash != record.hash || route->fault_status != 0) return false;
  if (!route->service_id.empty()) {
    const auto service = services_.find(route->service_id);
    if (service == services_.end() || service->second->hash != origin.service_hash) return false;
    if (route->has_upstream_of_service && service->second->upstream != route->upstream) return false;
  }
  if (!origin.plugin_config_id.empty()) {
    const auto group = plugin_configs_.find(origin.plugin_config_id);
    if (group == plugin_configs_.end() || group->second->hash != origin.plugin_config_hash) return false;
  }
  if (!origin.upstream_id.empty()) {
    const auto upstream = next_->upstreams.find(origin.upstream_id);
    if (upstream == next_->upstreams.end() || upstream->second != route->upstream) return false;
  }
  if (route->upstream && !is_current(*route->upstream)) return false;
  if (!add_to_router(record, origin.spec)) {
    leave_out(record);
    return true;
  }
  add_to_list(record, route);
  return true;
}

void Compiler::add_to_list(const Record& record, std::shared_ptr<const Route> route) {
  const auto slot = static_cast<uint32_t>(next_->routes.size());
  next_->routes.push_back(std::move(route));
  next_->route_order.push_back({print_of(record), record.order, slot});
}

void Compiler::leave_out(const Record& record) {
  next_->route_order.push_back({print_of(record), record.order, keep_left_out(record.id)});
}

// What other parts left on the present snapshot's route stays with it when nothing it depends on has changed.
void Compiler::take_over(const std::string& id, Route& route) const {
  const Route* had = present_route(id);
  if (!had || had->plugins.dependencies != route.plugins.dependencies) return;
  route.plugins.chain = had->plugins.chain;
  route.metrics = had->metrics;
}

const Route* Compiler::present_route(std::string_view id) const {
  if (is_patching_) return patched_ != nullptr && patched_->id == id ? patched_ : nullptr;
  const uint32_t had = present_ ? present_index_.find(present_->routes, id) : RouteIndex::kNone;
  return had == RouteIndex::kNone ? nullptr : present_->routes[had].get();
}

}  // namespace moongate::snapshot
