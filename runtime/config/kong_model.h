// SPDX-License-Identifier: Apache-2.0
// What a file of Kong's holds, whichever way it was written: entities nested in each other or listed flat at
// the top, referring to each other by name or id. Nothing is translated here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/kong_parts.h"

namespace moongate::config {

struct KongService {
  KongItem item;
  std::string id;  // ours
  std::vector<KongItem> plugins;
};

struct KongRoute {
  KongItem item;
  std::string id;
  std::optional<size_t> service;
  std::vector<KongItem> plugins;
};

struct KongUpstream {
  KongItem item;
  std::string name;
  std::vector<KongItem> targets;
};

struct KongCredential {
  std::string_view list;  // "keyauth_credentials"
  KongItem item;
};

struct KongConsumer {
  KongItem item;
  std::string username;
  std::vector<KongCredential> credentials;
  std::vector<KongItem> plugins;
};

struct KongCertificate {
  KongItem item;
  std::vector<KongItem> snis;  // that are listed flat
};

/// Everything points into the tree that it was read from.
struct KongModel {
  std::vector<KongService> services;
  std::vector<KongRoute> routes;  // in the order of the file
  std::vector<KongUpstream> upstreams;
  std::vector<KongConsumer> consumers;
  std::vector<KongItem> plugins;  // global ones
  std::vector<KongCertificate> certificates;
  bool has_old_paths = false;  // of a format before 3.0, where expressions have no `~`
};

KongModel read_kong_model(const base::Value& root, KongFindings& findings);

}  // namespace moongate::config
