// SPDX-License-Identifier: Apache-2.0
// libyaml gives events; this builds the tree from them by recursive descent, at most depth_max calls deep.
#include "config/yaml_reader.h"

#include <yaml.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.h"
#include "config/yaml_scalar.h"

namespace moongate::config {

using base::Error;
using base::Result;
using base::Value;

namespace {

constexpr size_t kSmallMapping = 16;

Error error_at(size_t line, size_t column, std::string_view what) {
  return base::invalid(std::to_string(line) + ":" + std::to_string(column) + ": " + std::string(what));
}

Error error_at(const yaml_mark_t& mark, std::string_view what) {
  return error_at(mark.line + 1, mark.column + 1, what);
}

Error error_at_offset(std::string_view text, size_t offset, std::string_view what) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return error_at(1 + std::count(before.begin(), before.end(), '\n'), before.size() - line_start + 1, what);
}

// libyaml stops at such bytes too, but cannot say on which line.
Result<void> check_bytes(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == 0) return error_at_offset(text, at, "a NUL byte; is this a text file?");
    if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
      return error_at_offset(text, at, "a control character; write it as an escape inside double quotes");
    }
    const size_t length = base::utf8_length(text, at);
    if (length == 0) return error_at_offset(text, at, "bytes that are not UTF-8; save the file as UTF-8");
    at += length;
  }
  return {};
}

// What helps with the mistakes that people make most.
std::string_view hint_for(std::string_view problem) {
  if (problem.find("cannot start any token") != problem.npos) {
    return "; indent with spaces, and quote values that begin with @, `, % or a tab";
  }
  if (problem.find("mapping values are not allowed") != problem.npos) {
    return "; check the indentation, and quote values that contain `: `";
  }
  if (problem.find("did not find expected") != problem.npos) {
    return "; check the indentation, brackets and quotes; inside { } and [ ] quote values that contain { or "
           "}";
  }
  if (problem.find("could not find expected ':'") != problem.npos)
    return "; a key is followed by a colon and a space";
  if (problem.find("unexpected end of stream") != problem.npos) return "; a quote or bracket is not closed";
  return "";
}

Error parser_error(const yaml_parser_t& parser, std::string_view text) {
  const std::string problem = parser.problem != nullptr ? parser.problem : "not YAML";
  if (parser.error == YAML_READER_ERROR) {
    return error_at_offset(text, std::min(parser.problem_offset, text.size()),
                           problem + "; write the character as an escape inside double quotes");
  }
  if (parser.error == YAML_MEMORY_ERROR)
    return base::Error{base::ErrorKind::kLimit, base::Side::kSelf, false, "out of memory"};
  std::string what = problem;
  if (parser.context != nullptr) what += std::string(" ") + parser.context;
  what += hint_for(problem);
  return error_at(parser.problem_mark, what);
}

/// An event that frees itself.
struct Event {
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&raw); }
  yaml_event_type_t type() const { return raw.type; }
  const yaml_mark_t& start() const { return raw.start_mark; }
  yaml_event_t raw{};
};

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

/// Tells a repeated key; small mappings, which are nearly all, need no table for it.
class KeySet {
 public:
  bool add(const std::vector<Value::Member>& members, const std::string& key) {
    if (members.size() < kSmallMapping) {
      return std::none_of(members.begin(), members.end(),
                          [&](const auto& member) { return member.first == key; });
    }
    if (table_.empty()) {
      for (const Value::Member& member : members) table_.insert(member.first);
    }
    return table_.insert(key).second;
  }

 private:
  std::unordered_set<std::string> table_;
};

struct Size {
  size_t nodes = 0;
  size_t bytes = 0;
  size_t height = 0;
};

Size size_of(const Value& value) {
  Size size{1, 0, 0};
  const auto add = [&size](const Value& part) {
    const Size inner = size_of(part);
    size.nodes += inner.nodes;
    size.bytes += inner.bytes;
    size.height = std::max(size.height, inner.height + 1);
  };
  if (value.is_string()) size.bytes += value.as_string().size();
  if (value.is_array()) {
    for (const Value& item : value.items()) add(item);
  }
  if (value.is_object()) {
    for (const Value::Member& member : value.members()) {
      size.bytes += member.first.size();
      add(member.second);
    }
  }
  return size;
}

class Reader {
 public:
  Reader(std::string_view text, uint16_t file_index, const Environment& environment, const YamlLimits& limits)
      : text_(text), file_(file_index), environment_(environment), limits_(limits) {}
  ~Reader() {
    if (is_open_) yaml_parser_delete(&parser_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Result<Value> read() {
    if (text_.size() > limits_.text_max_bytes)
      return error_at(1, 1, "the text is longer than 64 MB; split it into files");
    if (auto checked = check_bytes(text_); !checked) return checked.error();
    if (yaml_parser_initialize(&parser_) == 0) return base::invalid("1:1: out of memory");
    is_open_ = true;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text_.data()),
                                 text_.size());
    return read_stream();
  }

