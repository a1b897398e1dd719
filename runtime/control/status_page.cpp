// SPDX-License-Identifier: Apache-2.0
#include "control/status_page.h"

#include "snapshot/hash.h"

namespace moongate::control {

namespace {

// Nothing but the page's own files: no script of a route's name, no frame of somebody else's page, no form
// that takes the key elsewhere.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const PageFile* find_file(std::string_view path) {
  if (path == "/") path = "/ui";
  for (const PageFile& file : kPageFiles) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace

std::optional<HttpResponse> status_page(const HttpRequest& request) {
  const PageFile* file = find_file(request.path);
  if (file == nullptr) return std::nullopt;
  HttpResponse response{200, std::string(file->content_type), "", {}};
  response.fields = {{"Server", "Moongate"},
                     {"Content-Security-Policy", kPolicy},
                     {"X-Frame-Options", "DENY"},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Cross-Origin-Opener-Policy", "same-origin"},
                     {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.content_type = "text/plain; charset=utf-8";
    response.body = "the status page is only to be read\n";
    response.fields.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  snapshot::Hasher hasher;
  hasher.add(file->text);
  const std::string tag = "\"" + hasher.finish().text() + "\"";
  response.fields.emplace_back("Cache-Control", "no-cache");  // kept, but asked for again
  response.fields.emplace_back("ETag", tag);
  if (request.field("If-None-Match") == tag) {
    response.status = 304;
    response.content_type.clear();
    return response;
  }
  response.body = file->text;
  return response;
}

}  // namespace moongate::control
