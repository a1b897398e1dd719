// SPDX-License-Identifier: Apache-2.0
#include "redis/reply.h"

#include <hiredis/read.h>

namespace moongate::redis {
namespace {

/// What one reply may still take. hiredis hands it to the functions that make values.
struct Allowance {
  size_t bytes = ReplyReader::kReplyMaxBytes;
  size_t items = ReplyReader::kItemsMax;
};

// The value that `task` makes: the reply itself, or the place that its array has for it.
Reply* place_of(const redisReadTask* task) {
  if (task->parent == nullptr) return new Reply();
  return &static_cast<Reply*>(task->parent->obj)->items[static_cast<size_t>(task->idx)];
}

// hiredis takes null for want of memory, and stops.
void* make_text(const redisReadTask* task, char* data, size_t size) {
  auto* allowance = static_cast<Allowance*>(task->privdata);
  if (size > allowance->bytes) return nullptr;
  allowance->bytes -= size;
  Reply* reply = place_of(task);
  reply->kind = task->type == REDIS_REPLY_ERROR    ? Reply::Kind::kError
                : task->type == REDIS_REPLY_STATUS ? Reply::Kind::kStatus
                                                   : Reply::Kind::kText;
  reply->text.assign(data, size);
  return reply;
}

void* make_array(const redisReadTask* task, int count) {
  auto* allowance = static_cast<Allowance*>(task->privdata);
  const auto size = static_cast<size_t>(count);
  if (size > allowance->items) return nullptr;
  allowance->items -= size;
  Reply* reply = place_of(task);
  reply->kind = Reply::Kind::kArray;
  reply->items.resize(size);
  return reply;
}

void* make_integer(const redisReadTask* task, long long value) {
  Reply* reply = place_of(task);
  reply->kind = Reply::Kind::kInteger;
  reply->integer = value;
  return reply;
}

void* make_nil(const redisReadTask* task) { return place_of(task); }

// Called for a whole reply only: its parts live in it.
void free_reply(void* reply) { delete static_cast<Reply*>(reply); }

redisReplyObjectFunctions functions = {make_text, make_array, make_integer, make_nil, free_reply};

base::Error fault(std::string detail) {
  return base::Error{base::ErrorKind::kInvalid, base::Side::kUpstream, false, std::move(detail)};
}

}  // namespace

bool Reply::is_error_of(std::string_view code) const {
  return is_error() && text.starts_with(code) && (text.size() == code.size() || text[code.size()] == ' ');
}

struct ReplyReader::Parts {
  ~Parts() { redisReaderFree(reader); }
  void open() {
    reader = redisReaderCreateWithFunctions(&functions);
    MG_ASSERT(reader != nullptr);
    allowance = {};
    reader->privdata = &allowance;
  }
  redisReader* reader = nullptr;
  Allowance allowance;
};

ReplyReader::ReplyReader() : parts_(std::make_unique<Parts>()) { parts_->open(); }

ReplyReader::~ReplyReader() = default;

void ReplyReader::reset() {
  redisReaderFree(parts_->reader);
  parts_->open();
}

base::Result<void> ReplyReader::feed(std::string_view bytes) {
  redisReader* reader = parts_->reader;
  if (reader->len - reader->pos + bytes.size() > kReplyMaxBytes) return fault("a reply is larger than 4 MB");
  if (redisReaderFeed(reader, bytes.data(), bytes.size()) != REDIS_OK)
    return fault(std::string("bad reply: ") + reader->errstr);
  return {};
}

base::Result<std::unique_ptr<Reply>> ReplyReader::take() {
  redisReader* reader = parts_->reader;
  void* reply = nullptr;
  if (redisReaderGetReply(reader, &reply) == REDIS_OK) {
    if (reply != nullptr) parts_->allowance = {};
    return std::unique_ptr<Reply>(static_cast<Reply*>(reply));
  }
  if (reader->err == REDIS_ERR_OOM) return fault("a reply is larger than 4 MB or has more than 65536 parts");
  return fault(std::string("bad reply: ") + reader->errstr);
}

}  // namespace moongate::redis
