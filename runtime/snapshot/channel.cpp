// SPDX-License-Identifier: Apache-2.0
#include "snapshot/channel.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace moongate::snapshot {

using base::Result;

namespace {

constexpr uint32_t kChannelMagic = 0x314d474d;  // "MGM1"

struct Head {
  uint32_t magic;
  uint16_t type;
  uint16_t reserved;
  uint32_t worker;
  int32_t pid;
  uint64_t number;
};

/// Room for one descriptor beside a packet, aligned as the kernel wants it.
union Control {
  cmsghdr head;
  char bytes[CMSG_SPACE(sizeof(int))];
};

base::Error closed() {
  return {base::ErrorKind::kClosed, base::Side::kSelf, false,
          "the process at the other end of the channel is gone"};
}

/// Takes the descriptor that came with a packet; those of a packet that is refused are closed with it.
Descriptor take_descriptor(msghdr* packet) {
  Descriptor taken;
  for (cmsghdr* part = CMSG_FIRSTHDR(packet); part != nullptr; part = CMSG_NXTHDR(packet, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      taken = Descriptor(fd);
    }
  }
  return taken;
}

}  // namespace

Result<ChannelPair> make_channel() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    return base::io_error("a channel between processes");
  return ChannelPair{Descriptor(ends[0]), Descriptor(ends[1])};
}

Result<void> send_message(int fd, const Message& message) {
  Head head{kChannelMagic, static_cast<uint16_t>(message.type), 0, message.worker, message.pid,
            message.number};
  const size_t text_size = std::min(message.text.size(), kMessageTextMax);
  iovec pieces[2] = {{&head, sizeof head}, {const_cast<char*>(message.text.data()), text_size}};
  msghdr packet{};
  packet.msg_iov = pieces;
  packet.msg_iovlen = 2;
  Control control{};
  if (message.descriptor.is_open()) {
    packet.msg_control = control.bytes;
    packet.msg_controllen = sizeof control.bytes;
    cmsghdr* part = CMSG_FIRSTHDR(&packet);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    const int descriptor = message.descriptor.get();
    std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
  }
  while (::sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN)
      return base::Error{base::ErrorKind::kLimit, base::Side::kSelf, true, "the channel is full"};
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return closed();
    return base::io_error("sending on a channel");
  }
  return {};
}

Result<std::optional<Message>> receive_message(int fd) {
  Head head{};
  Message message;
  message.text.resize(kMessageTextMax);
  iovec pieces[2] = {{&head, sizeof head}, {message.text.data(), message.text.size()}};
  Control control{};
  msghdr packet{};
  packet.msg_iov = pieces;
  packet.msg_iovlen = 2;
  packet.msg_control = control.bytes;
  packet.msg_controllen = sizeof control.bytes;
  ssize_t size = 0;
  do {
    size = ::recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return std::optional<Message>();
  if (size < 0 && errno == ECONNRESET) return closed();
  if (size < 0) return base::io_error("receiving on a channel");
  message.descriptor = take_descriptor(&packet);
  if (size == 0) return closed();
  const bool is_known = head.type >= 1 && head.type <= kMessageTypeLast;
  if (static_cast<size_t>(size) < sizeof head || head.magic != kChannelMagic || !is_known ||
      (packet.msg_flags & MSG_TRUNC) != 0) {
    return base::invalid("a message on a channel that is none of ours");
  }
  message.text.resize(static_cast<size_t>(size) - sizeof head);
  message.text.shrink_to_fit();
  message.type = static_cast<MessageType>(head.type);
  message.worker = head.worker;
  message.pid = head.pid;
  message.number = head.number;
  return std::optional<Message>(std::move(message));
}

}  // namespace moongate::snapshot
