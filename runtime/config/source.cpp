// SPDX-License-Identifier: Apache-2.0
#include "config/source.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <unordered_set>

#include "base/ascii.h"
#include "base/file.h"
#include "base/json.h"
#include "config/apisix.h"
#include "config/kong.h"
#include "config/merge.h"
#include "config/yaml_reader.h"

namespace moongate::config {

using base::Error;
using base::Result;
using base::Value;

namespace {

constexpr size_t kFileMaxBytes = size_t{64} << 20;
constexpr size_t kTopKeysMax = 1000;
constexpr std::string_view kApisixSettings = "config.yaml";
constexpr std::string_view kApisixResources = "apisix.yaml";
constexpr size_t kPrefixMax = 40;  // an id has at most 64 characters

Result<std::string> read_file(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return base::io_error(path);
  struct stat status {};
  std::string text;
  Result<std::string> result = base::invalid(path + ": not a regular file; name a .yaml, .json or .lua file");
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    char buffer[65536];
    ssize_t count = 0;
    while ((count = ::read(fd, buffer, sizeof buffer)) > 0 && text.size() <= kFileMaxBytes)
      text.append(buffer, count);
    if (count < 0) {
      result = base::io_error(path);
    } else if (text.size() > kFileMaxBytes) {
      result = base::invalid(path + ": larger than 64 MB; split it and use `include`");
    } else {
      result = std::move(text);
    }
  }
  ::close(fd);
  return result;
}

/// Frees what glob(3) allocated.
struct Glob {
  Glob() = default;
  Glob(const Glob&) = delete;
  Glob& operator=(const Glob&) = delete;
  ~Glob() { ::globfree(&raw); }
  glob_t raw{};
};

std::string canonical_path(const std::string& path) {
  std::error_code error;
  const auto canonical = std::filesystem::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

uint32_t fingerprint(std::string_view text) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

std::string hex(uint32_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) text.push_back(kDigits[(number >> shift) & 15]);
  return text;
}

}  // namespace

/// One load: the state that is of no use afterwards.
class SourceLoader {
 public:
  SourceLoader(Source& source, const SourceOptions& options) : source_(source), options_(options) {}

  Result<void> load_file(const std::string& path) {
    const std::string canonical = canonical_path(path);
    if (open_.count(canonical) > 0)
      return base::invalid(path + ": includes itself; remove one of the `include` lines");
    if (!done_.insert(canonical).second) return {};
    open_.insert(canonical);
    Result<void> loaded = load_new_file(path);
    open_.erase(canonical);
    return loaded;
  }

  /// Both files are wanted: a folder of something else is nothing to guess about.
  Result<void> load_folder(const std::string& folder) {
    const std::filesystem::path settings = std::filesystem::path(folder) / kApisixSettings;
    const std::filesystem::path resources = std::filesystem::path(folder) / kApisixResources;
    if (!std::filesystem::exists(settings) || !std::filesystem::exists(resources)) {
      return base::invalid(
          folder +
          ": not a regular file, nor a folder with APISIX's config.yaml and apisix.yaml; name "
          "a .yaml, .json or .lua file");
    }
    if (auto loaded = load_file(settings.string()); !loaded) return loaded;
    return load_file(resources.string());
  }

 private:
  Result<void> load_new_file(const std::string& path) {
    Result<uint16_t> index = source_.places_.add(path);
    if (!index) return index.error();
    source_.stamps_[path] = base::file_stamp(path);
    Result<std::string> text = read_file(path);
    if (!text) return text.error();
    Result<Value> parsed = parse(path, *text, *index);
    if (!parsed) return parsed.error();
    Value root = parsed->is_null() ? Value::object() : parsed.take();
    if (auto translated = translate(path, *text, &root); !translated) return translated;
    if (auto checked = check_top(path, root); !checked) return checked;
    if (auto included = load_includes(path, root); !included) return included;
    if (auto assigned = assign_ids(root, id_prefix(path, *index), source_.places_); !assigned)
      return assigned;
    merge_files(source_.root_, std::move(root));
    return {};
  }

