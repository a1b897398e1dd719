// SPDX-License-Identifier: Apache-2.0
// What control, the workers and the supervisor say to each other, over SOCK_SEQPACKET socket pairs: one
// packet is one message, and a descriptor may travel with it. Plain functions on a descriptor; who waits for
// it is each process's own business. Here because worker/ and control/ both need it and neither may include
// the other.
//
//   control                worker
//      │ ◄──── kHello ────── │  at its start, and whenever kAskHello comes
//      │ ───── kPrepare ───► │  with the snapshot's memfd: build, do not serve
//      │ ◄── kReady/kRefused │
//      │ ───── kSwitch ────► │  or kAbandon: forget what was prepared
//      │ ◄──── kSwitched ─── │
//
// A worker keeps at most one prepared snapshot: a second kPrepare, like kAskHello, drops the one before it.
// kSwitch and kAbandon with a number that is not prepared are ignored; so are answers whose number nobody
// waits for. When a control process dies, the supervisor hands the same socket to the next one, which begins
// with kAskHello.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "snapshot/descriptor.h"

namespace moongate::snapshot {

enum class MessageType : uint16_t {
  // control to worker
  kPrepare = 1,  // number, descriptor
  kSwitch,       // number
  kAbandon,      // number
  kAskHello,
  kStaples,     // descriptor: sealed memfd, see tls::Staples
  kIssued,      // descriptor: sealed memfd, see tls::Issued
  kChallenges,  // number; text: see proxy::AcmeChallenges
  // worker to control
  kHello,            // worker, pid, number served (0: none)
  kReady,            // number
  kRefused,          // number, text: see refusal.h
  kSwitched,         // number
  kChallengesTaken,  // number: they are answered from now on
  // supervisor to control
  kWorkerStarted,  // worker, pid, number: how often it was restarted; text: how the one before it ended;
                   // descriptor: control's end
  kWorkerGone,     // worker, text: how it ended
  kReload,         // somebody sent SIGHUP
  kReopenLogs,
  // control to supervisor
  kServing,      // every worker serves the first snapshot
  kStartFailed,  // no worker can serve any snapshot; text: the reason
  kStop,         // number: 1 at once, 0 when the requests under way have ended
  kReopenAllLogs,
};
inline constexpr uint16_t kMessageTypeLast = static_cast<uint16_t>(MessageType::kReopenAllLogs);

struct Message {
  MessageType type{};
  uint32_t worker = 0;  // index
  int32_t pid = 0;
  uint64_t number = 0;
  std::string text;       // cut at kMessageTextMax when sent
  Descriptor descriptor;  // ours to keep when received; sending does not close it
};

inline constexpr size_t kMessageTextMax = 60'000;

struct ChannelPair {
  Descriptor first;
  Descriptor second;
};
/// Two connected ends, non-blocking, closed on exec.
base::Result<ChannelPair> make_channel();

/// Sends one message. kLimit when the other side has not read for so long that the socket is full; kClosed
/// when it is gone.
base::Result<void> send_message(int fd, const Message& message);

/// The next message, or nothing when there is none yet. kClosed when the other side is gone, kInvalid for
/// what is no message of ours.
base::Result<std::optional<Message>> receive_message(int fd);

}  // namespace moongate::snapshot
