// SPDX-License-Identifier: Apache-2.0
#include "proxy/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/json.h"

using namespace moongate;
using namespace moongate::proxy;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/moongate-log-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/access.log"; }
  std::string text(const std::string& name = "access.log") const {
    std::ostringstream text;
    text << std::ifstream(path + "/" + name).rdbuf();
    return text.str();
  }
  std::string path;
};

struct Request {
  explicit Request(const std::string& lines = "") {
    http::HeadFault fault;
    std::string_view kept = exchange.arena.copy("GET /p HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n");
    REQUIRE(http::parse_request_head(kept, {}, &exchange.request, &fault));
    exchange.host = exchange.request.host;
    exchange.remote_address = "192.0.2.1";
    exchange.uri.path = exchange.uri.wire_path = exchange.original_uri.wire_path = "/p";
    exchange.response.status = 200;
  }
  exchange::Exchange exchange{0};
};

/// What one request writes in a format.
std::string line_of(const std::string& format, const std::string& lines = "") {
  Folder folder;
  Request request(lines);
  AccessLog::open(folder.file(), format).take()->write(request.exchange);  // closing writes what is queued
  return folder.text();
}

}  // namespace

TEST_CASE("a format is text with variables in it, and a dash for what has no value") {
  CHECK(line_of("$request_method ${uri}x $status [$http_none] 5$ $") == "GET /px 200 [-] 5$ $\n");
  CHECK(line_of("${uri $uri") == "${uri /p\n");
}

TEST_CASE("no client can break a line or a quoted field") {
  CHECK(line_of("\"$http_x\"", "X-X: a\"b\\c\xff\r\n") == "\"-\"\n");
  CHECK(line_of("\"$http_x\"", "X: a\"b\\c\xff\td\r\n") == "\"a\\x22b\\x5Cc\\xFF\\x09d\"\n");
}

TEST_CASE("a JSON line is JSON, whatever the client sent") {
  std::string line = line_of("json", "User-Agent: a\"b\\\xff\xfe\tc\r\n");
  REQUIRE(line.ends_with("}\n"));
  auto value = base::parse_json(line);
  REQUIRE(value.ok());
  CHECK(value->get_string("remote_addr") == "192.0.2.1");
  CHECK(value->find("status")->as_number() == 200);
}

TEST_CASE("lines come out whole and in order, also after the file was renamed") {
  Folder folder;
  auto log = AccessLog::open(folder.file(), "$arg_n").take();
  auto write = [&](int from, int to) {
    for (int i = from; i < to; i++) {
      Request request;
      std::string query = "n=" + std::to_string(i);
      request.exchange.uri.query = query;
      request.exchange.uri.has_query = true;
      log->write(request.exchange);
    }
  };
  write(0, 1000);
  std::filesystem::rename(folder.file(), folder.path + "/rotated");
  log->reopen();
  write(1000, 2000);
  log.reset();
  std::istringstream all(folder.text("rotated") + folder.text());
  int expected = 0;
  for (std::string line; std::getline(all, line); expected++) REQUIRE(line == std::to_string(expected));
  CHECK(expected == 2000);
}

TEST_CASE("a reader that does not read costs lines, not requests, and does not hold up the end") {
  Folder folder;
  REQUIRE(::mkfifo(folder.file().c_str(), 0600) == 0);
  int reader = ::open(folder.file().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto log = AccessLog::open(folder.file(), "$http_x").take();
  Request request("X: " + std::string(20'000, 'x') + "\r\n");
  for (int i = 0; i < 2000 && log->dropped_lines() == 0; i++) log->write(request.exchange);
  CHECK(log->dropped_lines() > 0);
  auto started = std::chrono::steady_clock::now();
  log.reset();
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(10));
  ::close(reader);
}

TEST_CASE("a pipe that nobody reads from is an error at once") {
  Folder folder;
  REQUIRE(::mkfifo(folder.file().c_str(), 0600) == 0);
  CHECK_FALSE(AccessLog::open(folder.file(), "json").ok());
}

TEST_CASE("a log that cannot be opened is an error that names it") {
  auto log = AccessLog::open("/nonexistent/access.log", "json");
  REQUIRE_FALSE(log.ok());
  CHECK(log.error().detail.find("/nonexistent/access.log") != std::string::npos);
}