  Result<Value> parse(const std::string& path, std::string_view text, uint16_t index) {
    const std::string extension = std::filesystem::path(path).extension().string();
    if (extension == ".lua") return parse_lua(path, text, index);
    if (extension == ".json") return parse_json(path, text, index);
    if (extension != ".yaml" && extension != ".yml") {
      return base::invalid(path + ": unknown kind of file `" + extension +
                           "`; known are .yaml, .yml, .json and .lua");
    }
    Result<Value> root = read_yaml(text, index, options_.environment);
    if (!root) return base::invalid(path + ":" + root.error().detail);
    return root;
  }

  Result<Value> parse_json(const std::string& path, std::string_view text, uint16_t index) {
    Result<Value> root = base::parse_json_file(text, index);
    if (!root) return base::invalid(path + ":" + root.error().detail);
    return substituted(root.take());
  }

  Result<Value> parse_lua(const std::string& path, std::string_view text, uint16_t index) {
    if (!options_.evaluate_lua)
      return base::invalid(path + ": Lua files cannot be read here; use .yaml or .json");
    Result<Value> root = options_.evaluate_lua(path, text, index);
    if (!root) return root;
    return substituted(root.take());
  }

  Result<Value> substituted(Value root) {
    if (const auto error = substitute_tree(root, options_.environment)) {
      return source_.places_.error(*error->at, "", error->what);
    }
    return root;
  }

  Result<void> check_top(const std::string& path, const Value& root) {
    if (!root.is_object()) {
      return base::invalid(path + ":1: the top level is not a mapping; begin with a key such as `routes:`");
    }
    if (root.members().size() > kTopKeysMax)
      return base::invalid(path + ":1: more than 1000 keys at the top level");
    return {};
  }

  /// Replaces a tree in another gateway's format by one in ours.
  Result<void> translate(const std::string& path, std::string_view text, Value* root) {
    if (is_kong_file(*root)) return take(Dialect::kKong, translate_kong(*root, source_.places_), root);
    if (is_apisix_file(*root)) {
      has_apisix_file_ = true;
      return take(Dialect::kApisix, translate_apisix(*root, source_.places_), root);
    }
    if (is_apisix_resources(path) && !has_end_flag(text))
      return base::invalid(path +
                           ":1: missing valid end flag; end the file with a line `#END` once it is whole");
    return {};
  }

  /// What stands beside a config.yaml is APISIX's to read too: written with its flag, numbered as it does.
  bool is_apisix_resources(const std::string& path) const {
    return has_apisix_file_ && std::filesystem::path(path).filename() == kApisixResources;
  }

  /// All that stands in the way is named at once.
  Result<void> take(Dialect dialect, DialectTranslation translation, Value* root) {
    *root = std::move(translation.root);
    if (options_.on_findings) {
      options_.on_findings(dialect, std::move(translation.findings));
      return {};
    }
    std::string refused;
    for (DialectFinding& finding : translation.findings) {
      if (finding.loss == DialectLoss::kRefused)
        refused += (refused.empty() ? "" : "\n") + finding.text;
      else
        source_.warnings_.push_back(std::move(finding.text));
    }
    if (!refused.empty()) return base::invalid(std::move(refused));
    return {};
  }

  Result<void> load_includes(const std::string& path, Value& root) {
    const Value* member = root.find("include");
    if (member == nullptr) return {};
    const Value list = *member;
    root.remove("include");
    if (list.is_string()) return load_include(path, list);
    if (!list.is_array()) return bad_include(list);
    for (const Value& item : list.items()) {
      if (!item.is_string()) return bad_include(item);
      if (auto loaded = load_include(path, item); !loaded) return loaded;
    }
    return {};
  }

  Error bad_include(const Value& at) const {
    return source_.places_.error(at, "include",
                                 "not a path; write a list of paths or patterns, such as [conf.d/*.yaml]");
  }