 private:
  struct Anchored {
    Value value;
    Size size;
  };

  Result<void> next(Event& event) {
    if (yaml_parser_parse(&parser_, &event.raw) == 0) return parser_error(parser_, text_);
    return {};
  }

  // Passes over what carries no value: the start of the stream, the start and end of the one document.
  Result<Value> read_stream() {
    Value root;
    size_t documents_count = 0;
    while (true) {
      Event event;
      if (auto got = next(event); !got) return got.error();
      switch (event.type()) {
        case YAML_STREAM_END_EVENT:
          return root;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
          continue;
        case YAML_DOCUMENT_START_EVENT:
          if (++documents_count > 1)
            return error_at(event.start(), "a second document begins here; a file holds one");
          continue;
        default:
          break;
      }
      Result<Value> value = read_node(event, 0);
      if (!value) return value;
      root = value.take();
    }
  }

  Result<Value> read_node(const Event& event, size_t depth) {
    if (++nodes_count_ > limits_.nodes_max)
      return error_at(event.start(), "more than 4 million values; split the configuration");
    if (event.type() == YAML_ALIAS_EVENT) return expand_alias(event, depth);
    Result<Value> value = read_content(event, depth);
    if (!value) return value;
    value->set_place(file_, static_cast<uint32_t>(event.start().line + 1));
    const std::string_view anchor = anchor_of(event);
    if (!anchor.empty()) {
      if (auto kept = keep_anchor(anchor, *value, event.start()); !kept) return kept.error();
    }
    return value;
  }

  Result<Value> read_content(const Event& event, size_t depth) {
    if (event.type() == YAML_SCALAR_EVENT) return read_scalar(event);
    if (depth >= limits_.depth_max) return error_at(event.start(), "nested deeper than 64 levels");
    if (auto checked = check_collection_tag(event); !checked) return checked.error();
    return event.type() == YAML_MAPPING_START_EVENT ? read_mapping(depth + 1) : read_sequence(depth + 1);
  }

  static std::string_view anchor_of(const Event& event) {
    switch (event.type()) {
      case YAML_SCALAR_EVENT:
        return text_of(event.raw.data.scalar.anchor);
      case YAML_SEQUENCE_START_EVENT:
        return text_of(event.raw.data.sequence_start.anchor);
      default:
        return text_of(event.raw.data.mapping_start.anchor);
    }
  }

  static Result<void> check_collection_tag(const Event& event) {
    const bool is_mapping = event.type() == YAML_MAPPING_START_EVENT;
    const std::string_view tag =
        text_of(is_mapping ? event.raw.data.mapping_start.tag : event.raw.data.sequence_start.tag);
    const std::string_view usual = is_mapping ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq";
    if (tag.empty() || tag == usual || tag == "!") return {};
    return error_at(event.start(), "unknown tag " + std::string(tag) + "; leave it out");
  }

  Result<std::string> scalar_text(const Event& event) {
    const auto& scalar = event.raw.data.scalar;
    std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    if (text.find('\0') != text.npos) return error_at(event.start(), "a NUL character in a text; remove it");
    return text;
  }

  Result<Substituted> substituted_text(const Event& event) {
    Result<std::string> text = scalar_text(event);
    if (!text) return text.error();
    if (!environment_ || text->find('$') == text->npos) return Substituted{text.take(), false, false};
    Result<Substituted> replaced = substitute(*text, environment_);
    if (!replaced) return error_at(event.start(), replaced.error().detail);
    replaced_bytes_ += replaced->text.size();
    if (replaced_bytes_ > limits_.expanded_max_bytes)
      return error_at(event.start(), "more than 64 MB once variables are replaced");
    return replaced;
  }

  Result<Value> read_scalar(const Event& event) {
    Result<Substituted> text = substituted_text(event);
    if (!text) return text.error();
    const auto& scalar = event.raw.data.scalar;
    const std::string_view tag = text_of(scalar.tag);
    if (!tag.empty() && tag != "!") return at_place(type_tagged_scalar(tag, text->text), event);
    const bool is_plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && tag.empty();
    const bool is_typed = is_plain && (!text->has_any || text->is_whole);
    if (!is_typed) return Value::string(std::move(text->text));
    return at_place(type_plain_scalar(text->text), event);
  }

  static Result<Value> at_place(Result<Value> value, const Event& event) {
    if (value) return value;
    return error_at(event.start(), value.error().detail);
  }

