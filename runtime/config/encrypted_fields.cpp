// SPDX-License-Identifier: Apache-2.0
#include "config/encrypted_fields.h"

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "config/secret_reference.h"
#include "tls/cipher.h"

namespace moongate::config {

using base::Value;

namespace {

std::vector<std::string> texts_at(const Value& value, std::string_view key) {
  std::vector<std::string> texts;
  const Value* list = value.find(key);
  if (list == nullptr || !list->is_array()) return texts;
  for (const Value& item : list->items()) {
    if (item.is_string()) texts.push_back(item.as_string());
  }
  return texts;
}

/// Calls `change` for the text at "a.b", each text of a list or mapping there, and in each item of lists on
/// the way.
template <class Change>
void at_path(Value* value, std::string_view path, Change change) {
  if (path.empty()) {
    if (value->is_string()) return change(value);
    if (value->is_array()) {
      for (Value& item : value->items()) {
        if (item.is_string()) change(&item);
      }
    } else if (value->is_object()) {
      for (auto& [name, member] : value->members()) {
        if (member.is_string()) change(&member);
      }
    }
    return;
  }
  if (value->is_array()) {
    for (Value& item : value->items()) at_path(&item, path, change);
    return;
  }
  const size_t dot = std::min(path.find('.'), path.size());
  if (Value* next = value->find(path.substr(0, dot)))
    at_path(next, path.substr(std::min(dot + 1, path.size())), change);
}

/// `text` with the place of what it replaces.
void replace(Value* value, std::string text) {
  Value made = Value::string(std::move(text));
  made.set_place(value->file(), value->line());
  *value = std::move(made);
}

}  // namespace

Keyring& Keyring::of_process() {
  static Keyring keyring;
  return keyring;
}

void Keyring::set(const DataEncryptionSettings& settings) {
  keys_ = settings.enable_encrypt_fields ? settings.keyring : std::vector<std::string>();
}

std::optional<std::string> Keyring::encrypt(std::string_view text) const {
  return keys_.empty() ? std::nullopt : tls::encrypt_text(keys_.front(), text);
}

// Padding alone lets one wrong key in 256 pass; what was encrypted came out of JSON.
std::optional<std::string> Keyring::decrypt(std::string_view encrypted) const {
  for (const std::string& key : keys_) {
    if (auto text = tls::decrypt_text(key, encrypted); text && base::is_utf8(*text)) return text;
  }
  return std::nullopt;
}

EncryptedFields EncryptedFields::from_json(std::string_view json) {
  EncryptedFields fields;
  const base::Result<Value> plugins = base::parse_json(json);
  if (!plugins || !plugins->is_object()) return fields;
  for (const auto& [name, paths] : plugins->members())
    fields.plugins_[name] = {texts_at(paths, "conf"), texts_at(paths, "consumer"),
                             texts_at(paths, "metadata")};
  return fields;
}

template <class Change>
void EncryptedFields::each(Kind kind, std::string_view id, Value* body, Change change) const {
  if (Keyring::of_process().is_empty() || !body->is_object()) return;
  if (kind == Kind::kSsl) {
    for (const char* name : {"key", "keys"}) at_path(body, name, change);
    return;
  }
  const auto visit = [&](std::string_view name, Value* conf) {
    const auto found = plugins_.find(name);
    if (found == plugins_.end()) return;
    const Paths& paths = found->second;
    const bool is_consumer = kind == Kind::kConsumer || kind == Kind::kCredential;
    for (const std::string& path : kind == Kind::kPluginMetadata ? paths.metadata
                                   : is_consumer                 ? paths.consumer
                                                                 : paths.conf)
      at_path(conf, path, change);
  };
  if (kind == Kind::kPluginMetadata) return visit(id, body);
  Value* plugins = body->find("plugins");
  if (plugins == nullptr || !plugins->is_object()) return;
  for (auto& [name, conf] : plugins->members()) visit(name, &conf);
}

void EncryptedFields::encrypt(Kind kind, std::string_view id, Value* body) const {
  each(kind, id, body, [](Value* text) {
    if (is_reference(text->as_string())) return;
    if (Keyring::of_process().decrypt(text->as_string())) return;  // sent back as it was answered
    if (auto encrypted = Keyring::of_process().encrypt(text->as_string())) replace(text, *encrypted);
  });
}

void EncryptedFields::decrypt(Kind kind, std::string_view id, Value* body) const {
  each(kind, id, body, [](Value* text) {
    if (auto plain = Keyring::of_process().decrypt(text->as_string())) replace(text, *plain);
  });
}

void EncryptedFields::mark(Kind kind, std::string_view id, Value* body) const {
  each(kind, id, body, [](Value* text) {
    if (Keyring::of_process().decrypt(text->as_string()))
      replace(text, std::string(kEncryptedMark) + text->as_string());
  });
}

void unmark(Value* value) {
  if (value->is_string()) {
    if (value->as_string().starts_with(kEncryptedMark))
      replace(value, value->as_string().substr(kEncryptedMark.size()));
  } else if (value->is_array()) {
    for (Value& item : value->items()) unmark(&item);
  } else if (value->is_object()) {
    for (auto& [name, member] : value->members()) unmark(&member);
  }
}

void reveal(const Value& marked, Value* shown) {
  if (marked.is_string() && shown->is_string()) {
    if (!marked.as_string().starts_with(kEncryptedMark)) return;
    if (auto plain = Keyring::of_process().decrypt(shown->as_string())) replace(shown, *plain);
  } else if (marked.is_array() && shown->is_array()) {
    for (size_t i = 0; i < std::min(marked.items().size(), shown->items().size()); i++)
      reveal(marked.items()[i], &shown->items()[i]);
  } else if (marked.is_object() && shown->is_object()) {
    for (const auto& [name, member] : marked.members()) {
      if (Value* own = shown->find(name)) reveal(member, own);
    }
  }
}

}  // namespace moongate::config
