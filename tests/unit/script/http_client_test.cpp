// SPDX-License-Identifier: Apache-2.0
// `resty.http` against servers that answer byte by byte as written here.
#include <catch2/catch.hpp>

#include <atomic>
#include <string>
#include <vector>

#include "script_fixture.h"

using namespace moongate::script_fixture;

namespace {

/// Answers each request head on one connection with the next text; closes after the last.
Server::Script answer(std::vector<std::string> texts) {
  return [texts](const Peer& peer) {
    for (const std::string& text : texts) {
      std::string head;
      while (!head.ends_with("\r\n\r\n")) {
        std::string byte = peer.receive(1);
        if (byte.empty()) return;
        head += byte;
      }
      peer.send(text);
    }
  };
}

constexpr const char* kAsk = R"(
  local http = require("resty.http")
  local function ask(path, params)
    local client = http.new()
    client:set_timeout(5000)
    local res, err = client:request_uri("http://127.0.0.1:" .. port .. path, params)
    if not res then return "failed: " .. err end
    return res.status .. " " .. res.reason .. " " .. res.body
  end
)";

std::string ask_against(std::vector<Server::Script> servers, const std::string& body) {
  return run_against(std::move(servers), kAsk + body);
}

}  // namespace

TEST_CASE("reads bodies by length, chunked and up to the end, and reuses what can be reused") {
  CHECK(ask_against(
            {answer({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made it\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
                     "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nto the end"})},
            R"(
    local out = { ask("/1"), ask("/2"), ask("/3"), ask("/4") }
    result = table.concat(out, ",")
  )") == "200 OK hello,201 Made it abcde,204 No Content ,200 OK to the end");
}

TEST_CASE("headers of an answer compare without case and repeat as arrays") {
  CHECK(ask_against(
            {answer(
                {"HTTP/1.1 200 OK\r\nX-One: 1\r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
                 ""})},
            R"(
    local client = http.new()
    assert(client:connect({ scheme = "http", host = "127.0.0.1", port = port }))
    local res = assert(client:request({ path = "/", query = { a = 1 } }))
    result = show(res.headers["x-one"], res.headers.x_one, res.headers["SET-COOKIE"][2], res.has_body, client:set_keepalive())
  )") == "1|1|b|false|1");
}

TEST_CASE("body_reader gives pieces, and an answer read in part closes its connection") {
  std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n1\r\ng\r\n0\r\n\r\n";
  CHECK(ask_against({answer({text, text}), answer({})}, R"(
    local client = http.new()
    assert(client:connect("127.0.0.1", port))
    local res = assert(client:request({ method = "POST", path = "/", body = { "a", "b" }, headers = { Expect = "" } }))
    local out = {}
    for piece in res.body_reader, 4 do out[#out + 1] = piece end
    assert(client:set_keepalive() == 1)
    assert(client:connect("127.0.0.1", port))
    res = client:request({ path = "/" })
    out[#out + 1] = res.body_reader(2)
    out[#out + 1] = show(client:set_keepalive())
    result = table.concat(out, ",")
  )") == "abcd,ef,g,ab,2|connection must be closed");
}

TEST_CASE("what an upstream gets wrong is an error with a reason") {
  auto fails = [](const std::string& text, const std::string& params = "nil") {
    return ask_against({answer({text})}, "result = ask('/', " + params + ")");
  };
  CHECK(fails("") == "failed: closed");
  CHECK(fails("SSH-2.0-x\r\n") == "failed: the response does not begin with an HTTP/1 status line");
  CHECK(fails("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n") == "failed: a field of the response is malformed");
  CHECK(fails("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n") ==
        "failed: the response has two lengths");
  CHECK(fails("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n") ==
        "failed: the length of the response is no number");
  CHECK(fails("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort") == "failed: closed");
  CHECK(fails("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") ==
        "failed: a chunk of the response has no size");
  CHECK(fails("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc") ==
        "failed: a chunk of the response does not end where it should");
  CHECK(fails("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlong body", "{ body_size_max_bytes = 4 }") ==
        "failed: the body of the response is larger than 4 bytes");
  CHECK(fails("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "{ method = 'HEAD' }") == "200 OK ");
}

TEST_CASE("a request that would break its own framing is refused before it leaves") {
  Scripts scripts;
  auto ask = [&scripts](const std::string& call) { return scripts.run(kAsk + call); };
  scripts.set_port(1);
  CHECK(ask("result = show(http.new():request_uri('https://127.0.0.1/', { ssl_client_cert = {} }))") ==
        "nil|client certificates are not in this version; leave ssl_client_cert out");
  CHECK(ask("result = show(http.new():request_uri('gopher://x/'))") == "nil|bad uri: gopher://x/");
  CHECK(ask("result = show(http.new():request({}))") == "nil|not connected");
  CHECK(ask("result = table.concat(http.new():parse_uri('http://[::1]:81/a?b=c#d', false), ' ')") ==
        "http [::1] 81 /a b=c");
  std::atomic<bool> has_leaked = false;
  CHECK(run_against({[&](const Peer& peer) { has_leaked = !peer.receive(1).empty(); }},
                    std::string(kAsk) + R"(
    local client = http.new()
    assert(client:connect("127.0.0.1", port))
    result = show(client:request({ path = "/ x" })) .. "," .. show(client:request({ headers = { ["X"] = "a\r\nB: c" } }))
      .. "," .. show(client:request({ body = function() end }))
    client:close()
  )") == "nil|bad method or path,nil|bad header: X,nil|a body that is a function needs a Content-Length, or "
         "chunked coding done by the function");
  CHECK_FALSE(has_leaked);
}
