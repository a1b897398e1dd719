// SPDX-License-Identifier: Apache-2.0
// Parses path patterns and matches paths without backtracking. See path_pattern.h.
#include "router/path_pattern.h"

#include <algorithm>
#include <string>

namespace moongate::router {

namespace {

using Kind = PatternElement::Kind;
using Elements = std::span<const PatternElement>;

void keep(const PatternElement& element, std::string_view value, Capture* captures) {
  if (element.is_captured) captures[element.capture] = {element.text, value};
}

/// Matches elements without a star at the beginning of `text`; what they took, or npos. A parameter always
/// follows a `/` and runs to the next one, so there is never a choice.
size_t match_forward(Elements elements, std::string_view text, Capture* captures) {
  size_t at = 0;
  for (const PatternElement& element : elements) {
    if (element.kind == Kind::kLiteral) {
      if (text.compare(at, element.text.size(), element.text) != 0) return text.npos;
      at += element.text.size();
      continue;
    }
    size_t end = std::min(text.find('/', at), text.size());
    if (end == at) return text.npos;
    keep(element, text.substr(at, end - at), captures);
    at = end;
  }
  return at;
}

/// Matches elements without a star at the end of `text`; where they begin, or npos.
size_t match_backward(Elements elements, std::string_view text, Capture* captures) {
  size_t end = text.size();
  for (size_t i = elements.size(); i-- > 0;) {
    const PatternElement& element = elements[i];
    if (element.kind == Kind::kLiteral) {
      if (!text.substr(0, end).ends_with(element.text)) return text.npos;
      end -= element.text.size();
      continue;
    }
    size_t slash = end == 0 ? text.npos : text.rfind('/', end - 1);
    size_t begin = slash == text.npos ? 0 : slash + 1;
    if (begin == end) return text.npos;
    keep(element, text.substr(begin, end - begin), captures);
    end = begin;
  }
  return end;
}

size_t find_last_star(Elements elements) {
  size_t at = elements.size();
  while (elements[at - 1].kind != Kind::kStar) at--;
  return at - 1;
}

/// Matches elements that begin with a star against all of `text`. Each star is as long as it can be, the
/// first one most of all: so everything between stars goes as far right as it can. The number of slashes in
/// such a piece is fixed, so a piece that ends further right also begins no further left, and the first place
/// found from the right is the best.
bool match_from_star(Elements elements, std::string_view text, Capture* captures) {
  size_t star = find_last_star(elements);
  size_t limit = match_backward(elements.subspan(star + 1), text, captures);
  if (limit == text.npos) return false;
  while (star > 0) {
    size_t previous = find_last_star(elements.first(star));
    Elements piece = elements.subspan(previous + 1, star - previous - 1);
    size_t end = limit;
    size_t begin;
    while ((begin = match_backward(piece, text.substr(0, end), captures)) == text.npos) {
      if (end == 0) return false;
      end--;
    }
    keep(elements[star], text.substr(end, limit - end), captures);
    limit = begin;
    star = previous;
  }
  keep(elements[0], text.substr(0, limit), captures);
  return true;
}

}  // namespace

size_t PatternReader::find_segment_end(size_t at) const {
  return std::min(pattern_.find('/', at), pattern_.size());
}

bool PatternReader::is_special_at(size_t at) const {
  return pattern_[at] == '*' || (has_parameters_ && at > 0 && pattern_[at] == ':' && is_segment_start(at));
}

bool PatternReader::next(PatternElement* element) {
  if (at_ >= pattern_.size()) return false;
  size_t begin = at_;
  *element = {};
  if (!is_special_at(begin)) {
    while (at_ < pattern_.size() && !is_special_at(at_)) at_++;
    element->text = pattern_.substr(begin, at_ - begin);
    return true;
  }
  element->kind = pattern_[begin] == '*' ? Kind::kStar : Kind::kParameter;
  at_ = begin + 1;
  size_t segment_end = find_segment_end(at_);
  if (!is_segment_start(begin) || (!has_parameters_ && segment_end != at_)) return true;
  element->is_captured = true;
  element->capture = capture_count_++;
  element->text =
      segment_end == at_ && element->kind == Kind::kStar ? kUnnamed : pattern_.substr(at_, segment_end - at_);
  at_ = segment_end;
  return true;
}

base::Result<void> check_pattern(std::string_view pattern, bool has_parameters) {
  if (pattern.empty()) return base::invalid("uri is empty");
  if (pattern.size() > kPatternSizeMaxBytes) return base::invalid("uri is longer than 4096 bytes");
  PatternReader reader(pattern, has_parameters);
  PatternElement element;
  uint32_t captures = 0;
  while (reader.next(&element)) {
    if (element.is_captured && ++captures > kCapturesMax) {
      return base::invalid("uri '" + std::string(pattern) + "' has more than 16 parameters");
    }
  }
  return {};
}

bool match_elements(std::span<const PatternElement> elements, std::string_view rest, Capture* captures) {
  size_t star = 0;
  while (star < elements.size() && elements[star].kind != Kind::kStar) star++;
  size_t begin = match_forward(elements.first(star), rest, captures);
  if (begin == rest.npos) return false;
  if (star == elements.size()) return begin == rest.size();
  return match_from_star(elements.subspan(star), rest.substr(begin), captures);
}

}  // namespace moongate::router
