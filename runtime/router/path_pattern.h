// SPDX-License-Identifier: Apache-2.0
// One pattern of a route's `uris`: `/a`, `/a/*`, `/a/*/b`, `/u/:name`, `/u/*rest`. Here are its grammar and
// how a path is held against it; which patterns are tried for a path, and in which order, is decided in
// router.cpp.
//
//   /user/:id/files/*rest        literal "/user/"   then   parameter, literal, star
//   `-----´ `------------------ elements, matched one by one
//    literal: found through the index; routes with the same one form a group
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace moongate::router {

constexpr uint32_t kCapturesMax = 16;
constexpr size_t kPatternSizeMaxBytes = 4096;
/// The name under which a `*` without a name is captured.
constexpr std::string_view kUnnamed = ":ext";

/// A piece of the path under the name the pattern gives it.
struct Capture {
  std::string_view name;   // of the pattern; kUnnamed for a `*` without a name
  std::string_view value;  // of the request's path
};

struct PatternElement {
  enum class Kind : uint8_t {
    kLiteral,
    kParameter,  // one or more characters other than `/`
    kStar,       // any characters, `/` too, as many as possible
  };
  Kind kind = Kind::kLiteral;
  bool is_captured = false;
  uint8_t capture = 0;    // its place among the captures
  std::string_view text;  // of a literal; else the capture's name
};

/// Takes a pattern apart from left to right. Views point into the pattern.
///
/// A `*` is a star wherever it stands. It is captured when it is a whole segment, as kUnnamed. With
/// parameters, a `*` or `:` that begins a segment makes the rest of that segment a name. A `:` elsewhere, or
/// without parameters, is a character like others; so is every character that means something in a regular
/// expression.
class PatternReader {
 public:
  PatternReader(std::string_view pattern, bool has_parameters)
      : pattern_(pattern), has_parameters_(has_parameters) {}
  bool next(PatternElement* element);

 private:
  bool is_special_at(size_t at) const;
  bool is_segment_start(size_t at) const { return at == 0 || pattern_[at - 1] == '/'; }
  size_t find_segment_end(size_t at) const;

  std::string_view pattern_;
  bool has_parameters_;
  size_t at_ = 0;
  uint8_t capture_count_ = 0;
};

/// Refuses a pattern that is empty, longer than kPatternSizeMaxBytes or captures more than kCapturesMax
/// pieces.
base::Result<void> check_pattern(std::string_view pattern, bool has_parameters);

/// Holds `rest`, the path behind the pattern's leading literal, against the elements behind that literal.
/// `captures` has room for all of them and is written also when the answer is false. Takes time in proportion
/// to rest times pattern at worst, whatever the number of stars.
bool match_elements(std::span<const PatternElement> elements, std::string_view rest, Capture* captures);

}  // namespace moongate::router
