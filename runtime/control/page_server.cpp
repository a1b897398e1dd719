// SPDX-License-Identifier: Apache-2.0
#include "control/page_server.h"

namespace moongate::control {
namespace {

constexpr const char* kPlain = "text/plain; charset=utf-8";

HttpResponse error_page(uint16_t status, std::string_view text) {
  return {status, kPlain, std::string(text) + "\n", {}};
}

}  // namespace

PageServer::PageServer(net::EventLoop& loop)
    : server_(loop, {},
              [this](const HttpRequest& request, const HttpServer::Answer& give) { give(answer(request)); }) {
}

HttpResponse PageServer::answer(const HttpRequest& request) const {
  if (request.method != "GET") {
    HttpResponse response = error_page(405, "only GET is served here");
    response.fields.emplace_back("Allow", "GET");
    return response;
  }
  if (!request.body.empty() || request.body_excess != 0)
    return error_page(400, "a request for a page has no body");
  const auto found = pages_.find(request.path);
  if (found == pages_.end()) return error_page(404, "there is no such page");
  Page page = found->second();
  return {page.status, std::move(page.content_type), std::move(page.body), {}};
}

}  // namespace moongate::control
