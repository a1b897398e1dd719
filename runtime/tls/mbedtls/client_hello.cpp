// SPDX-License-Identifier: Apache-2.0
#include "tls/mbedtls/client_hello.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/ascii.h"

namespace moongate::tls {

namespace {

constexpr size_t kRecordHeadBytes = 5;
constexpr size_t kMessageHeadBytes = 4;
constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kClientHello = 1;
constexpr size_t kServerNameExtension = 0;
constexpr size_t kServerNameMaxBytes = 255;
constexpr size_t kFragmentLengthExtension = 1;
constexpr char kFragmentLengthMax = 4;

/// An extension that is one list, whose size comes in `width` bytes.
struct ListExtension {
  size_t type;
  size_t width;
  size_t item_bytes;
};
// Groups, point formats, signature algorithms: the library takes empty ones.
constexpr std::array<ListExtension, 3> kListExtensions{{{10, 2, 2}, {11, 1, 1}, {13, 2, 2}}};

size_t byte_at(std::string_view bytes, size_t at) { return static_cast<unsigned char>(bytes[at]); }

size_t number_at(std::string_view bytes, size_t at, size_t width) {
  size_t number = 0;
  for (size_t i = 0; i < width; i++) number = number << 8 | byte_at(bytes, at + i);
  return number;
}

/// Takes a text that has its size in `width` bytes before it. False when there is less than it says.
bool take_sized(std::string_view* bytes, size_t width, std::string_view* text) {
  if (bytes->size() < width) return false;
  const size_t size = number_at(*bytes, 0, width);
  if (bytes->size() - width < size) return false;
  *text = bytes->substr(width, size);
  bytes->remove_prefix(width + size);
  return true;
}

bool is_whole_list(std::string_view content, const ListExtension& kind) {
  std::string_view list;
  return take_sized(&content, kind.width, &list) && content.empty() && !list.empty() &&
         list.size() % kind.item_bytes == 0;
}

/// RFC 6066 4: one of four codes.
bool is_fragment_length(std::string_view content) {
  return content.size() == 1 && content[0] >= 1 && content[0] <= kFragmentLengthMax;
}

}  // namespace

ClientHello::Status ClientHello::refuse(Alert alert) {
  alert_ = alert;
  return Status::kBroken;
}

ClientHello::Status ClientHello::take(std::string_view bytes, size_t* used) {
  Status status = Status::kMore;
  *used = 0;
  while (status == Status::kMore && *used < bytes.size()) {
    const std::string_view rest = bytes.substr(*used);
    const bool is_head = record_left_ == 0;
    const std::string_view part = rest.substr(0, is_head ? kRecordHeadBytes - head_.size() : record_left_);
    *used += part.size();
    if (is_head) {
      head_ += part;
      if (head_.size() == kRecordHeadBytes) status = take_head();
    } else {
      message_ += part;
      record_left_ -= part.size();
      if (record_left_ == 0) status = end_record();
    }
  }
  return status;
}

ClientHello::Status ClientHello::take_head() {
  record_left_ = number_at(head_, 3, 2);
  if (byte_at(head_, 0) != kHandshakeRecord || byte_at(head_, 1) != 3) return refuse(kUnexpectedMessage);
  if (record_left_ == 0) return refuse(kUnexpectedMessage);
  if (message_.size() + record_left_ > kMessageMaxBytes) return refuse(kRecordOverflow);
  return Status::kMore;
}

ClientHello::Status ClientHello::end_record() {
  if (byte_at(message_, 0) != kClientHello) return refuse(kUnexpectedMessage);
  const size_t had = message_.size();
  const size_t size = had < kMessageHeadBytes ? 0 : kMessageHeadBytes + number_at(message_, 1, 3);
  if (size > kMessageMaxBytes) return refuse(kIllegalParameter);
  if (had < kMessageHeadBytes || had < size) {
    head_.clear();
    return Status::kMore;
  }
  return had == size ? read_message() : refuse(kUnexpectedMessage);
}

// RFC 5246 7.4.1.2: version, random, session, suites, compressions, extensions.
ClientHello::Status ClientHello::read_message() {
  constexpr size_t kFixedBytes = 2 + 32;
  std::string_view rest = std::string_view(message_).substr(kMessageHeadBytes);
  std::string_view session, suites, compressions, extensions;
  if (rest.size() < kFixedBytes) return refuse(kDecodeError);
  rest.remove_prefix(kFixedBytes);
  if (!take_sized(&rest, 1, &session) || session.size() > 32) return refuse(kDecodeError);
  if (!take_sized(&rest, 2, &suites) || suites.empty() || suites.size() % 2 != 0) return refuse(kDecodeError);
  if (!take_sized(&rest, 1, &compressions) || compressions.empty()) return refuse(kDecodeError);
  if (compressions.find('\0') == compressions.npos)
    return refuse(kIllegalParameter);  // none must be among them
  if (rest.empty()) return Status::kWhole;
  if (!take_sized(&rest, 2, &extensions) || !rest.empty()) return refuse(kDecodeError);
  return read_extensions(extensions);
}

ClientHello::Status ClientHello::read_extensions(std::string_view bytes) {
  std::vector<size_t> types;
  while (!bytes.empty()) {
    if (bytes.size() < 2) return refuse(kDecodeError);
    types.push_back(number_at(bytes, 0, 2));
    bytes.remove_prefix(2);
    std::string_view content;
    if (!take_sized(&bytes, 2, &content)) return refuse(kDecodeError);
    if (types.back() == kServerNameExtension && !read_server_name(content)) return refuse(kDecodeError);
    if (types.back() == kFragmentLengthExtension && !is_fragment_length(content))
      return refuse(kIllegalParameter);
    for (const ListExtension& kind : kListExtensions)
      if (kind.type == types.back() && !is_whole_list(content, kind)) return refuse(kDecodeError);
  }
  std::sort(types.begin(), types.end());
  const bool is_repeated = std::adjacent_find(types.begin(), types.end()) != types.end();
  return is_repeated ? refuse(kIllegalParameter) : Status::kWhole;
}

// RFC 6066 3: a list with one name of the kind host_name.
bool ClientHello::read_server_name(std::string_view bytes) {
  std::string_view list, name;
  if (!take_sized(&bytes, 2, &list) || !bytes.empty() || list.empty() || list[0] != 0) return false;
  list.remove_prefix(1);
  if (!take_sized(&list, 2, &name) || !list.empty()) return false;
  if (name.empty() || name.size() > kServerNameMaxBytes || name.find('\0') != name.npos) return false;
  server_name_ = base::lower_case(std::string(name));
  return true;
}

std::string ClientHello::make_record() const {
  std::string record = head_.substr(0, 3);
  record += static_cast<char>(message_.size() >> 8);
  record += static_cast<char>(message_.size());
  return record += message_;
}

}  // namespace moongate::tls
