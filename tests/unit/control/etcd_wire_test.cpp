// SPDX-License-Identifier: Apache-2.0
#include "control/etcd_wire.h"

#include <catch2/catch.hpp>

#include "base/base64.h"
#include "base/json.h"

using namespace moongate;
using namespace moongate::control;
using config::Kind;

namespace {

std::string event(const std::string& key, const std::string& value, int revision) {
  return "{\"kv\":{\"key\":\"" + base::to_base64(key) + "\",\"create_revision\":\"2\",\"mod_revision\":\"" +
         std::to_string(revision) + "\",\"value\":\"" + base::to_base64(value) + "\"}}";
}

std::vector<std::string> cut(EtcdMessageCutter& cutter, std::string_view bytes) {
  std::vector<std::string> messages;
  REQUIRE(cutter.feed(bytes, [&](std::string_view message) {
    messages.emplace_back(message);
    return true;
  }));
  return messages;
}

}  // namespace

TEST_CASE("a watch that is split at any byte says the same") {
  const std::string first =
      "{\"result\":{\"header\":{\"cluster_id\":\"9\",\"revision\":\"4\"},\"created\":true}}";
  const std::string second = "{\"result\":{\"header\":{\"revision\":\"6\"},\"events\":[" +
                             event("/apisix/routes/1", "{\"uri\":\"/a\\n\"}", 5) +
                             ",{\"type\":\"DELETE\",\"kv\":{\"key\":\"" +
                             base::to_base64("/apisix/routes/2") + "\",\"mod_revision\":\"6\"}}]}}";
  const std::string stream = first + "\n\n" + second + "\n";
  for (size_t at = 0; at <= stream.size(); at++) {
    EtcdMessageCutter cutter(10'000);
    std::vector<std::string> messages = cut(cutter, std::string_view(stream).substr(0, at));
    for (std::string& message : cut(cutter, std::string_view(stream).substr(at)))
      messages.push_back(std::move(message));
    INFO("split at " << at);
    REQUIRE(messages == std::vector<std::string>{first, second});
  }
  const auto created = parse_news(first);
  REQUIRE(created.ok());
  CHECK(created->is_created);
  CHECK(created->cluster_id == "9");
  const auto news = parse_news(second);
  REQUIRE(news.ok());
  CHECK(news->revision == 6);
  REQUIRE(news->entries.size() == 2);
  CHECK(news->entries[0].key == "/apisix/routes/1");
  CHECK(news->entries[0].value == "{\"uri\":\"/a\\n\"}");
  CHECK(news->entries[0].mod_revision == 5);
  CHECK_FALSE(news->entries[0].is_deleted);
  CHECK(news->entries[1].is_deleted);
  CHECK(news->entries[1].mod_revision == 6);
}

TEST_CASE("a message beyond the limit ends the watch, and whoever has enough is given no more") {
  EtcdMessageCutter cutter(10);
  REQUIRE(cutter.feed("123456", [](std::string_view) { return true; }).ok());
  const auto fed = cutter.feed("78901\n", [](std::string_view) { return true; });
  REQUIRE_FALSE(fed.ok());
  CHECK(fed.error().kind == base::ErrorKind::kLimit);
  EtcdMessageCutter other(10);
  int count = 0;
  REQUIRE(other.feed("1\n2\n3\n", [&](std::string_view) { return ++count < 2; }).ok());
  CHECK(count == 2);
}

TEST_CASE("the end of a watch has its reason, and compaction its revision") {
  const auto compacted = parse_news(
      "{\"result\":{\"header\":{\"revision\":\"9\"},\"canceled\":true,\"compact_revision\":\"7\"}}");
  REQUIRE(compacted.ok());
  CHECK(compacted->compact_revision == 7);
  const auto refused =
      parse_news("{\"result\":{\"canceled\":true,\"cancel_reason\":\"permission denied\",\"created\":true}}");
  REQUIRE(refused.ok());
  CHECK(refused->end == "the watch was ended: permission denied");
  const auto failed = parse_news("{\"error\":{\"grpc_code\":14,\"message\":\"no member\"}}");
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().detail == "the watch ended: no member");
  for (const char* bad : {"", "[]", "{}", "{\"result\":{\"events\":[{}]}}",
                          "{\"result\":{\"events\":[{\"kv\":{\"key\":\"*\"}}]}}"})
    CHECK_FALSE(parse_news(bad).ok());
}

