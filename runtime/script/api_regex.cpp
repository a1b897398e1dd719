// SPDX-License-Identifier: Apache-2.0
// Regular expressions for Lua: the mg_regex_* functions of lua/lib/moongate/native.lua, on PCRE2 with its
// JIT.
//
// Patterns come from configuration and subjects from clients, so a match is bounded: after kMatchLimit steps
// of backtracking it gives up with an error instead of holding the worker. The values make a backtracking
// bomb end within some 20 ms.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

constexpr uint32_t kMatchLimit = 1'000'000;  // steps of compiled code
constexpr uint32_t kMatchLimitInterpreted = 200'000;
constexpr uint32_t kDepthLimit = 20'000;
constexpr uint32_t kHeapLimitKb = 8 * 1024;
constexpr size_t kPatternMaxBytes = 64 * 1024;
constexpr size_t kJitStackMaxBytes = 512 * 1024;
constexpr int kDfaWorkspace = 512;

struct Parsed {
  uint32_t compile = 0;
  bool is_dfa = false;
  bool is_anchored = false;
  char unknown = 0;
};

Parsed parse_options(std::string_view letters) {
  Parsed parsed;
  for (char letter : letters) {
    switch (letter) {
      case 'a':
        parsed.is_anchored = true;
        break;
      case 'd':
        parsed.is_dfa = true;
        break;
      case 'D':
      case 'J':
        parsed.compile |= PCRE2_DUPNAMES;
        break;
      case 'i':
        parsed.compile |= PCRE2_CASELESS;
        break;
      case 'm':
        parsed.compile |= PCRE2_MULTILINE;
        break;
      case 's':
        parsed.compile |= PCRE2_DOTALL;
        break;
      case 'u':
        parsed.compile |= PCRE2_UTF;
        break;
      // OpenResty skips the UTF-8 check here; on bytes that are not UTF-8 that is undefined, so such bytes
      // simply match nothing.
      case 'U':
        parsed.compile |= PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
        break;
      case 'x':
        parsed.compile |= PCRE2_EXTENDED;
        break;
      case 'j':
      case 'o':
        break;  // always compiled, and once
      default:
        parsed.unknown = letter;
        break;
    }
  }
  if (parsed.is_anchored) parsed.compile |= PCRE2_ANCHORED;
  return parsed;
}

// One per thread: matching needs scratch memory that no two matches use at once.
struct Scratch {
  pcre2_compile_context* compile = pcre2_compile_context_create(nullptr);
  pcre2_match_context* jit = pcre2_match_context_create(nullptr);
  pcre2_match_context* interpreted = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kJitStackMaxBytes, nullptr);
  int workspace[kDfaWorkspace];

  Scratch() {
    pcre2_set_max_pattern_length(compile, kPatternMaxBytes);
    pcre2_set_match_limit(jit, kMatchLimit);
    pcre2_jit_stack_assign(jit, nullptr, stack);
    pcre2_set_match_limit(interpreted, kMatchLimitInterpreted);
    pcre2_set_depth_limit(interpreted, kDepthLimit);
    pcre2_set_heap_limit(interpreted, kHeapLimitKb);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(jit);
    pcre2_match_context_free(interpreted);
    pcre2_compile_context_free(compile);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

}  // namespace

struct mg_regex {
  pcre2_code* code = nullptr;
  pcre2_match_data* match = nullptr;
  bool is_dfa = false;
  bool is_jit = false;
  uint32_t capture_count = 0;
};

struct mg_text {
  const char* data;
  size_t size;
};

extern "C" {

mg_regex* mg_regex_compile(const char* pattern, size_t size, const char* options, size_t options_size,
                           char* error, size_t error_size) {
  Parsed parsed = parse_options({options, options_size});
  if (parsed.unknown != 0) {
    std::snprintf(error, error_size, "unknown flag \"%c\" (flags \"%.*s\")", parsed.unknown,
                  static_cast<int>(options_size), options);
    return nullptr;
  }
  int code_of_error = 0;
  PCRE2_SIZE offset = 0;
  auto* text = reinterpret_cast<PCRE2_SPTR>(pattern);
  pcre2_code* code = pcre2_compile(text, size, parsed.compile, &code_of_error, &offset, scratch().compile);
  if (code == nullptr) {
    char reason[160];
    pcre2_get_error_message(code_of_error, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof(reason));
    std::snprintf(error, error_size, "pcre2_compile() failed: %s in \"%.*s\" at offset %zu", reason,
                  static_cast<int>(size), pattern, static_cast<size_t>(offset));
    return nullptr;
  }
  auto* re = new mg_regex;
  re->code = code;
  re->is_dfa = parsed.is_dfa;
  re->is_jit = !parsed.is_dfa && pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  re->match = pcre2_match_data_create_from_pattern(code, nullptr);
  pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &re->capture_count);
  return re;
}

void mg_regex_free(mg_regex* re) {
  if (re == nullptr) return;
  pcre2_match_data_free(re->match);
  pcre2_code_free(re->code);
  delete re;
}

int mg_regex_capture_count(mg_regex* re) { return static_cast<int>(re->capture_count); }

int mg_regex_exec(mg_regex* re, const char* subject, size_t size, size_t start, int* ovector, int pairs) {
  if (start > size) return 0;
  Scratch& mine = scratch();
  auto* text = reinterpret_cast<PCRE2_SPTR>(subject);
  int set = 0;
  if (re->is_dfa) {
    set = pcre2_dfa_match(re->code, text, size, start, 0, re->match, mine.interpreted, mine.workspace,
                          kDfaWorkspace);
    if (set >= 0) set = 1;  // the other pairs are shorter matches, not groups
  } else {
    set = pcre2_match(re->code, text, size, start, 0, re->match, re->is_jit ? mine.jit : mine.interpreted);
  }
  if (set == PCRE2_ERROR_NOMATCH) return 0;
  if (set < 0) return set;
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(re->match);
  for (int i = 0; i < pairs; ++i) {
    bool is_set = i < set && found[2 * i] != PCRE2_UNSET;
    ovector[2 * i] = is_set ? static_cast<int>(found[2 * i]) : -1;
    ovector[2 * i + 1] = is_set ? static_cast<int>(found[2 * i + 1]) : -1;
  }
  return set;
}

int mg_regex_name_at(mg_regex* re, int index, mg_text* name, int* number) {
  uint32_t count = 0;
  uint32_t entry_size = 0;
  PCRE2_SPTR table = nullptr;
  pcre2_pattern_info(re->code, PCRE2_INFO_NAMECOUNT, &count);
  if (index < 0 || static_cast<uint32_t>(index) >= count) return 0;
  pcre2_pattern_info(re->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
  pcre2_pattern_info(re->code, PCRE2_INFO_NAMETABLE, &table);
  PCRE2_SPTR entry = table + static_cast<size_t>(index) * entry_size;
  *number = entry[0] * 256 + entry[1];
  name->data = reinterpret_cast<const char*>(entry + 2);
  name->size = std::string_view(name->data).size();
  return 1;
}

const char* mg_regex_error(int code) {
  thread_local char reason[160];
  if (code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_HEAPLIMIT ||
      code == PCRE2_ERROR_JIT_STACKLIMIT) {
    return "the pattern backtracks too much on this subject";
  }
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof(reason));
  return reason;
}

}  // extern "C"
