// SPDX-License-Identifier: Apache-2.0
#include "cli/lua_validator.h"

namespace moongate::cli {

using base::Result;

namespace {

std::vector<script::CheckedSource> convert(const std::vector<control::SourceFile>& files) {
  std::vector<script::CheckedSource> sources;
  sources.reserve(files.size());
  for (const control::SourceFile& file : files) sources.push_back({file.name, file.path, file.text});
  return sources;
}

Result<std::vector<control::Complaint>> convert(Result<std::vector<script::Complaint>> found) {
  if (!found) return found.error();
  std::vector<control::Complaint> complaints;
  for (script::Complaint& one : *found) {
    complaints.push_back(
        {std::move(one.resource_kind), std::move(one.id), std::move(one.path), std::move(one.text)});
  }
  return complaints;
}

class LuaValidator : public control::Validator {
 public:
  explicit LuaValidator(std::unique_ptr<script::Checker> checker) : checker_(std::move(checker)) {}

  Result<base::Value> evaluate(const std::string& path, std::string_view text, uint16_t file_index) override {
    return checker_->evaluate(path, text, file_index);
  }

  Result<std::vector<control::Complaint>> check(const config::Document& document,
                                                const control::Sources& sources) override {
    Result<std::vector<script::Complaint>> found =
        checker_->check(document, convert(sources.plugins), convert(sources.libraries));
    return convert(std::move(found));
  }

  Result<void> load(const control::Sources& sources, const std::string& attributes_json) override {
    return checker_->load(convert(sources.plugins), convert(sources.libraries), attributes_json);
  }

  Result<std::vector<control::Complaint>> check_changes(const config::Document& changes,
                                                        const config::Document& context) override {
    return convert(checker_->check_changes(changes, context));
  }

  Result<std::pair<int, std::string>> describe_schemas(const std::vector<std::string>& question) override {
    Result<script::Checker::SchemaAnswer> answer = checker_->describe_schemas(question);
    if (!answer) return answer.error();
    return std::pair(answer->status, std::move(answer->body));
  }

 private:
  std::unique_ptr<script::Checker> checker_;
};

}  // namespace

control::ValidatorFactory lua_validator_factory(const std::string& lua_root, script::CheckerOptions limits) {
  limits.lua_root = lua_root;
  return [limits]() -> Result<std::unique_ptr<control::Validator>> {
    Result<std::unique_ptr<script::Checker>> checker = script::Checker::make(limits);
    if (!checker) return checker.error();
    return std::unique_ptr<control::Validator>(std::make_unique<LuaValidator>(checker.take()));
  };
}

}  // namespace moongate::cli
