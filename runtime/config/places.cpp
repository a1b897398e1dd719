// SPDX-License-Identifier: Apache-2.0
#include "config/places.h"

#include <algorithm>
#include <charconv>

namespace moongate::config {

using base::Value;

namespace {

// One step of a JSON pointer: `~1` stands for `/` and `~0` for `~`.
std::string unescape_step(std::string_view step) {
  std::string name;
  for (size_t i = 0; i < step.size(); ++i) {
    const bool is_escape =
        step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1');
    name.push_back(is_escape ? (step[++i] == '1' ? '/' : '~') : step[i]);
  }
  return name;
}

const Value* step_into(const Value& parent, std::string_view step) {
  if (parent.is_object()) return parent.find(unescape_step(step));
  if (!parent.is_array()) return nullptr;
  size_t index = 0;
  const auto parsed = std::from_chars(step.data(), step.data() + step.size(), index);
  const bool is_index = parsed.ec == std::errc() && parsed.ptr == step.data() + step.size();
  return is_index && index < parent.items().size() ? &parent.items()[index] : nullptr;
}

}  // namespace

base::Result<uint16_t> Places::add(std::string path) {
  if (files_.size() >= kFilesMax) {
    return base::Error{base::ErrorKind::kLimit, base::Side::kSelf, false,
                       path + ": more than 256 configuration files; merge some of them"};
  }
  files_.push_back(std::move(path));
  return static_cast<uint16_t>(files_.size() - 1);
}

std::string Places::of(const Value& value) const {
  const std::string line = value.line() > 0 ? std::to_string(value.line()) : "";
  if (value.file() >= files_.size()) return line.empty() ? "" : "line " + line;
  return line.empty() ? files_[value.file()] : files_[value.file()] + ":" + line;
}

std::string Places::of(const Value& root, std::string_view path) const {
  const Value* at = &root;
  const Value* placed = &root;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    at = step_into(*at, path.substr(0, end));
    if (at == nullptr) break;
    if (at->line() > 0) placed = at;
    path.remove_prefix(end);
  }
  return of(*placed);
}

base::Error Places::error(const Value& at, std::string_view field, std::string_view what) const {
  std::string detail = of(at);
  if (!detail.empty()) detail += ": ";
  if (!field.empty()) detail.append(field).append(": ");
  return base::invalid(detail.append(what));
}

std::string field_text(const std::string& name, const std::vector<std::string>& path) {
  std::string text = name;
  for (const std::string& part : path) {
    const bool is_index =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    text += is_index ? "[" + part + "]" : "." + part;
  }
  return text;
}

std::string pointer_text(const std::vector<std::string>& path) {
  std::string pointer;
  for (const std::string& part : path) {
    pointer.push_back('/');
    for (const char c : part) {
      if (c == '~')
        pointer += "~0";
      else if (c == '/')
        pointer += "~1";
      else
        pointer.push_back(c);
    }
  }
  return pointer;
}

}  // namespace moongate::config
