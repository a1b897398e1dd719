// SPDX-License-Identifier: Apache-2.0
// What `moongate echo` answers to a request: the request as JSON, or whatever its query asks for. Pure; the
// connection that sends it is in echo_connection.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/head.h"

namespace moongate::cli {

inline constexpr uint64_t kEchoSizeMax = 64u << 20;

/// Who answers.
struct EchoIdentity {
  std::string upstream;  // of --name; empty: none
  uint16_t port = 0;
};

/// An answer, ready to be written: the head and body in `bytes`, then `filler_size` bytes of body that nobody
/// keeps in memory.
struct EchoAnswer {
  std::string bytes;
  uint64_t filler_size = 0;
  bool is_chunked = false;  // the filler is; `bytes` is framed already
  bool closes = false;
  base::Duration delay{0};
};

/// Answers a request. Knobs of the query: status=503, delay_ms=50, size=1000, header=Name:Value (again and
/// again), chunked=1, close=1, name=X. A knob out of its range is answered with 400 and the reason.
EchoAnswer make_echo_answer(const http::RequestHead& head, std::string_view body,
                            const EchoIdentity& identity);

/// The answer to what is no acceptable request; the connection ends with it.
EchoAnswer make_echo_refusal(uint16_t status, std::string_view reason);

}  // namespace moongate::cli
