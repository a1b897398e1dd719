// SPDX-License-Identifier: Apache-2.0
#include "proxy/answer_coder.h"

#include <algorithm>

#include "base/log.h"
#include "proxy/answer_length.h"
#include "proxy/steps.h"

namespace moongate::proxy {

using exchange::Exchange;
using http::Field;
using http::FieldId;
using Flush = http::Encoder::Flush;

namespace {

constexpr size_t kSliceBytes = 16 * 1024;

bool is_transformable(const http::FieldList& fields) {
  for (const Field& field : fields) {
    if (field.id == FieldId::kCacheControl && http::has_list_token(field.value, "no-transform")) return false;
    if (field.id == FieldId::kContentEncoding && !http::equals_ignoring_case(field.value, "identity"))
      return false;
  }
  return !fields.find("Content-Range");
}

}  // namespace

bool AnswerCoder::is_bodiless() const {
  return exchange_.request.method == http::Method::kHead || exchange_.response.status == 304;
}

bool AnswerCoder::is_codable(uint64_t length, bool is_whole) const {
  const http::ResponseHead& response = exchange_.response;
  uint16_t status = response.status;
  if (status < 200 || status == 204 || status == 206) return false;
  if (is_bodiless())
    is_whole = false;  // what counts is how long the body of a GET would be
  else if (response.body == http::BodyKind::kNone)
    return false;
  if (const auto said = find_length(response.fields); said && !is_whole) {
    length = *said;
    is_whole = true;
  }
  if (is_whole && (length == 0 || length < exchange_.coding.length_min_bytes)) return false;
  return is_transformable(response.fields);
}

// The same text in other bytes: equal as W/ has it, and no longer byte for byte.
void AnswerCoder::weaken_tag() {
  http::FieldList& fields = exchange_.response.fields;
  const Field* tag = fields.find(FieldId::kETag);
  if (!tag || tag->value.substr(0, 2) == "W/") return;
  char* weak = exchange_.arena.allocate_chars(tag->value.size() + 2);
  size_t size = tag->value.copy(weak + 2, tag->value.size()) + 2;
  weak[0] = 'W';
  weak[1] = '/';
  fields.set("ETag", {weak, size});
}

// Whatever describes the bytes of the body no longer holds.
void AnswerCoder::change_head(http::Coding coding) {
  http::FieldList& fields = exchange_.response.fields;
  fields.remove(FieldId::kContentLength);
  for (std::string_view name : {"Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"})
    fields.remove(name);
  fields.set("Content-Encoding", http::coding_name(coding));
  weaken_tag();
}

bool AnswerCoder::begin(uint64_t length, bool is_whole) {
  http::CodingPlan plan = exchange_.coding;
  bool is_codable_now = is_codable(length, is_whole);
  exchange_.coding = {};
  if (!is_codable_now) return false;
  if (is_bodiless()) {  // it speaks of the answer that this client would get, or has
    weaken_tag();
    return false;
  }
  encoder_ = context_.encoders.checkout(plan.options);
  if (!encoder_) {
    if (!context_.is_coding_refused)
      MG_LOG(kWarn) << "answers go uncoded: coders take all of client.coding_memory_mb ("
                    << (context_.encoders.memory_bytes() >> 20) << " MB in use)";
    context_.is_coding_refused = true;
    return false;
  }
  context_.is_coding_refused = false;
  piece_max_bytes_ = plan.piece_max_bytes;
  change_head(plan.options.coding);
  exchange_.is_coded = true;
  return true;
}

void AnswerCoder::take(const iovec* pieces, int count, bool is_last) {
  is_last_ = is_last;
  if (count != 1 || !uncoded_.is_empty()) {
    for (int i = 0; i < count; i++)
      uncoded_.append({static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len});
    return go_on();
  }
  std::string_view bytes(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len);
  if (!work(&bytes)) return;
  uncoded_.append(bytes);
  plan_next_turn();
}

bool AnswerCoder::on_client_drained() {
  if (!has_work()) return false;
  later_.schedule(context_.loop);
  return true;
}

// What came before goes first; when there is none of it, the turn's last word is a flush.
void AnswerCoder::go_on() {
  uint64_t serial = exchange_.serial;
  if (has_work()) {
    std::string_view bytes = uncoded_.view();
    if (!work(&bytes)) return;
    uncoded_.consume(uncoded_.size() - bytes.size());
    plan_next_turn();
  } else {
    if (has_unflushed_ && !encode({}, Flush::kPiece)) return;
    has_unflushed_ = false;
    if ((!coded_.is_empty() || !exchange_.is_head_sent) && !send(false)) return;
  }
  if (exchange_.serial == serial && has_room()) proxy::on_client_drained(context_, exchange_);
}

// Codes a turn's worth of `bytes` and takes it off the front. False when the exchange is over with this.
bool AnswerCoder::work(std::string_view* bytes) {
  size_t budget = http::coding_turn_bytes(encoder_->options());
  bool is_ended = false;
  while (!is_ended && budget > 0 && (is_last_ || !bytes->empty()) && !exchange_.client->is_blocked()) {
    size_t size = std::min({bytes->size(), budget, kSliceBytes});
    is_ended = is_last_ && size == bytes->size();
    if (!encode(bytes->substr(0, size), is_ended ? Flush::kEnd : Flush::kNone)) return false;
    bytes->remove_prefix(size);
    budget -= size;
    has_unflushed_ = true;
    if ((is_ended || coded_.size() >= piece_max_bytes_) && !send(is_ended)) return false;
  }
  return true;
}

// A client that is behind calls when it has caught up.
void AnswerCoder::plan_next_turn() {
  if (!has_work() || !exchange_.client->is_blocked()) later_.schedule(context_.loop);
}

// False when the answer had to be broken off.
bool AnswerCoder::encode(std::string_view bytes, Flush flush) {
  if (encoder_->encode(bytes, flush, &coded_)) return true;
  MG_LOG(kError) << "coding an answer as " << http::coding_name(encoder_->options().coding) << " failed";
  exchange_.fail(500, "the answer could not be coded");
  break_answer(context_, exchange_);
  return false;
}

// False when the exchange is over with this.
bool AnswerCoder::send(bool is_last) {
  uint64_t serial = exchange_.serial;
  base::ByteQueue coded;
  coded.swap(coded_);
  iovec piece{const_cast<char*>(coded.view().data()), coded.size()};
  int count = coded.is_empty() ? 0 : 1;
  if (is_last) cancel();  // the exchange may end below this, and another begin
  if (exchange_.is_head_sent)
    exchange_.client->send_body(exchange_, &piece, count, is_last);
  else
    exchange_.client->send_head(exchange_, &piece, count, is_last);
  return !is_last && exchange_.serial == serial;
}

void AnswerCoder::cancel() {
  later_.cancel();
  if (encoder_) context_.encoders.checkin(std::move(encoder_));
  uncoded_.clear();
  coded_.clear();
  is_last_ = has_unflushed_ = false;
}

}  // namespace moongate::proxy
