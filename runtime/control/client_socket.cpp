// SPDX-License-Identifier: Apache-2.0
#include "control/client_socket.h"

#include <sys/socket.h>

#include <cerrno>

namespace moongate::control {

ClientSocket::ClientSocket(net::EventLoop& loop, int fd, uint64_t id, Limits limits, Callbacks callbacks)
    : loop_(loop),
      socket_(fd),
      id_(id),
      limits_(limits),
      callbacks_(std::move(callbacks)),
      deadline_(on_deadline, this),
      over_(
          [](void* self) {
            static_cast<ClientSocket*>(self)->callbacks_.on_over(*static_cast<ClientSocket*>(self));
          },
          this) {
  read_watch_.start(loop_, fd, net::FdWatch::Interest::kRead, on_readable, this);
  deadline_.start(loop_.timers(), limits_.deadline);
}

void ClientSocket::wait_for_owner() { deadline_.stop(); }

void ClientSocket::send(std::string_view bytes, bool is_last) {
  if (!socket_.is_open()) return;
  is_last_ = is_last_ || is_last;
  output_.append(bytes);
  deadline_.start(loop_.timers(), limits_.deadline);
  flush();
}

void ClientSocket::on_readable(void* self, net::Readiness) { static_cast<ClientSocket*>(self)->read(); }

void ClientSocket::read() {
  char buffer[16384];
  const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0 && is_last_) return;  // nobody asked for more
  if (size <= 0 || input_.size() + static_cast<size_t>(size) > limits_.input_max_bytes) return end();
  input_.append(buffer, static_cast<size_t>(size));
  callbacks_.on_input(*this);
}

void ClientSocket::on_writable(void* self, net::Readiness) { static_cast<ClientSocket*>(self)->flush(); }

void ClientSocket::flush() {
  while (!output_.is_empty()) {
    const std::string_view bytes = output_.view();
    const ssize_t size = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) {
      if (!write_watch_.is_running())
        write_watch_.start(loop_, socket_.get(), net::FdWatch::Interest::kWrite, on_writable, this);
      return;
    }
    if (size < 0) return end();
    output_.consume(static_cast<size_t>(size));
  }
  write_watch_.stop();
  if (!is_last_) return;
  // What the peer still has under way would turn our FIN into an RST and eat the answer, so it is read until
  // it leaves.
  ::shutdown(socket_.get(), SHUT_WR);
}

void ClientSocket::on_deadline(void* self) { static_cast<ClientSocket*>(self)->end(); }

void ClientSocket::end() {
  read_watch_.stop();
  write_watch_.stop();
  deadline_.stop();
  socket_.reset();
  over_.schedule(loop_);
}

}  // namespace moongate::control
