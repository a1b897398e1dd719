// SPDX-License-Identifier: Apache-2.0
#include "net/udp.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace moongate::net {

namespace {

constexpr size_t kBatch = 16;
constexpr int kSocketBufferBytes = 2 << 20;
constexpr size_t kControlBytes = 128;

/// The kernel says to which of our addresses a packet came, which a socket on all of them cannot know
/// otherwise.
void ask_for_details(int fd, int family) {
  const int on = 1;
  if (family == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
    const int probe = IPV6_PMTUDISC_PROBE;
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe);
  } else {
    ::setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    const int probe = IP_PMTUDISC_PROBE;  // packets are never cut: QUIC finds the path's size itself
    ::setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
  }
}

/// Reads what came along with a packet.
void read_details(msghdr& message, Datagram* out) {
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(one), sizeof info);
      reinterpret_cast<sockaddr_in&>(out->local.storage).sin_addr = info.ipi_addr;
    } else if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(one), sizeof info);
      reinterpret_cast<sockaddr_in6&>(out->local.storage).sin6_addr = info.ipi6_addr;
    } else if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_TOS) {
      out->congestion = *CMSG_DATA(one) & 3;
    } else if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_TCLASS) {
      int value = 0;
      std::memcpy(&value, CMSG_DATA(one), sizeof value);
      out->congestion = static_cast<uint8_t>(value & 3);
    }
  }
}

/// Builds the control messages of one send.
class ControlWriter {
 public:
  explicit ControlWriter(msghdr* message) : message_(message) {
    message->msg_control = bytes_.data();
    message->msg_controllen = 0;
  }
  template <class T>
  void add(int level, int type, const T& value) {
    const size_t at = message_->msg_controllen;
    MG_ASSERT(at + CMSG_SPACE(sizeof value) <= bytes_.size());
    auto* one = reinterpret_cast<cmsghdr*>(bytes_.data() + at);
    one->cmsg_level = level;
    one->cmsg_type = type;
    one->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(one), &value, sizeof value);
    message_->msg_controllen = at + CMSG_SPACE(sizeof value);
  }

 private:
  msghdr* message_;
  alignas(cmsghdr) std::array<char, kControlBytes> bytes_{};
};

}  // namespace

base::Result<int> open_datagram_socket(SocketAddress* address) {
  const std::string what = "cannot receive datagrams on " + address->text();
  const int fd = ::socket(address->family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::io_error(what);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kSocketBufferBytes, sizeof kSocketBufferBytes);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof kSocketBufferBytes);
  ask_for_details(fd, address->family());
  socklen_t size = sizeof address->storage;
  if (::bind(fd, address->raw(), address->size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address->storage), &size) != 0) {
    base::Error error = base::io_error(what);
    ::close(fd);
    return error;
  }
  address->size = size;
  return fd;
}

base::Result<void> steer_by_connection_id(int fd, uint32_t count) {
  // A long header has the connection ID behind its version and a length, a short one behind its first byte. A
  // packet that is too short for that goes to the first socket, which drops it.
  std::array<sock_filter, 7> program{{
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, 0},
      {BPF_JMP | BPF_JSET | BPF_K, 0, 2, 0x80},
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, 6},
      {BPF_JMP | BPF_JA, 0, 0, 1},
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, 1},
      {BPF_ALU | BPF_MOD | BPF_K, 0, 0, count},
      {BPF_RET | BPF_A, 0, 0, 0},
  }};
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0)
    return base::io_error("packets cannot be steered to workers");
  return {};
}

void read_datagrams(int fd, const SocketAddress& bound, int batches_max,
                    const std::function<void(const Datagram&)>& take) {
  struct Slot {
    sockaddr_storage peer;
    iovec piece;
    alignas(cmsghdr) char control[kControlBytes];
    char payload[kDatagramMaxBytes];
  };
  static thread_local std::array<Slot, kBatch> slots;
  std::array<mmsghdr, kBatch> messages;
  for (int batch = 0; batch < batches_max; batch++) {
    for (size_t i = 0; i < kBatch; i++) {
      Slot& slot = slots[i];
      slot.piece = {slot.payload, sizeof slot.payload};
      messages[i].msg_hdr = {&slot.peer, sizeof slot.peer, &slot.piece, 1, slot.control, sizeof slot.control,
                             0};
      messages[i].msg_len = 0;
    }
    const int count = ::recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return;
    for (size_t i = 0; i < static_cast<size_t>(count); i++) {
      msghdr& head = messages[i].msg_hdr;
      if ((head.msg_flags & MSG_TRUNC) != 0 || messages[i].msg_len == 0) continue;
      Datagram datagram;
      std::memcpy(&datagram.peer.storage, head.msg_name, head.msg_namelen);
      datagram.peer.size = head.msg_namelen;
      datagram.local = bound;
      datagram.payload = {slots[i].payload, messages[i].msg_len};
      read_details(head, &datagram);
      take(datagram);
    }
    if (static_cast<size_t>(count) < kBatch) return;
  }
}

namespace {

/// `segment`: 0 for one packet.
bool send_message(int fd, const SocketAddress& local, const SocketAddress& peer, uint8_t congestion,
                  std::string_view payload, uint16_t segment) {
  iovec piece{const_cast<char*>(payload.data()), payload.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(peer.raw());
  message.msg_namelen = peer.size;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  ControlWriter control(&message);
  if (local.family() == AF_INET6) {
    in6_pktinfo info{};
    info.ipi6_addr = reinterpret_cast<const sockaddr_in6&>(local.storage).sin6_addr;
    control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
    control.add(IPPROTO_IPV6, IPV6_TCLASS, static_cast<int>(congestion));
  } else {
    in_pktinfo info{};
    info.ipi_spec_dst = reinterpret_cast<const sockaddr_in&>(local.storage).sin_addr;
    control.add(IPPROTO_IP, IP_PKTINFO, info);
    control.add(IPPROTO_IP, IP_TOS, static_cast<int>(congestion));
  }
  if (segment > 0) control.add(SOL_UDP, UDP_SEGMENT, segment);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace

bool send_datagrams(int fd, const SocketAddress& local, const SocketAddress& peer, uint8_t congestion,
                    std::string_view payload, size_t segment) {
  static thread_local bool can_segment = true;  // else the kernel, or a device, does not know how
  const bool is_segmented = payload.size() > segment && can_segment;
  if (is_segmented) {
    if (send_message(fd, local, peer, congestion, payload, static_cast<uint16_t>(segment))) return true;
    if (errno != EIO && errno != EINVAL && errno != ENOPROTOOPT) return false;
  }
  bool is_sent = true;
  for (size_t at = 0; at < payload.size(); at += segment) {
    is_sent &= send_message(fd, local, peer, congestion, payload.substr(at, segment), 0);
    if (!is_sent && errno != EMSGSIZE) return false;  // else only this one is too large for the path
  }
  if (is_segmented && is_sent) can_segment = false;  // one by one it works
  return is_sent;
}

}  // namespace moongate::net