TEST_CASE("a page has its entries, and a value beyond the limit is left out") {
  const std::string large(kEtcdValueMaxBytes + 3, 'x');
  const auto page = parse_page("{\"header\":{\"revision\":\"12\"},\"more\":true,\"kvs\":[" +
                                   event("/a", "1", 3).substr(6, event("/a", "1", 3).size() - 7) + "," +
                                   event("/b", large, 4).substr(6, event("/b", large, 4).size() - 7) + "]}",
                               false);
  REQUIRE(page.ok());
  CHECK(page->revision == 12);
  CHECK(page->has_more);
  REQUIRE(page->entries.size() == 2);
  CHECK(page->entries[0].value == "1");
  CHECK(page->entries[0].create_revision == 2);
  CHECK(page->entries[1].is_too_large);
  CHECK(page->entries[1].value.empty());
  CHECK_FALSE(parse_page("{}", false).ok());
}

TEST_CASE("keys are those of APISIX, and what is none of a resource is passed over") {
  CHECK(etcd_key("/apisix", {Kind::kRoute, "1"}) == "/apisix/routes/1");
  CHECK(etcd_key("/a/b", {Kind::kCredential, "jack/credentials/c1"}) == "/a/b/consumers/jack/credentials/c1");
  CHECK(resource_of("/apisix", "/apisix/routes/1") == ResourceKey{Kind::kRoute, "1"});
  CHECK(resource_of("/apisix", "/apisix/consumers/jack/credentials/c1") ==
        ResourceKey{Kind::kCredential, "jack/credentials/c1"});
  CHECK(resource_of("/apisix", "/apisix/secrets/vault/1") == ResourceKey{Kind::kSecret, "vault/1"});
  CHECK(resource_of("/apisix", "/apisix/services/1/graphql_cost_decorations/2") ==
        ResourceKey{Kind::kGraphqlCostDecoration, "1/graphql_cost_decorations/2"});
  for (const char* other : {"/apisix/routes/", "/apisix/routes", "/apisix/plugins", "/apisixx/routes/1",
                            "/apisix/routes/1/2", "/apisix/services//graphql_cost_decorations/2",
                            "/apisix/consumers//credentials/c", "/apisix/data_plane/server_info/x"})
    CHECK_FALSE(resource_of("/apisix", other).has_value());
}

TEST_CASE("a transaction compares what it was made from") {
  EtcdTransaction transaction;
  using Compare = EtcdCompare::Kind;
  transaction.compares = {{Compare::kUnchanged, "/a", 5}, {Compare::kNothingNewer, "/p/", 9}};
  transaction.operations = {{"/a", "v", 0, "77"}, {"/b", std::nullopt}};
  const auto request = base::parse_json(transaction_request(transaction));
  REQUIRE(request.ok());
  const auto& compares = request->find("compare")->items();
  CHECK(compares[0].get_string("mod_revision") == "5");
  CHECK(compares[0].get_string("result") == "EQUAL");
  CHECK(compares[1].get_string("range_end") == base::to_base64("/p0"));
  CHECK(compares[1].get_string("mod_revision") == "10");
  CHECK(compares[1].get_string("result") == "LESS");
  const auto& operations = request->find("success")->items();
  CHECK(operations[0].find("request_put")->get_string("lease") == "77");
  CHECK(operations[1].find("request_delete_range")->get_string("key") == base::to_base64("/b"));
  const auto refused = parse_verdict("{\"header\":{\"revision\":\"8\"}}");
  REQUIRE(refused.ok());
  CHECK_FALSE(refused->is_made);
  CHECK_FALSE(parse_verdict("{\"succeeded\":true}").ok());
}

TEST_CASE("only a refusal that is certain says that nothing was done") {
  CHECK_FALSE(parse_refusal(503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}").is_certain);
  CHECK(parse_refusal(503, "{\"error\":\"etcdserver: no leader\",\"code\":14}").is_certain);
  CHECK(parse_refusal(403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}").is_certain);
  CHECK_FALSE(parse_refusal(502, "<html>").is_certain);
  CHECK(parse_refusal(401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}").is_of_token);
  CHECK(parse_refusal(400, "{\"message\":\"too large\",\"code\":3}").text == "too large");
}
