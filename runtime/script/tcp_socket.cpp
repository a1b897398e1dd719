// SPDX-License-Identifier: Apache-2.0
#include "script/tcp_socket.h"

#include <algorithm>
#include <cerrno>

#include "script/host.h"

namespace moongate::script {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
char scratch[kReadBytes];  // one for the process: its bytes are copied on at once

}  // namespace

TcpSocket::TcpSocket(Host& host, SocketPool& pool)
    : WaitingSocket(host), pool_(pool), lookup_(on_addresses, this) {}

void TcpSocket::on_stream_ready(void* self) {
  auto* socket = static_cast<TcpSocket*>(self);
  switch (socket->operation_) {
    case Operation::kNone:
      return;
    case Operation::kConnect:
      socket->step_connect();
      break;
    case Operation::kHandshake:
      socket->step_handshake();
      break;
    case Operation::kSend:
      socket->step_send();
      break;
    case Operation::kReceive:
      socket->step_receive();
      break;
  }
  socket->wake_if_done();
}

void TcpSocket::fail_and_close(std::string reason) {
  close();
  fail(std::move(reason));
}

void TcpSocket::close() {
  operation_ = Operation::kNone;
  lookup_.stop();
  addresses_.reset();
  stream_.reset();
  output_.clear();
  input_.clear();
  reused_times_ = 0;
  tls_scope_.clear();
  scanned_size_ = received_size_ = skipped_size_ = 0;
}

void TcpSocket::on_deadline() {
  if (operation_ == Operation::kReceive)
    fail_reading("timeout");
  else
    fail_and_close("timeout");
}

std::string TcpSocket::keep_alive(base::Duration idle_max, size_t pool_size) {
  if (!is_open()) return "closed";
  if (!input_.is_empty()) return "unread data in buffer";
  if (!SocketPool::is_silent(*stream_)) {
    close();
    return "connection in dubious state";  // closed by the peer, or it sent what nobody asked for
  }
  pool_.give(target_.pool_name, {std::move(stream_), reused_times_, std::move(tls_scope_)}, idle_max,
             pool_size);
  close();
  return {};
}

// --- connect
// -----------------------------------------------------------------------------------------------------

void TcpSocket::start_connect(ConnectTarget target) {
  close();
  begin_operation();
  target_ = std::move(target);
  SocketPool::Connection idle = pool_.take(target_.pool_name);
  if (idle.stream) {
    stream_ = std::move(idle.stream);
    stream_->redirect(on_stream_ready, this);
    reused_times_ = idle.reused_times;
    tls_scope_ = std::move(idle.tls_scope);
    return succeed();
  }
  operation_ = Operation::kConnect;
  SocketLookup::Answer answer = lookup_.start(host_, target_.host, target_.port);
  if (answer.is_known()) take_addresses(std::move(answer));
}

void TcpSocket::on_addresses(void* self, SocketLookup::Answer answer) {
  auto* socket = static_cast<TcpSocket*>(self);
  socket->take_addresses(std::move(answer));
  socket->wake_if_done();
}

void TcpSocket::take_addresses(SocketLookup::Answer answer) {
  if (!answer.addresses) return fail_and_close(std::move(answer.failure));
  addresses_ = std::move(answer.addresses);
  next_address_ = 0;
  try_next_address();
}

// "localhost" may be two addresses of which one is served: each gets its try within the one timeout.
void TcpSocket::try_next_address() {
  while (true) {
    const net::SocketAddress& address = (*addresses_)[next_address_++];
    stream_ = std::make_unique<tls::Stream>();
    auto started = stream_->start_connect(host_.loop(), address, on_stream_ready, this);
    if (started) return;
    int fault = errno;
    if (next_address_ == addresses_->size()) return fail_and_close(describe_errno(fault));
  }
}

void TcpSocket::step_connect() {
  if (!stream_) return;  // the name is still looked up
  int fault = stream_->finish_connect();
  if (fault == 0) {
    operation_ = Operation::kNone;
    addresses_.reset();
    return succeed();
  }
  if (next_address_ == addresses_->size()) return fail_and_close(describe_errno(fault));
  try_next_address();
}

// --- TLS
// ---------------------------------------------------------------------------------------------------------

void TcpSocket::start_handshake(std::shared_ptr<const tls::ClientContext> context, std::string server_name) {
  begin_operation();
  if (!is_open()) return fail("closed");
  std::string scope = context->key() + server_name;
  if (stream_->session()) {
    if (scope == tls_scope_) return succeed();
    return fail_and_close("the connection was verified for another server, or in another way");
  }
  if (!input_.is_empty()) return fail_and_close("unread data in buffer");
  auto session =
      tls::Session::connect(stream_->socket(), std::move(context), {std::move(server_name), nullptr});
  if (!session) return fail_and_close("no memory for a TLS handshake");
  stream_->start_tls(std::move(session));
  tls_scope_ = std::move(scope);
  operation_ = Operation::kHandshake;
  step_handshake();
}

void TcpSocket::step_handshake() {
  const net::IoStatus status = stream_->handshake();
  if (status == net::IoStatus::kBlocked) return;
  if (status != net::IoStatus::kOk) return fail_and_close("handshake failed: " + describe_fault());
  operation_ = Operation::kNone;
  succeed();
}

