// SPDX-License-Identifier: Apache-2.0
// Makes the one canonical form of a path. Both ways in, from the wire and from a rewrite, lead through one
// intermediate text in which every byte means exactly one thing:
//
//   wire spelling --decode_wire_path--+                                +--spell_path--> `path`
//                                     +--> units --resolve_segments--> +
//   path text ------read_path_text----+                                +--spell_wire--> `wire_path`
//
// A unit is a decoded byte; `/` is always a separator, HT, CR and LF stand for their kept encodings, and
// kKeptSlash for a kept `%2F`. Both spellings can be read back into the same units, so `path` and `wire_path`
// determine each other. Escaping that knows nothing of paths is in escape.cpp.
#include "http/uri.h"

#include <cstring>

#include "base/hex.h"
#include "http/chars.h"
#include "http/head.h"

namespace moongate::http {
namespace {

// Stands for a kept `%2F` among units, where no other control but HT, CR and LF can occur.
constexpr char kKeptSlash = '\x01';

struct Units {
  char* text;
  size_t size;
  void push(char c) { text[size++] = c; }
  std::string_view view() const { return {text, size}; }
};

bool refuse(std::string_view* reason, std::string_view text) {
  *reason = text;
  return false;
}

bool keeps_slash(const UriPolicy& policy) { return policy.encoded_slash == UriPolicy::EncodedSlash::kKeep; }

bool is_dots(std::string_view text) { return text == "." || text == ".."; }

// True when a server that cuts parameters off, or takes a kept slash for a separator, would see a dot segment
// in `segment`, which is none itself.
bool hides_dots(std::string_view segment) {
  while (true) {
    const size_t slash = segment.find(kKeptSlash);
    const std::string_view piece = segment.substr(0, slash);
    if (is_dots(piece.substr(0, piece.find(';')))) return true;
    if (slash == std::string_view::npos) return false;
    segment.remove_prefix(slash + 1);
  }
}

#if defined(__SSE2__)
// The same for the characters and paths there are most: letters, digits and `-._`, no empty segment and none
// that begins with a dot.
bool is_usual(std::string_view path) {
  return path[0] == '/' && visit_blocks(path, [](__m128i block, unsigned seams) {
           const __m128i slashes = match_byte(block, '/');
           const __m128i stops = _mm_or_si128(slashes, match_byte(block, '.'));
           const __m128i marks = _mm_or_si128(match_byte(block, '-'), match_byte(block, '_'));
           const __m128i known = _mm_or_si128(_mm_or_si128(stops, marks), match_alphanumeric(block));
           return (to_mask(slashes) << 1 & to_mask(stops) & ~seams) == 0 && to_mask(known) == 0xFFFFU;
         });
}
#endif

// True for a path that is its own canonical form and its own encoding, as nearly all are.
bool is_plain(std::string_view path, const UriPolicy& policy) {
  if (path.empty()) return false;
#if defined(__SSE2__)
  if (is_usual(path)) return true;
#endif
  char last = '\0';
  for (const char c : path) {
    if (c != '/' && !has_flag(c, kPathChar)) return false;
    if (last == '/' && (c == '.' || (c == '/' && policy.merge_slashes))) return false;
    last = c;
  }
  return path[0] == '/';
}

// ---- wire spelling to units

// The unit for a decoded byte that is no slash; false when no path may hold it.
bool push_byte(char c, const UriPolicy& policy, Units* units, std::string_view* reason) {
  if (c == '\0') return refuse(reason, "a NUL in the path");
  const bool is_kept = c == '\t' || c == '\r' || c == '\n';
  if (has_flag(c, kControl) && !is_kept) return refuse(reason, "a control character in the path");
  if (c == '\\') return refuse(reason, "a backslash in the path");
  if (c == ';' && policy.path_parameters == UriPolicy::PathParameters::kRefuse) {
    return refuse(reason, "a semicolon in the path");
  }
  units->push(c);
  return true;
}

bool push_encoded(char c, const UriPolicy& policy, Units* units, std::string_view* reason) {
  if (c != '/') return push_byte(c, policy, units, reason);
  if (policy.encoded_slash == UriPolicy::EncodedSlash::kRefuse) {
    return refuse(reason, "an encoded slash in the path");
  }
  units->push(keeps_slash(policy) ? kKeptSlash : '/');
  return true;
}

std::string_view last_segment(const Units& units) {
  const std::string_view text = units.view();
  return text.substr(text.rfind('/') + 1);
}

// Appends the unit for what stands at `*at` and moves on.
bool decode_one(std::string_view path, size_t* at, const UriPolicy& policy, Units* units,
                std::string_view* reason) {
  const char c = path[*at];
  if (c == '%') {
    if (path.size() - *at < 3) return refuse(reason, "a cut percent-encoding in the path");
    const int high = hex_value(path[*at + 1]);
    const int low = hex_value(path[*at + 2]);
    if (high < 0 || low < 0) return refuse(reason, "a bad percent-encoding in the path");
    *at += 3;
    return push_encoded(static_cast<char>(high << 4 | low), policy, units, reason);
  }
  *at += 1;
  if (c == '/') {
    units->push(c);
    return true;
  }
  if (!has_flag(c, kTargetChar)) return refuse(reason, "a control character or space in the path");
  return push_byte(c, policy, units, reason);
}

bool decode_wire_path(std::string_view path, const UriPolicy& policy, Units* units,
                      std::string_view* reason) {
  const bool strips = policy.path_parameters == UriPolicy::PathParameters::kStrip;
  bool is_in_parameter = false;
  size_t at = 0;
  while (at < path.size()) {
    if (strips && path[at] == ';' && !is_in_parameter) {
      if (hides_dots(last_segment(*units))) return refuse(reason, "a dot segment with parameters");
      is_in_parameter = true;
    }
    const size_t size_before = units->size;
    if (!decode_one(path, &at, policy, units, reason)) return false;
    if (!is_in_parameter) continue;
    if (units->text[size_before] == '/') {
      is_in_parameter = false;
    } else {
      units->size = size_before;
    }
  }
  return true;
}

// ---- path text to units, and back

// True when `text`, which follows a `%`, makes it a kept encoding.
bool starts_kept(std::string_view text, bool keeps_slash) {
  if (text.size() < 2 || (text[0] != '0' && text[0] != '2')) return false;
  const char second = to_lower(text[1]);
  if (text[0] == '2') return keeps_slash && second == 'f';
  return second == '9' || second == 'a' || second == 'd';
}

// True when a literal percent sign must be written `%25` before `text`, lest the two be read as a kept
// encoding, or as the escape of something that would be. Where slashes are kept it always is, as uri.h says.
bool needs_escape(std::string_view text, bool keeps_slash) {
  if (keeps_slash) return true;
  while (text.substr(0, 2) == "25") text.remove_prefix(2);
  return starts_kept(text, keeps_slash);
}

bool read_path_text(std::string_view path, const UriPolicy& policy, Units* units, std::string_view* reason) {
  for (size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '/') {
      units->push('/');
      continue;
    }
    const std::string_view rest = path.substr(at + 1);
    if (path[at] == '%' && starts_kept(rest, keeps_slash(policy))) {
      const auto code = static_cast<char>(hex_value(rest[0]) << 4 | hex_value(rest[1]));
      units->push(code == '/' ? kKeptSlash : code);
      at += 2;
      continue;
    }
    if (!push_byte(path[at], policy, units, reason)) return false;
    if (path[at] == '%' && rest.substr(0, 2) == "25" && needs_escape(rest.substr(2), keeps_slash(policy)))
      at += 2;
  }
  return true;
}

char* put_encoded(char* at, char c) {
  *at = '%';
  return base::write_hex({&c, 1}, at + 1, base::kHexUpper);
}

std::string_view spell_path(std::string_view units, const UriPolicy& policy, base::Arena* arena) {
  char* const begin = arena->allocate_chars(units.size() * 3);
  char* out = begin;
  for (size_t at = 0; at < units.size(); ++at) {
    const char c = units[at];
    if (c == kKeptSlash) {
      out = put_encoded(out, '/');
    } else if (c == '\t' || c == '\r' || c == '\n' ||
               (c == '%' && needs_escape(units.substr(at + 1), keeps_slash(policy)))) {
      out = put_encoded(out, c);
    } else {
      *out++ = c;
    }
  }
  return {begin, static_cast<size_t>(out - begin)};
}

std::string_view spell_wire(std::string_view units, const UriPolicy& policy, base::Arena* arena) {
  // Elsewhere a semicolon here is data, and sent raw it would begin a parameter.
  const bool keeps_semicolon = policy.path_parameters == UriPolicy::PathParameters::kKeep;
  char* const begin = arena->allocate_chars(units.size() * 3);
  char* out = begin;
  for (const char c : units) {
    if (c == '/' || has_flag(c, kPathChar) || (c == ';' && keeps_semicolon)) {
      *out++ = c;
    } else {
      out = put_encoded(out, c == kKeptSlash ? '/' : c);
    }
  }
  return {begin, static_cast<size_t>(out - begin)};
}

// ---- segments

// Removes dot segments and, by the policy, empty ones. Works in place: what is written never overtakes what
// is read.
bool resolve_segments(const UriPolicy& policy, Units* units, std::string_view* reason) {
  char* const text = units->text;
  size_t out = 0;
  size_t at = 0;
  while (at < units->size) {
    const std::string_view rest = units->view().substr(at + 1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    const bool is_last = segment.size() == rest.size();
    at += 1 + segment.size();
    const bool is_dropped = segment == "." || (segment.empty() && policy.merge_slashes);
    if (segment == "..") {
      if (out == 0) return refuse(reason, "a path that leads above the root");
      out = std::string_view(text, out).rfind('/');
    } else if (!is_dropped) {
      if (hides_dots(segment)) return refuse(reason, "a dot segment in disguise");
      text[out] = '/';
      std::memmove(text + out + 1, segment.data(), segment.size());
      out += 1 + segment.size();
      continue;
    }
    if (is_last) text[out++] = '/';
  }
  units->size = out;
  return true;
}

bool finish_path(const UriPolicy& policy, Units* units, base::Arena* arena, CanonicalUri* out,
                 std::string_view* reason) {
  if (!resolve_segments(policy, units, reason)) return false;
  out->path = spell_path(units->view(), policy, arena);
  out->wire_path = spell_wire(units->view(), policy, arena);
  return true;
}

bool check_query(std::string_view query, std::string_view* reason) {
  for (const char c : query) {
    if (c == '#') return refuse(reason, "a fragment in the request target");
    if (!has_flag(c, kTargetChar)) return refuse(reason, "a control character or space in the query");
  }
  return true;
}

// Takes scheme and authority off an absolute-form target.
bool take_authority(std::string_view* target, CanonicalUri* out, std::string_view* reason) {
  const std::string_view authority = absolute_authority(*target);
  if (authority.empty()) return refuse(reason, "a request target of no known form");
  if (!is_host(authority)) return refuse(reason, "an invalid authority in the request target");
  out->authority = authority;
  target->remove_prefix(static_cast<size_t>(authority.data() + authority.size() - target->data()));
  return true;
}

}  // namespace

bool canonicalize_target(std::string_view target, const UriPolicy& policy, base::Arena* arena,
                         CanonicalUri* out, std::string_view* reason) {
  *out = CanonicalUri{};
  if (target == "*") {
    out->is_asterisk = true;
    out->path = out->wire_path = target;
    return true;
  }
  if (target.empty()) return refuse(reason, "an empty request target");
  if (target[0] != '/' && !take_authority(&target, out, reason)) return false;

  const size_t mark = target.find('?');
  std::string_view path = target.substr(0, mark);
  if (mark != std::string_view::npos) {
    out->has_query = true;
    out->query = target.substr(mark + 1);
    if (!check_query(out->query, reason)) return false;
  }
  if (path.empty()) path = "/";
  if (is_plain(path, policy)) {
    out->path = out->wire_path = path;
    return true;
  }
  if (path.find('#') != std::string_view::npos) return refuse(reason, "a fragment in the request target");
  Units units{arena->allocate_chars(path.size()), 0};
  return decode_wire_path(path, policy, &units, reason) && finish_path(policy, &units, arena, out, reason);
}

bool canonicalize_path(std::string_view decoded_path, std::string_view query, bool has_query,
                       const UriPolicy& policy, base::Arena* arena, CanonicalUri* out,
                       std::string_view* reason) {
  *out = CanonicalUri{};
  if (decoded_path.empty() || decoded_path[0] != '/')
    return refuse(reason, "a path that does not begin with a slash");
  if (has_query) {
    if (!check_query(query, reason)) return false;
    out->has_query = true;
    out->query = arena->copy(query);
  }
  if (is_plain(decoded_path, policy)) {
    out->path = out->wire_path = arena->copy(decoded_path);
    return true;
  }
  Units units{arena->allocate_chars(decoded_path.size()), 0};
  return read_path_text(decoded_path, policy, &units, reason) &&
         finish_path(policy, &units, arena, out, reason);
}

}  // namespace moongate::http
