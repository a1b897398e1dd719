// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy_protocol.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate::proxy;

namespace {

using Status = ProxyHeaderStatus;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string version2(char version_command, char family, const std::string& body) {
  return kSignature + version_command + family + static_cast<char>(body.size() >> 8) +
         static_cast<char>(body.size()) + body;
}
const std::string kBody4("\x0a\x00\x00\x01\x0a\x00\x00\x02\x1f\x90\x00\x50", 12);

ProxyHeader parse(const std::string& bytes, Status wanted = Status::kDone) {
  ProxyHeader header;
  INFO(bytes);
  CHECK(parse_proxy_header(bytes, &header) == wanted);
  return header;
}

}  // namespace

TEST_CASE("version 1 tells who the client is, and where the header ends") {
  const std::string line = "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n";
  ProxyHeader header = parse(line + "GET / HTTP/1.1\r\n");
  CHECK(header.has_source);
  CHECK(header.source == "192.0.2.1");
  CHECK(header.source_port == 56324);
  CHECK(header.size == line.size());
  CHECK(parse("PROXY TCP6 2001:db8::1 ::1 1 2\r\n").source == "2001:db8::1");
}

TEST_CASE("UNKNOWN and LOCAL leave the socket's own peer") {
  CHECK_FALSE(parse("PROXY UNKNOWN\r\n").has_source);
  CHECK_FALSE(parse("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n").has_source);
  CHECK_FALSE(parse(version2('\x20', '\x11', kBody4)).has_source);
  CHECK_FALSE(parse(version2('\x21', '\x00', "")).has_source);
  CHECK_FALSE(parse(version2('\x21', '\x31', std::string(216, 'u'))).has_source);
}

TEST_CASE("version 2 tells who the client is, and skips what else it brings") {
  ProxyHeader header = parse(version2('\x21', '\x11', kBody4 + std::string("\x03\x00\x04more", 7)) + "GET");
  CHECK(header.source == "10.0.0.1");
  CHECK(header.source_port == 8080);
  CHECK(header.size == 16 + 12 + 7);
  std::string body6(36, '\0');
  body6[15] = 1;
  body6[33] = 7;
  header = parse(version2('\x21', '\x21', body6));
  CHECK(header.source == "::1");
  CHECK(header.source_port == 7);
}

TEST_CASE("any part of a header is incomplete, never done and never bad") {
  for (const std::string& whole :
       {std::string("PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"), version2('\x21', '\x11', kBody4)}) {
    for (size_t size = 0; size < whole.size(); size++) parse(whole.substr(0, size), Status::kIncomplete);
    parse(whole);
  }
}

TEST_CASE("what is not exactly a header is bad") {
  for (const char* line :
       {"GET / HTTP/1.1\r\n", "PROXY\r\n\r\n", "PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n",
        "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY TCP4  192.0.2.1 10.0.0.1 1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 1 \r\n", "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY TCP4 192.0.2.256 10.0.0.1 1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 1\r\n", "PROXY TCP4 192.0.2.1 10.0.0.1 -1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 x\r\n", "PROXY UDP4 192.0.2.1 10.0.0.1 1 1\r\n"})
    parse(line, Status::kBad);
  parse("PROXY TCP4 " + std::string(107, ' '), Status::kBad);
  parse(version2('\x11', '\x11', kBody4), Status::kBad);                  // version 1 in version 2's clothes
  parse(version2('\x22', '\x11', kBody4), Status::kBad);                  // an unknown command
  parse(version2('\x21', '\x11', kBody4.substr(0, 11)), Status::kBad);    // an address cut short
  parse(version2('\x21', '\x11', std::string(5000, 'x')), Status::kBad);  // more than anyone sends
}
