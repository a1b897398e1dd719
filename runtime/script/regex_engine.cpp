// SPDX-License-Identifier: Apache-2.0
#include "script/regex_engine.h"

#include "router/regex.h"

struct mg_regex;
extern "C" {
mg_regex* mg_regex_compile(const char* pattern, size_t size, const char* options, size_t options_size,
                           char* error, size_t error_size);
void mg_regex_free(mg_regex* re);
int mg_regex_exec(mg_regex* re, const char* subject, size_t size, size_t start, int* ovector, int pairs);
}

namespace moongate::script {
namespace {

class Pattern final : public router::Regex {
 public:
  explicit Pattern(mg_regex* compiled) : compiled_(compiled) {}
  ~Pattern() override { mg_regex_free(compiled_); }
  bool find(std::string_view subject) const override {
    int bounds[2];
    return mg_regex_exec(compiled_, subject.data(), subject.size(), 0, bounds, 1) > 0;
  }

 private:
  mg_regex* compiled_;
};

class Engine final : public router::RegexEngine {
 public:
  std::shared_ptr<router::Regex> compile(std::string_view pattern, bool is_caseless,
                                         std::string* error) override {
    char text[256] = "";
    std::string_view options = is_caseless ? "jo"
                                             "i"
                                           : "jo";
    mg_regex* compiled =
        mg_regex_compile(pattern.data(), pattern.size(), options.data(), options.size(), text, sizeof text);
    if (compiled) return std::make_shared<Pattern>(compiled);
    *error = text;
    return nullptr;
  }
};

}  // namespace

void install_regex_engine() {
  static Engine engine;
  router::set_regex_engine(&engine);
}

}  // namespace moongate::script
