// SPDX-License-Identifier: Apache-2.0
// folder: tls
// A server that knows a few names is sent arbitrary bytes in place of a handshake. The first byte says
// whether HTTP/2 is offered and how many bytes come at a time.
//
// What must hold: nobody gets in without having the keys; what the server says is whole TLS records; the name
// it takes for the client's is a name, in lower case, and the certificate is the one for it; and none of this
// depends on the pieces in which the bytes came.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "tls/stream.h"
#include "tls/ticket_keys.h"

namespace {

using namespace moongate;

// Made for this file, and of no use elsewhere.
constexpr char kCertificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBiDCCAS6gAwIBAgIUWOBi5fWEBN5ax+tZmBxF0KHaKYIwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjExNjQ5MzlaGA8yMTI2MTAyODE2NDkz\n"
    "OVowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAlr\n"
    "Ie7tjy3TZ5YtuVkj3+2n/CsyLWMx8Ej2Ngw9PZySg6Pw7PNYRCwLlBUMxgUqGYI7\n"
    "Xe1msLTCHk+TqIbGmhmjZjBkMB0GA1UdDgQWBBTaI1RunECBCKMEeNX5JFwyc1jT\n"
    "gTAfBgNVHSMEGDAWgBTaI1RunECBCKMEeNX5JFwyc1jTgTAPBgNVHRMBAf8EBTAD\n"
    "AQH/MBEGA1UdEQQKMAiCBmEudGVzdDAKBggqhkjOPQQDAgNIADBFAiEAwoSji9NB\n"
    "YgbOBFsmnvIJTzNKsQYi0cEzAp66jxO/sJ4CIDKWtUyvRgVZD1Tkq5gHCpR+RfXx\n"
    "Fjov5VX5WWMJQphW\n"
    "-----END CERTIFICATE-----\n";
constexpr char kKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWCC8PAQZirLBsZKo\n"
    "FRAKBRLyGycg0Ep8kCwvlYbv4sGhRANCAAQJayHu7Y8t02eWLblZI9/tp/wrMi1j\n"
    "MfBI9jYMPT2ckoOj8OzzWEQsC5QVDMYFKhmCO13tZrC0wh5Pk6iGxpoZ\n"
    "-----END PRIVATE KEY-----\n";

std::shared_ptr<const tls::ServerNames> make_names() {
  tls::TicketKeys::of_process().start(base::Clock::wall());
  auto names = std::make_shared<tls::ServerNames>();
  for (const char* name : {"a.test", "*.w.test"}) {
    tls::ServerOptions options;
    options.id = name;
    options.certificates = {{kCertificate, kKey}};
    if (options.id == "a.test") options.client_ca_pem = kCertificate;
    names->add(name, tls::ServerContext::make(options).take());
  }
  return names;
}

struct Outcome {
  net::IoStatus status = net::IoStatus::kBlocked;
  std::string server_name;
  const tls::ServerContext* context = nullptr;
  std::string answer;
};

class Server {
 public:
  Server() : loop_(net::EventLoop::make().take()), names_(make_names()) {}
  const tls::ServerNames& names() const { return *names_; }

  Outcome play(std::string_view bytes, tls::Protocols offered, size_t piece) {
    std::array<int, 2> fds{};
    MG_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    Outcome outcome;
    {
      tls::Stream stream;
      stream.adopt(
          *loop_, fds[0], [](void*) {}, nullptr);
      stream.start_tls(tls::Session::accept(stream.socket(), names_, {}, offered));
      for (size_t at = 0; at < bytes.size() && outcome.status == net::IoStatus::kBlocked; at += piece) {
        const std::string_view part = bytes.substr(at, piece);
        MG_ASSERT(::write(fds[1], part.data(), part.size()) == static_cast<ssize_t>(part.size()));
        turn();
        outcome.status = stream.handshake();
      }
      outcome.server_name = stream.session()->server_name();
      outcome.context = stream.session()->context();
    }
    char buffer[64 * 1024];
    const ssize_t got = ::read(fds[1], buffer, sizeof buffer);
    if (got > 0) outcome.answer.assign(buffer, static_cast<size_t>(got));
    ::close(fds[1]);
    return outcome;
  }

 private:
  void turn() {
    pulse_.start(loop_->timers(), base::Duration(0));
    loop_->run_once();
  }
  std::unique_ptr<net::EventLoop> loop_;
  net::Timer pulse_{[](void*) {}, nullptr};
  std::shared_ptr<const tls::ServerNames> names_;
};

void check_records(std::string_view answer) {
  constexpr size_t kHeadBytes = 5;
  constexpr char kAlert = 21;
  while (!answer.empty()) {
    MG_ASSERT(answer.size() >= kHeadBytes && answer[0] >= 20 && answer[0] <= 23);
    MG_ASSERT(answer[1] == 3 || answer[0] == kAlert);  // whoever claims another version is told so in that
    const size_t size = static_cast<size_t>(static_cast<unsigned char>(answer[3])) << 8 |
                        static_cast<unsigned char>(answer[4]);
    MG_ASSERT(size > 0 && answer.size() - kHeadBytes >= size);
    answer.remove_prefix(kHeadBytes + size);
  }
}

void check(const Server& server, const Outcome& outcome) {
  MG_ASSERT(outcome.status == net::IoStatus::kBlocked || outcome.status == net::IoStatus::kError);
  MG_ASSERT(outcome.server_name.size() <= 255);
  MG_ASSERT(std::none_of(outcome.server_name.begin(), outcome.server_name.end(),
                         [](char c) { return c == 0 || (c >= 'A' && c <= 'Z'); }));
  if (outcome.context != nullptr)
    MG_ASSERT(outcome.context == server.names().find(outcome.server_name).get());
  check_records(outcome.answer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Server server;
  constexpr size_t kBytesMax = 64 * 1024;  // what the socket takes at once
  if (size < 2 || size > kBytesMax) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const tls::Protocols offered = (data[0] & 1) != 0 ? tls::Protocols::kEither : tls::Protocols::kHttp1;
  const Outcome whole = server.play(bytes, offered, bytes.size());
  check(server, whole);
  const Outcome pieces = server.play(bytes, offered, std::max<size_t>(1 + (data[0] >> 1), bytes.size() / 64));
  check(server, pieces);
  MG_ASSERT(whole.status == pieces.status && whole.server_name == pieces.server_name &&
            whole.context == pieces.context);
  MG_ASSERT(whole.answer.substr(0, 1) == pieces.answer.substr(0, 1));
  return 0;
}
