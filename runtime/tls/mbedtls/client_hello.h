// SPDX-License-Identifier: Apache-2.0
// Reads a client's first message before the library does. This version of the library acts on a message as it
// reads it, so a ticket that comes before the name would be opened under the wrong rules; and it takes no
// message that comes in several records, which clients may send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moongate::tls {

// RFC 5246 7.2
enum Alert : uint8_t {
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kHandshakeFailure = 40,
  kIllegalParameter = 47,
  kDecodeError = 50,
  kDecryptError = 51,
  kInternalError = 80,
  kUnrecognizedName = 112,
};

/// Shape:   records are taken apart as they come; each has a byte at least of a message of at most
///          kMessageMaxBytes.
/// Fails:   kBroken, and alert() is what the client is to be told.
class ClientHello {
 public:
  enum class Status : uint8_t { kMore, kWhole, kBroken };
  static constexpr size_t kMessageMaxBytes = 16 * 1024;  // what the library takes in one record

  /// Takes the message's part of `bytes`; `*used` says how much that was.
  Status take(std::string_view bytes, size_t* used);
  Alert alert() const { return alert_; }
  /// What follows holds when it is whole.
  const std::string& server_name() const { return server_name_; }  // in lower case; empty for none
  std::string make_record() const;                                 // the message in one record

 private:
  Status refuse(Alert alert);
  Status take_head();
  Status end_record();
  Status read_message();
  Status read_extensions(std::string_view bytes);
  bool read_server_name(std::string_view bytes);

  std::string head_;  // of the record that comes
  size_t record_left_ = 0;
  std::string message_;
  std::string server_name_;
  Alert alert_ = kDecodeError;
};

}  // namespace moongate::tls
