// SPDX-License-Identifier: Apache-2.0
// folder: proxy
// A client that says any frames, at any moment, and a node that answers anything, with a real data path
// between them. The input is a script of steps: a letter, a size of two bytes, and as many bytes.
//
//   B  bytes as they are      H  a head: number of the stream, flags, then path and fields as text   D  a
//   body: the same A  any frame: type, flags, number, payload     F  the client's FIN   X  it closes   R  it
//   stops or starts reading N  the newest connection to the node sends, O an older one does, E the node
//   closes, G it stops or starts reading
//
// What must hold: the node sees requests and nothing else, no more of them than the client opened streams;
// frames to the client are whole; and when both have gone, nothing is left waiting.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "data_path.h"
#include "http/http2_session.h"
#include "http2_frames.h"

using namespace moongate;
using namespace moongate::fuzz;

namespace {

// A head whose first line is method and path; the others are `name value`.
std::string make_block(std::string_view text) {
  std::string block;
  bool is_first = true;
  while (!text.empty() || is_first) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view name = line.substr(0, space);
    const std::string_view value = line.substr(std::min(space + 1, line.size()));
    if (is_first)
      block += literal(":method", name) + literal(":scheme", "http") + literal(":authority", "a") +
               literal(":path", value);
    else
      block += literal(name, value);
    is_first = false;
  }
  return block;
}

class Frames final : public fuzz::Play {
 public:
  explicit Frames(fuzz::World& world) : Play(world, {false, false, tls::Protocols::kEither}) {
    say(std::string(http::kHttp2Preface) + make_frame(kSettings, 0, 0, {}));
  }

  void run(std::string_view script) {
    constexpr size_t kStepHeadBytes = 3;
    while (script.size() >= kStepHeadBytes) {
      const char step = script[0];
      const auto wanted =
          static_cast<size_t>(static_cast<uint8_t>(script[1]) << 8 | static_cast<uint8_t>(script[2]));
      const size_t size = std::min(wanted, script.size() - kStepHeadBytes);
      act(step, std::string(script.substr(kStepHeadBytes, size)));
      script.remove_prefix(kStepHeadBytes + size);
      turn();
    }
    for (int i = 0; i < 3; i++) turn();
  }
  void check() const {
    if (!has_upgraded_) MG_ASSERT(count_heard() <= count_heads() + closed_);
    std::string_view answers = client_->received;
    while (answers.size() >= kFrameHeadBytes) {
      const size_t size = size_of(answers);
      MG_ASSERT(size <= 16384);
      answers.remove_prefix(std::min(kFrameHeadBytes + size, answers.size()));
    }
  }

 private:
  static size_t size_of(std::string_view frame) {
    return static_cast<size_t>(static_cast<uint8_t>(frame[0]) << 16 | static_cast<uint8_t>(frame[1]) << 8 |
                               static_cast<uint8_t>(frame[2]));
  }
  // HEADERS frames among what was said; each opens a stream at most.
  size_t count_heads() const {
    size_t count = 0;
    std::string_view rest = std::string_view(said_).substr(http::kHttp2Preface.size());
    while (rest.size() >= kFrameHeadBytes) {
      count += rest[3] == kHeaders ? 1 : 0;
      rest.remove_prefix(std::min(kFrameHeadBytes + size_of(rest), rest.size()));
    }
    return count;
  }
  void say(const std::string& bytes) {
    if (has_finished_) return;
    said_ += bytes;
    client_->send(bytes);
  }
  void act(char step, const std::string& bytes) {
    const auto byte = [&bytes](size_t i) {
      return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : uint8_t{0};
    };
    const auto after = [&bytes](size_t i) {
      return std::string_view(bytes).substr(std::min(i, bytes.size()));
    };
    if (step == 'B') say(bytes);
    if (step == 'H') say(make_frame(kHeaders, byte(1), byte(0), make_block(after(2))));
    if (step == 'D') say(make_frame(kData, byte(1), byte(0), after(2)));
    if (step == 'A') say(make_frame(byte(0), byte(1), byte(2), after(3)));
    act_as_node(step, bytes);
    if (step == 'R') client_->is_reading = !client_->is_reading;
    if (step == 'F') client_->finish_sending();
    if (step == 'X') client_->close();
    if (step == 'F' || step == 'X') has_finished_ = true;
  }

  std::string said_;
  bool has_finished_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::World world;
  Frames frames(world);
  frames.run(std::string_view(reinterpret_cast<const char*>(data), size));
  frames.end();
  frames.check();
  return 0;
}
