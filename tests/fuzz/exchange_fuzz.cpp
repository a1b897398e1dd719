// SPDX-License-Identifier: Apache-2.0
// folder: proxy
// A client and a node that say anything, at any moment, to a real data path between them. The input is a
// script: 0xff and a letter begin a step, what follows is what that step sends.
//
//   C  the client sends       N  the newest connection to the node sends    O  an older one does
//   F  the client's FIN       E  the node closes                            R  the client stops or starts
//   reading T  a turn of the loop     X  the client closes                          G  the node stops or
//   starts reading
//
// What must hold: the node sees no request that a naive reader does not find in the client's bytes, and
// nothing else than requests; the client is sent answers, one for each request, and at most one refusal; and
// when both have gone, nothing is left waiting.
#include <cstdint>
#include <string>
#include <string_view>

#include "data_path.h"

using namespace moongate;

namespace {

class Exchange final : public fuzz::Play {
 public:
  explicit Exchange(fuzz::World& world) : Play(world, {}) {}

  void run(std::string_view script) {
    while (!script.empty()) {
      char step = script[0];
      script.remove_prefix(1);
      size_t end = std::min(script.find('\xff'), script.size());
      act(step, std::string(script.substr(0, end)));
      script.remove_prefix(std::min(end + 1, script.size()));
      turn();
    }
    for (int i = 0; i < 3; i++) turn();
  }
  void check() const {
    if (has_upgraded_) return;  // bytes of a tunnel are nobody's messages
    const naive::Requests sent = naive::read_requests(said_);
    MG_ASSERT(naive::take_answers(sent.heads, client_->received) != naive::Reading::kBroken);
    // A request that a kept connection swallowed as it closed may be sent once more on another.
    MG_ASSERT(count_heard() <= sent.heads.size() + closed_);
  }

 private:
  void act(char step, const std::string& bytes) {
    if (step == 'C' && !has_finished_) said_ += bytes;
    if (step == 'C' && !has_finished_) client_->send(bytes);
    act_as_node(step, bytes);
    if (step == 'R') client_->is_reading = !client_->is_reading;
    if (step == 'F') client_->finish_sending();
    if (step == 'X') client_->close();
    if (step == 'F' || step == 'X') has_finished_ = true;
  }

  std::string said_;  // by the client
  bool has_finished_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::World world;
  Exchange exchange(world);
  exchange.run(std::string_view(reinterpret_cast<const char*>(data), size));
  exchange.end();
  exchange.check();
  return 0;
}
