// SPDX-License-Identifier: Apache-2.0
// A second reading of RFC 9112 request heads, written to be obviously right and not to be fast: whole lines,
// std::string, no shared code with runtime/http. The fuzzer holds the real parser to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace naive {

struct Head {
  std::string method, target, host;
  int version_minor = 1;
  std::vector<std::pair<std::string, std::string>> fields;
  bool is_chunked = false;
  bool has_length = false;
  uint64_t length = 0;
  bool is_keep_alive = true;
};

/// The size of the head at the start of `bytes`, or 0 when it is not all there.
inline size_t find_head_size(const std::string& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\n') continue;
    if (bytes.compare(i, 2, "\n\n") == 0) return i + 2;
    if (bytes.compare(i, 3, "\n\r\n") == 0) return i + 3;
  }
  return 0;
}

inline std::string to_lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

inline bool consists_of(const std::string& text, const std::string& allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string::npos;
}

inline const std::string kDigits = "0123456789";
inline const std::string kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
inline const std::string kTokens = kDigits + kLetters + "!#$%&'*+-.^_`|~";

inline bool is_token(const std::string& text) { return consists_of(text, kTokens); }

inline bool has_control(const std::string& text, bool tab_is_fine) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0x7F || (byte < 0x20 && !(tab_is_fine && byte == '\t'))) return true;
  }
  return false;
}

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

inline std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Lines without their CRLF, the empty one included; false when some line end is not CRLF.
inline bool split_lines(const std::string& bytes, std::vector<std::string>* lines) {
  std::string line;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\n') return false;
    if (bytes[i] != '\r') {
      line += bytes[i];
      continue;
    }
    if (i + 1 == bytes.size() || bytes[i + 1] != '\n') return false;
    lines->push_back(line);
    line.clear();
    ++i;
  }
  return line.empty() && lines->size() >= 2 && lines->back().empty();
}

inline bool is_port(const std::string& text) {
  if (!consists_of(text, kDigits) || text.size() > 5 || text[0] == '0') return false;
  return std::stoi(text) <= 65535;
}

// Groups of one to four hexadecimal digits, eight of them or fewer with one `::`; the last two may be a
// dotted IPv4.
inline bool is_ipv6(std::string text) {
  const size_t dot = text.find('.');
  if (dot != std::string::npos) {
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos) return false;
    const auto numbers = split(text.substr(colon + 1), '.');
    if (numbers.size() != 4) return false;
    for (const std::string& number : numbers) {
      if (!consists_of(number, kDigits) || number.size() > 3 || std::stoi(number) > 255) return false;
      if (number.size() > 1 && number[0] == '0') return false;
    }
    text = text.substr(0, colon + 1) + "0:0";
  }
  const size_t gap = text.find("::");
  if (gap != std::string::npos && text.find("::", gap + 1) != std::string::npos) return false;
  size_t groups = 0;
  const auto count = [&groups](const std::string& part) {
    if (part.empty()) return true;
    for (const std::string& group : split(part, ':')) {
      if (!consists_of(group, "0123456789abcdefABCDEF") || group.size() > 4) return false;
      ++groups;
    }
    return true;
  };
  if (gap == std::string::npos) return count(text) && groups == 8;
  return count(text.substr(0, gap)) && count(text.substr(gap + 2)) && groups <= 7;
}

inline bool is_host(const std::string& text) {
  std::string name = text;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    const std::string rest = text.substr(close + 1);
    return rest.empty() || (rest[0] == ':' && is_port(rest.substr(1)));
  }
  const size_t colon = text.find(':');
  if (colon != std::string::npos) {
    if (!is_port(text.substr(colon + 1))) return false;
    name = text.substr(0, colon);
  }
  if (!name.empty() && name.back() == '.') name.pop_back();
  if (name.size() > 253) return false;
  for (const std::string& label : split(name, '.')) {
    if (!consists_of(label, kLetters + kDigits + "-_")) return false;
  }
  return true;
}

inline bool parse_start_line(const std::string& line, Head* head) {
  const auto words = split(line, ' ');
  if (words.size() != 3) return false;
  head->method = words[0];
  head->target = words[1];
  if (!is_token(head->method) || head->method == "CONNECT") return false;
  if (head->target.empty() || has_control(head->target, false)) return false;
  if (words[2] != "HTTP/1.0" && words[2] != "HTTP/1.1") return false;
  head->version_minor = words[2] == "HTTP/1.1" ? 1 : 0;
  return true;
}

/// The authority of an absolute target; empty for other allowed forms; false when the form is not allowed.
inline bool find_authority(const Head& head, std::string* authority) {
  if (head.target[0] == '/') return true;
  if (head.target == "*") return head.method == "OPTIONS";
  const std::string lower = to_lower(head.target);
  size_t begin = 0;
  if (lower.rfind("http://", 0) == 0) begin = 7;
  if (lower.rfind("https://", 0) == 0) begin = 8;
  if (begin == 0) return false;
  *authority = head.target.substr(begin, head.target.find_first_of("/?#", begin) - begin);
  return !authority->empty();
}

inline bool check_host(Head* head, const std::vector<std::string>& hosts) {
  std::string authority;
  if (!find_authority(*head, &authority) || hosts.size() > 1) return false;
  if (hosts.empty()) return head->version_minor == 0 && authority.empty();
  head->host = hosts[0];
  return is_host(hosts[0]) && (authority.empty() || to_lower(authority) == to_lower(hosts[0]));
}

inline bool check_framing(Head* head, const std::vector<std::string>& lengths,
                          const std::vector<std::string>& codings) {
  if (lengths.size() > 1 || codings.size() > 1) return false;
  if (!codings.empty()) {
    head->is_chunked = true;
    return lengths.empty() && head->version_minor == 1 && to_lower(codings[0]) == "chunked" &&
           head->method != "TRACE";
  }
  if (lengths.empty()) return true;
  const std::string& text = lengths[0];
  if (!consists_of(text, kDigits) || (text.size() > 1 && text[0] == '0') || text.size() > 19) return false;
  head->has_length = true;
  head->length = std::stoull(text);
  return head->length <= 9223372036854775807ULL && (head->length == 0 || head->method != "TRACE");
}

/// Reads `bytes`, one whole head. False when it must be refused.
inline bool parse(const std::string& bytes, size_t fields_max, Head* head) {
  std::vector<std::string> lines;
  if (!split_lines(bytes, &lines) || !parse_start_line(lines[0], head)) return false;
  std::map<std::string, std::vector<std::string>> values;
  for (size_t i = 1; i + 1 < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string::npos) return false;
    const std::string name = lines[i].substr(0, colon);
    const std::string value = trim(lines[i].substr(colon + 1));
    if (!is_token(name) || has_control(value, true)) return false;
    head->fields.emplace_back(name, value);
    values[to_lower(name)].push_back(value);
  }
  if (head->fields.size() > fields_max) return false;
  if (!check_host(head, values["host"])) return false;
  if (!check_framing(head, values["content-length"], values["transfer-encoding"])) return false;
  for (const std::string& expectation : values["expect"]) {
    if (to_lower(expectation) != "100-continue") return false;
  }
  bool lists_close = false;
  bool lists_keep_alive = false;
  for (const std::string& connection : values["connection"]) {
    for (const std::string& option : split(connection, ',')) {
      lists_close |= to_lower(trim(option)) == "close";
      lists_keep_alive |= to_lower(trim(option)) == "keep-alive";
    }
  }
  head->is_keep_alive = !lists_close && (head->version_minor == 1 || lists_keep_alive);
  return true;
}

}  // namespace naive
