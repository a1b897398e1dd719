// SPDX-License-Identifier: Apache-2.0
// The status page on the Admin API's address: the files of control/page/, which are part of the program. They
// hold no data and ask for no key; the page's script asks /moongate/admin with the key it is given.
#pragma once

#include <optional>
#include <string_view>

#include "control/http_server.h"

namespace moongate::control {

/// One of the page's files, as CMakeLists.txt puts it into the program.
struct PageFile {
  std::string_view path;
  std::string_view content_type;
  std::string_view text;
};
extern const PageFile kPageFiles[3];

/// The answer for `/`, `/ui`, `/ui.css` and `/ui.js`; nothing for other paths.
std::optional<HttpResponse> status_page(const HttpRequest& request);

}  // namespace moongate::control
