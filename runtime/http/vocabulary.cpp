// SPDX-License-Identifier: Apache-2.0
// The two closed vocabularies of HTTP: methods and status codes.
#include <algorithm>
#include <array>
#include <iterator>

#include "http/head.h"

namespace moongate::http {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Method::kCount)> kMethodNames = {
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PURGE"};

Method check(Method candidate, std::string_view text) {
  return method_name(candidate) == text ? candidate : Method::kOther;
}

}  // namespace

Method find_method(std::string_view text) {
  switch (text.size()) {
    case 3:
      return text[0] == 'G' ? check(Method::kGet, text) : check(Method::kPut, text);
    case 4:
      return text[0] == 'P' ? check(Method::kPost, text) : check(Method::kHead, text);
    case 5:
      if (text[0] == 'T') return check(Method::kTrace, text);
      return text[1] == 'A' ? check(Method::kPatch, text) : check(Method::kPurge, text);
    case 6:
      return check(Method::kDelete, text);
    case 7:
      return text[0] == 'O' ? check(Method::kOptions, text) : check(Method::kConnect, text);
    default:
      return Method::kOther;
  }
}

std::string_view method_name(Method method) { return kMethodNames[static_cast<size_t>(method)]; }

bool is_idempotent(Method method) {
  switch (method) {
    case Method::kGet:
    case Method::kHead:
    case Method::kPut:
    case Method::kDelete:
    case Method::kOptions:
    case Method::kTrace:
      return true;
    default:
      return false;
  }
}

namespace {

struct StatusReason {
  uint16_t status;
  std::string_view reason;
};

// RFC 9110 and its companions, in order.
constexpr StatusReason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

}  // namespace

std::string_view status_reason(uint16_t status) {
  if (status == 200) return "OK";
  const auto* end = std::end(kReasons);
  const auto* found =
      std::lower_bound(std::begin(kReasons), end, status,
                       [](const StatusReason& entry, uint16_t wanted) { return entry.status < wanted; });
  return found != end && found->status == status ? found->reason : "Unknown";
}

}  // namespace moongate::http
