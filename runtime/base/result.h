// SPDX-License-Identifier: Apache-2.0
// How a function says that it could not do its work. Everything that depends on the network, the disk,
// configuration or Lua returns a Result; nothing in runtime/ throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace moongate::base {

enum class ErrorKind : uint8_t {
  kInvalid,      // the input breaks its own rules (syntax, schema, protocol)
  kLimit,        // a configured limit was reached
  kTimeout,      // a wait reached its deadline
  kClosed,       // the other side ended the connection
  kUnreachable,  // connecting or resolving failed
  kNotFound,     // the named thing is not there
  kConflict,     // the thing changed meanwhile
  kIo,           // a system call failed
  kScript,       // Lua raised an error or went over its budget
};

/// Whose doing an error is: decides between 4xx, 5xx and our own fault.
enum class Side : uint8_t { kSelf, kClient, kUpstream };

struct Error {
  ErrorKind kind = ErrorKind::kInvalid;
  Side side = Side::kSelf;
  bool is_retryable = false;  // true only when the other side cannot have acted on the request
  std::string detail;         // one sentence: the place, what is wrong, what would be right
};

[[gnu::cold]] inline Error invalid(std::string detail) {
  return Error{ErrorKind::kInvalid, Side::kSelf, false, std::move(detail)};
}

/// Makes an Error from errno: "what: strerror".
[[gnu::cold]] Error io_error(std::string what);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() {
    MG_ASSERT(ok());
    return std::get<0>(state_);
  }
  const T& value() const {
    MG_ASSERT(ok());
    return std::get<0>(state_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T take() {
    MG_ASSERT(ok());
    return std::move(std::get<0>(state_));
  }
  const Error& error() const {
    MG_ASSERT(!ok());
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    MG_ASSERT(error_.has_value());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace moongate::base
