// SPDX-License-Identifier: Apache-2.0
// folder: config
// Any bytes, as a configuration file: read, translated when it is Kong's, given ids, sorted into a document,
// made into resources. Whatever is refused is refused with a sentence; settings that are accepted survive
// their way through a snapshot.
#include <cstdint>
#include <cstdlib>

#include "config/apisix.h"
#include "config/document.h"
#include "config/kong.h"
#include "config/merge.h"
#include "config/resources.h"
#include "config/yaml_reader.h"
#include "config/yaml_writer.h"

using namespace moongate;

namespace {

template <class T>
void check(const base::Result<T>& result) {
  if (!result && result.error().detail.empty()) std::abort();
}

void parse(const config::Resource& resource) {
  // Every parser sees every body: none may count on having been given its own kind.
  check(config::parse_route(resource.body));
  check(config::parse_service(resource.body));
  check(config::parse_upstream(resource.body));
  check(config::parse_consumer(resource.body));
  check(config::parse_credential(resource.body, resource.id));
  check(config::parse_plugin_group(resource.body));
  check(config::parse_plugin_metadata(resource.body));
  check(config::parse_ssl(resource.body));
}

/// Another gateway's format becomes ours. Whatever is found is said in a sentence, and the result survives
/// being written.
void translate(base::Value* root, config::DialectTranslation translation) {
  for (const config::DialectFinding& finding : translation.findings) {
    if (finding.text.empty()) std::abort();
  }
  const auto keep = [](const std::string&) { return std::optional<std::string>(); };
  const auto again = config::read_yaml(config::write_yaml(translation.root), 0, keep);
  if (!again || !(*again == translation.root)) std::abort();
  *root = std::move(translation.root);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto root = config::read_yaml(text, 0);
  if (!root) return 0;
  config::Places places;
  if (!places.add("fuzz.yaml")) std::abort();
  if (config::is_kong_file(*root)) translate(&*root, config::translate_kong(*root, places));
  if (config::is_apisix_file(*root)) translate(&*root, config::translate_apisix(*root, places));
  if (root->is_object()) {
    base::Value both = *root;
    check(config::assign_ids(both, "x.", places));
    config::merge_files(both, *root);
  }
  const auto document = config::make_document(root.take(), places);
  check(document);
  if (!document) return 0;
  for (const config::Resource& resource : document->resources) parse(resource);
  const std::string json = config::settings_to_json(document->settings);
  const auto settings = config::settings_from_json(json);
  if (!settings || config::settings_to_json(*settings) != json) std::abort();
  return 0;
}
