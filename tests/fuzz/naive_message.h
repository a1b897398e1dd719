// SPDX-License-Identifier: Apache-2.0
// Whole streams of HTTP/1 messages, read the slow and obvious way on top of naive_head.h: how many requests a
// client's bytes hold, and whether bytes that the gateway wrote are messages at all.
#pragma once

#include "naive_head.h"

namespace naive {

enum class Reading { kWhole, kCut, kBroken };  // cut: right so far, and the bytes end in the middle

/// Takes a chunked body off `bytes`.
inline Reading take_chunked(std::string* bytes) {
  for (;;) {
    const size_t end = bytes->find("\r\n");
    if (end == std::string::npos) return Reading::kCut;
    const std::string line = bytes->substr(0, end);
    const std::string digits = line.substr(0, line.find(';'));
    if (!consists_of(digits, "0123456789abcdefABCDEF") || digits.size() > 16) return Reading::kBroken;
    if (has_control(line, true)) return Reading::kBroken;
    const uint64_t size = std::stoull(digits, nullptr, 16);
    bytes->erase(0, end + 2);
    if (size == 0) break;
    if (size > bytes->size() || bytes->size() - size < 2) return Reading::kCut;
    if (bytes->compare(size, 2, "\r\n") != 0) return Reading::kBroken;
    bytes->erase(0, size + 2);
  }
  for (;;) {
    const size_t end = bytes->find("\r\n");
    if (end == std::string::npos) return Reading::kCut;
    const std::string line = bytes->substr(0, end);
    bytes->erase(0, end + 2);
    if (line.empty()) return Reading::kWhole;
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !is_token(line.substr(0, colon)) || has_control(line, true))
      return Reading::kBroken;
  }
}

inline Reading take_body(bool is_chunked, uint64_t length, std::string* bytes) {
  if (is_chunked) return take_chunked(bytes);
  if (bytes->size() < length) return Reading::kCut;
  bytes->erase(0, length);
  return Reading::kWhole;
}

struct Requests {
  std::vector<Head> heads;            // those that are whole and right
  Reading reading = Reading::kWhole;  // how the bytes end
};

/// Reads until the bytes end, break, or a request says that it is the last.
inline Requests read_requests(std::string bytes) {
  Requests requests;
  for (;;) {
    while (bytes.compare(0, 2, "\r\n") == 0) bytes.erase(0, 2);
    if (bytes.empty()) return requests;
    const size_t size = find_head_size(bytes);
    requests.reading = Reading::kCut;
    if (size == 0) return requests;
    Head head;
    requests.reading = Reading::kBroken;
    if (!parse(bytes.substr(0, size), 1000, &head)) return requests;
    bytes.erase(0, size);
    requests.heads.push_back(head);
    requests.reading = take_body(head.is_chunked, head.has_length ? head.length : 0, &bytes);
    if (requests.reading != Reading::kWhole || !head.is_keep_alive) return requests;
  }
}

struct Answer {
  int status = 0;
  bool is_chunked = false;
  bool has_length = false;
  uint64_t length = 0;
};

inline bool parse_answer(const std::string& bytes, Answer* answer) {
  std::vector<std::string> lines;
  if (!split_lines(bytes, &lines)) return false;
  const std::string& first = lines[0];
  if (first.compare(0, 9, "HTTP/1.1 ") != 0 || first.size() < 13 || first[12] != ' ') return false;
  if (!consists_of(first.substr(9, 3), kDigits) || has_control(first, true)) return false;
  answer->status = std::stoi(first.substr(9, 3));
  for (size_t i = 1; i + 1 < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string::npos || !is_token(lines[i].substr(0, colon))) return false;
    const std::string name = to_lower(lines[i].substr(0, colon));
    const std::string value = trim(lines[i].substr(colon + 1));
    if (has_control(value, true)) return false;
    if (name == "transfer-encoding") {
      if (answer->is_chunked || value != "chunked") return false;
      answer->is_chunked = true;
    }
    if (name == "content-length") {
      if (answer->has_length || !consists_of(value, kDigits) || value.size() > 19) return false;
      answer->has_length = true;
      answer->length = std::stoull(value);
    }
  }
  return !(answer->is_chunked && answer->has_length);
}

/// Takes the answers to `requests` off `bytes`, and at most one more: the refusal of what was no request.
/// kBroken when the bytes are anything else.
inline Reading take_answers(const std::vector<Head>& requests, std::string bytes) {
  for (size_t number = 0; number <= requests.size();) {
    if (bytes.empty()) return Reading::kWhole;
    const size_t end = bytes.find("\r\n\r\n");
    if (end == std::string::npos) return Reading::kCut;
    Answer answer;
    if (!parse_answer(bytes.substr(0, end + 4), &answer)) return Reading::kBroken;
    bytes.erase(0, end + 4);
    if (answer.status < 200) continue;
    const bool is_head = number < requests.size() && requests[number].method == "HEAD";
    number++;
    if (is_head || answer.status == 204 || answer.status == 304) continue;
    if (!answer.is_chunked && !answer.has_length) return Reading::kWhole;  // up to the end
    const Reading reading = take_body(answer.is_chunked, answer.length, &bytes);
    if (reading != Reading::kWhole) return reading;
  }
  return bytes.empty() ? Reading::kWhole : Reading::kBroken;
}

}  // namespace naive
