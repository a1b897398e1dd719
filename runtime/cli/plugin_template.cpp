// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_template.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/ascii.h"

namespace moongate::cli {

using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr size_t kNameMax = 64;

// NAME stands for the plugin's name.
constexpr std::string_view kPlugin = R"lua(--- NAME: says in one sentence what it is for.
local core = require("apisix.core")

-- What the plugin takes, as JSON Schema. Defaults are filled in before `conf` reaches a phase.
local schema = {
  type = "object",
  properties = {
    header = { type = "string", minLength = 1, default = "X-NAME" },
    value = { type = "string", default = "on" },
  },
}

local _M = {
  version = 0.1,
  priority = 50, -- higher runs earlier: authentication is at 2500, limits are at 1000, yours may lie anywhere
  name = "NAME",
  schema = schema,
}

function _M.check_schema(conf)
  return core.schema.check(schema, conf)
end

--- Runs before the request goes upstream. Returning a status (and a body) answers it here instead.
function _M.access(conf, ctx)
  core.request.set_header(ctx, conf.header, conf.value)
end

--- Runs when the head of the answer is there. Nothing can be answered any more, only headers changed.
function _M.header_filter(conf, ctx)
  core.response.set_header(conf.header, conf.value)
end

return _M
)lua";

constexpr std::string_view kSpec =
    R"lua(-- What NAME promises, against a running gateway. Run it: moongate plugin test NAME_spec.lua
local t = require("moongate.test")

t.describe("NAME", function()
  local upstream = t.echo()
  local function route(conf)
    return { id = "1", uri = "/*", plugins = { ["NAME"] = conf }, upstream = { nodes = { [upstream] = 1 } } }
  end
  local gateway = t.gateway({ routes = { route({ value = "yes" }) } }, { plugin_paths = { "." } })

  t.it("marks request and answer", function()
    local res = gateway:request({ path = "/hello" })
    t.equal(res.status, 200)
    t.equal(res.json().headers["x-LOWER"], "yes")
    t.equal(res.headers["X-NAME"], "yes")
  end)

  t.it("checks its configuration", function()
    local ok, err = gateway:check({ routes = { route({ value = 7 }) } })
    t.is_false(ok)
    t.matches(err, "wrong type")
  end)
end)
)lua";

constexpr std::string_view kReadme = "- `NAME`: `NAME.lua`, tested by `moongate plugin test NAME_spec.lua`\n";

std::string fill(std::string_view text, const std::string& name) {
  const std::string lower = base::lower_case(name);
  std::string out(text);
  for (const auto& [mark, value] :
       {std::pair<std::string_view, const std::string&>{"LOWER", lower}, {"NAME", name}}) {
    for (size_t at = 0; (at = out.find(mark, at)) != std::string::npos; at += value.size())
      out.replace(at, mark.size(), value);
  }
  return out;
}

bool is_good_name(const std::string& name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= kNameMax && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), is_allowed) &&
         !(name.size() > 5 && name.compare(name.size() - 5, 5, "_spec") == 0);
}

base::Error failure(const std::string& detail) {
  return {base::ErrorKind::kIo, base::Side::kSelf, false, detail};
}

Result<void> write(const std::string& path, const std::string& text, std::ios::openmode mode) {
  std::ofstream file(path, std::ios::binary | mode);
  file << text;
  file.close();
  if (!file) return failure(path + ": cannot be written");
  return {};
}

}  // namespace

Result<std::vector<std::string>> write_plugin_template(const std::string& name,
                                                       const std::string& directory) {
  if (!is_good_name(name)) {
    return base::invalid("`" + name +
                         "` is no name for a plugin: a small letter, then small letters, digits, `-` and "
                         "`_`, 64 at most, and not ending in _spec");
  }
  const std::string stem = (fs::path(directory) / name).string();
  const std::vector<std::string> paths = {stem + ".lua", stem + "_spec.lua"};
  std::error_code error;
  for (const std::string& path : paths) {
    if (fs::exists(fs::symlink_status(path, error)))
      return base::Error{base::ErrorKind::kConflict, base::Side::kSelf, false,
                         path + " is there already; nothing was written"};
  }
  fs::create_directories(directory, error);
  if (error) return failure(directory + ": " + error.message());
  if (auto written = write(paths[0], fill(kPlugin, name), std::ios::trunc); !written) return written.error();
  if (auto written = write(paths[1], fill(kSpec, name), std::ios::trunc); !written) return written.error();
  const std::string readme = (fs::path(directory) / "README.md").string();
  if (auto written = write(readme, fill(kReadme, name), std::ios::app); !written) return written.error();
  return std::vector<std::string>{paths[0], paths[1], readme};
}

}  // namespace moongate::cli