// What the last call on the stream failed of.
std::string TcpSocket::describe_fault() const {
  const tls::Session* session = stream_->session();
  return session ? session->describe_failure() : describe_errno(errno);
}

// --- send
// --------------------------------------------------------------------------------------------------------

void TcpSocket::start_send(std::string_view data) {
  begin_operation();
  if (!is_open()) return fail("closed");
  operation_ = Operation::kSend;
  sent_bytes_ = data.size();
  while (!data.empty() && stream_->may_write()) {
    net::IoResult result = stream_->write(data.data(), data.size());
    if (result.status == net::IoStatus::kError) return fail_and_close(describe_fault());
    data.remove_prefix(result.size);
  }
  output_.append(data);  // the string may be collected before the peer takes the rest
  if (data.empty()) step_send();
}

void TcpSocket::step_send() {
  while (!output_.is_empty() && stream_->may_write()) {
    std::string_view rest = output_.view();
    net::IoResult result = stream_->write(rest.data(), rest.size());
    if (result.status == net::IoStatus::kError) return fail_and_close(describe_fault());
    output_.consume(result.size);
  }
  if (!output_.is_empty()) return;
  operation_ = Operation::kNone;
  succeed();
}

// --- receive
// -----------------------------------------------------------------------------------------------------

void TcpSocket::start_receive(Reading reading) {
  begin_operation();
  reading_ = std::move(reading);
  scanned_size_ = received_size_ = skipped_size_ = 0;
  is_pattern_reached_ = false;
  if (!is_open()) return fail("closed");
  operation_ = Operation::kReceive;
  step_receive();
}

size_t TcpSocket::input_max() const {
  return reading_.kind == Reading::Kind::kLine ? kSocketLineMaxBytes : kSocketReadMaxBytes;
}

void TcpSocket::step_receive() {
  while (!find_wanted()) {
    if (reading_.kind != Reading::Kind::kSize && input_.size() > input_max()) {
      return fail_and_close("more than " + std::to_string(input_max()) + " bytes without an end");
    }
    if (!stream_->may_read()) return;
    net::IoResult result = stream_->read(scratch, kReadBytes);
    if (result.status == net::IoStatus::kBlocked) return;
    if (result.status == net::IoStatus::kError) return fail_reading(describe_fault());
    if (result.status == net::IoStatus::kOk) {
      input_.append({scratch, result.size});
    } else if (reading_.kind == Reading::Kind::kAll) {
      stream_.reset();
      return end_with(input_.size(), 0);
    } else {
      return fail_reading("closed");
    }
  }
}

// What came so far is the partial result. After a timeout the rest can still be read.
void TcpSocket::fail_reading(std::string reason) {
  operation_ = Operation::kNone;
  received_size_ = input_.size();
  skipped_size_ = 0;
  if (reason != "timeout") stream_.reset();
  fail(std::move(reason));
}

void TcpSocket::end_with(size_t data_size, size_t skipped_size) {
  operation_ = Operation::kNone;
  received_size_ = data_size;
  skipped_size_ = skipped_size;
  succeed();
}

void TcpSocket::drop_received() {
  input_.consume(received_size_ + skipped_size_);
  received_size_ = skipped_size_ = 0;
}

bool TcpSocket::find_wanted() {
  std::string_view input = input_.view();
  switch (reading_.kind) {
    case Reading::Kind::kAll:
      return false;
    case Reading::Kind::kLine:
      return find_line(input);
    case Reading::Kind::kUntil:
      return find_pattern(input);
    case Reading::Kind::kSize:
      if (input.size() < reading_.size) return false;
      end_with(reading_.size, 0);
      return true;
    case Reading::Kind::kAny:
      if (input.empty()) return false;
      end_with(std::min(input.size(), reading_.size), 0);
      return true;
  }
  return false;
}

bool TcpSocket::find_line(std::string_view input) {
  size_t end = input.find('\n', scanned_size_);
  scanned_size_ = input.size();
  if (end == std::string_view::npos || end > kSocketLineMaxBytes) return false;
  end_with(end, 1);
  return true;
}

// With a size, up to that many bytes are the outcome as soon as none of them can belong to the pattern any
// more.
bool TcpSocket::find_pattern(std::string_view input) {
  const std::string& pattern = reading_.pattern;
  size_t place = input.find(pattern, scanned_size_);
  if (place != std::string_view::npos && (reading_.size == 0 || place <= reading_.size)) {
    is_pattern_reached_ = true;
    size_t data_size = reading_.is_inclusive ? place + pattern.size() : place;
    end_with(data_size, place + pattern.size() - data_size);
    return true;
  }
  size_t begun = place;  // where the pattern begins, or may begin with what is still to come
  if (place == std::string_view::npos) {
    begun = input.size() - std::min(input.size(), pattern.size() - 1);
    scanned_size_ = std::max(scanned_size_, begun);
    while (begun < input.size() && !pattern.starts_with(input.substr(begun))) begun++;
  }
  if (reading_.size == 0 || begun < reading_.size) return false;
  end_with(reading_.size, 0);
  return true;
}

}  // namespace moongate::script