  Result<void> load_include(const std::string& includer, const Value& item) {
    const std::filesystem::path written(item.as_string());
    if (item.as_string().empty()) return bad_include(item);
    const std::filesystem::path folder = std::filesystem::path(includer).parent_path();
    const std::string pattern = written.is_absolute() ? written.string() : (folder / written).string();
    if (pattern.find_first_of("*?[") == std::string::npos) return located(item, load_file(pattern));
    note_folders(pattern);
    Result<std::vector<std::string>> paths = expand(pattern);
    if (!paths) return located(item, paths.error());
    for (const std::string& path : *paths) {
      // A pattern may well match the file it stands in: `include: ["*.yaml"]`.
      if (canonical_path(path) == canonical_path(includer)) continue;
      if (auto loaded = located(item, load_file(path)); !loaded) return loaded;
    }
    return {};
  }

  // The folders in which something new could match: those that the parts before each `*` lead to.
  void note_folders(const std::string& pattern) {
    std::filesystem::path at;
    for (const std::filesystem::path& part : std::filesystem::path(pattern)) {
      if (part.string().find_first_of("*?[") != std::string::npos) {
        if (Result<std::vector<std::string>> folders = expand(at.string())) {
          std::erase_if(*folders,
                        [](const std::string& path) { return !std::filesystem::is_directory(path); });
          source_.folders_.insert(source_.folders_.end(), folders->begin(), folders->end());
        }
        if (at.string().find_first_of("*?[") == std::string::npos && !std::filesystem::is_directory(at))
          source_.folders_.push_back(at.string());  // not there yet
        for (const std::string& folder : source_.folders_)
          source_.stamps_.emplace(folder, base::file_stamp(folder));
      }
      at /= part;
    }
  }

  // A file that cannot be read is the fault of the line that names it; other mistakes have their own place.
  Result<void> located(const Value& item, Result<void> loaded) const {
    if (loaded || loaded.error().kind != base::ErrorKind::kIo) return loaded;
    return source_.places_.error(item, "include", loaded.error().detail);
  }

  static Result<std::vector<std::string>> expand(const std::string& pattern) {
    Glob found;
    const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found.raw);
    if (status != 0 && status != GLOB_NOMATCH) {
      return Error{base::ErrorKind::kIo, base::Side::kSelf, false,
                   pattern + ": the pattern cannot be followed"};
    }
    std::vector<std::string> paths(found.raw.gl_pathv, found.raw.gl_pathv + found.raw.gl_pathc);
    std::sort(paths.begin(), paths.end());  // by bytes, whatever the locale
    return paths;
  }

  // Files of one name in two folders are told apart by a fingerprint of the path as written.
  std::string id_prefix(const std::string& path, uint16_t index) {
    if (index == 0 || is_apisix_resources(path)) return "";
    std::string stem = std::filesystem::path(path).stem().string().substr(0, kPrefixMax);
    for (char& c : stem) {
      const bool is_allowed = base::is_alphanumeric(c) || c == '_' || c == '-' || c == '.';
      if (!is_allowed) c = '-';
    }
    if (!prefixes_.insert(stem).second) stem += "-" + hex(fingerprint(path));
    return stem + ".";
  }

  Source& source_;
  const SourceOptions& options_;
  std::unordered_set<std::string> open_;
  std::unordered_set<std::string> done_;
  std::unordered_set<std::string> prefixes_;
  bool has_apisix_file_ = false;
};

Result<Source> Source::load(const std::vector<std::string>& paths, const SourceOptions& options,
                            Visited* visited) {
  if (paths.empty()) return base::invalid("no configuration file; name one with -c FILE");
  Source source;
  SourceLoader loader(source, options);
  Result<void> loaded;
  for (size_t i = 0; i < paths.size() && loaded; i++) {
    if (std::filesystem::is_directory(paths[i]))
      loaded = loader.load_folder(paths[i]);
    else
      loaded = loader.load_file(paths[i]);
  }
  if (visited != nullptr) *visited = {source.files(), source.folders_, source.stamps_};
  if (!loaded) return loaded.error();
  return source;
}

}  // namespace moongate::config