  Result<Value> read_sequence(size_t depth) {
    Value value = Value::array();
    while (true) {
      Event event;
      if (auto got = next(event); !got) return got.error();
      if (event.type() == YAML_SEQUENCE_END_EVENT) return value;
      Result<Value> item = read_node(event, depth);
      if (!item) return item;
      value.items().push_back(item.take());
    }
  }

  Result<Value> read_mapping(size_t depth) {
    Value value = Value::object();
    KeySet keys;
    std::vector<Value> merged;
    while (true) {
      Event key_event;
      if (auto got = next(key_event); !got) return got.error();
      if (key_event.type() == YAML_MAPPING_END_EVENT) break;
      Result<Substituted> key = read_key(key_event);
      if (!key) return key.error();
      Event value_event;
      if (auto got = next(value_event); !got) return got.error();
      Result<Value> member = read_node(value_event, depth);
      if (!member) return member;
      if (key->text == "<<" && key_event.raw.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (auto added = add_merge_sources(merged, member.take(), value_event.start()); !added)
          return added.error();
        continue;
      }
      if (!keys.add(value.members(), key->text)) {
        return error_at(key_event.start(),
                        "the key `" + key->text + "` appears twice in one mapping; remove one");
      }
      member->set_place(file_, static_cast<uint32_t>(key_event.start().line + 1));
      value.members().emplace_back(std::move(key->text), member.take());
    }
    for (Value& source : merged) {
      for (Value::Member& member : source.members()) {
        if (keys.add(value.members(), member.first)) value.members().push_back(std::move(member));
      }
    }
    return value;
  }

  Result<Substituted> read_key(const Event& event) {
    if (event.type() != YAML_SCALAR_EVENT)
      return error_at(event.start(), "a key that is not a plain text; quote it");
    if (event.raw.data.scalar.anchor != nullptr) {
      return error_at(event.start(), "an anchor on a key; put it on the value");
    }
    return substituted_text(event);
  }

  // `<<` takes a mapping or a list of mappings; what the mapping itself says wins, then the earlier source.
  static Result<void> add_merge_sources(std::vector<Value>& sources, Value value, const yaml_mark_t& mark) {
    if (value.is_object()) {
      sources.push_back(std::move(value));
      return {};
    }
    const bool is_list = value.is_array() && std::all_of(value.items().begin(), value.items().end(),
                                                         [](const Value& item) { return item.is_object(); });
    if (!is_list)
      return error_at(mark, "`<<` takes a mapping or a list of mappings, such as `<<: *defaults`");
    for (Value& item : value.items()) sources.push_back(std::move(item));
    return {};
  }

  // Copies count against one budget, at the anchor as at each alias: a document cannot grow beyond it.
  Result<void> spend(const Size& size, const yaml_mark_t& mark) {
    expanded_nodes_ += size.nodes;
    expanded_bytes_ += size.bytes;
    if (expanded_nodes_ > limits_.expanded_nodes_max || expanded_bytes_ > limits_.expanded_max_bytes) {
      return error_at(mark, "aliases make more than a million values or 64 MB; write fewer");
    }
    return {};
  }

  Result<void> keep_anchor(std::string_view name, const Value& value, const yaml_mark_t& mark) {
    const Size size = size_of(value);
    if (auto spent = spend(size, mark); !spent) return spent;
    anchors_.insert_or_assign(std::string(name), Anchored{value, size});
    return {};
  }

  Result<Value> expand_alias(const Event& event, size_t depth) {
    const std::string name(text_of(event.raw.data.alias.anchor));
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      return error_at(event.start(), "the alias *" + name + " has no anchor &" + name + " before it");
    }
    if (depth + found->second.size.height > limits_.depth_max)
      return error_at(event.start(), "nested deeper than 64 levels");
    if (auto spent = spend(found->second.size, event.start()); !spent) return spent.error();
    return found->second.value;
  }

  std::string_view text_;
  uint16_t file_;
  const Environment& environment_;
  const YamlLimits& limits_;
  yaml_parser_t parser_{};
  bool is_open_ = false;
  size_t nodes_count_ = 0;
  size_t expanded_nodes_ = 0;
  size_t expanded_bytes_ = 0;
  size_t replaced_bytes_ = 0;
  std::unordered_map<std::string, Anchored> anchors_;
};

}  // namespace

Result<Value> read_yaml(std::string_view text, uint16_t file_index) {
  return read_yaml(text, file_index, Environment());
}

Result<Value> read_yaml(std::string_view text, uint16_t file_index, const Environment& environment,
                        const YamlLimits& limits) {
  return Reader(text, file_index, environment, limits).read();
}

}  // namespace moongate::config
