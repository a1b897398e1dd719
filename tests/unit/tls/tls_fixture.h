// SPDX-License-Identifier: Apache-2.0
// Both sides of a TLS connection on one loop, for tests of either.
#pragma once

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tls/stream.h"
#include "tls/ticket_keys.h"

namespace moongate::tls {

using net::IoStatus;

inline std::string read_file(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// A folder in which the openssl program makes keys and certificates.
class CertificateFolder {
 public:
  CertificateFolder() {
    char folder[] = "/tmp/moongate-tls-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    path_ = folder;
  }
  ~CertificateFolder() { std::filesystem::remove_all(path_); }
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  /// A key, `name.key`, and a certificate that signs itself, `name.crt`.
  void make_own(const std::string& name, const std::string& arguments) const {
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout " + name +
        ".key -out " + name + ".crt " + arguments);
  }
  /// The same, signed by `issuer`, with these lines of extensions.
  void issue(const std::string& name, const std::string& issuer, const std::string& extensions,
             const std::string& arguments = "-newkey ec -pkeyopt ec_paramgen_curve:P-256") const {
    run("openssl req " + arguments + " -nodes -subj /CN=" + name + " -keyout " + name + ".key -out " + name +
        ".csr");
    run("printf '" + extensions + "' >" + name + ".ext; openssl x509 -req -days 2 -in " + name + ".csr -CA " +
        issuer + ".crt -CAkey " + issuer + ".key -CAcreateserial -extfile " + name + ".ext -out " + name +
        ".crt");
  }
  void run(const std::string& command) const {
    REQUIRE(std::system(("cd " + path_ + " && (" + command + ") 2>errors").c_str()) == 0);
  }
  std::string text(const std::string& name) const { return read_file(path_ + "/" + name); }
  CertificatePair pair(const std::string& name) const { return {text(name + ".crt"), text(name + ".key")}; }

 private:
  std::string path_;
};

/// A certificate that signs itself, for a.test and 127.0.0.1.
inline const CertificatePair& own_pair() {
  static const CertificatePair pair = [] {
    const CertificateFolder folder;
    folder.make_own("own", "-subj /CN=own -addext subjectAltName=DNS:a.test,DNS:*.w.test,IP:127.0.0.1");
    return folder.pair("own");
  }();
  return pair;
}

inline std::shared_ptr<const ClientContext> make_client(bool is_verifying = true, bool is_trusting = true) {
  ClientOptions options;
  options.trust = TrustStore::make(is_trusting ? own_pair().certificate_pem : "").take();
  options.is_verifying = is_verifying;
  options.protocols = {"http/1.1"};
  return ClientContext::make(options).take();
}

inline ServerOptions own_options() {
  ServerOptions options;
  options.id = "own";
  options.certificates = {own_pair()};
  return options;
}

struct Pair {
  explicit Pair(const ServerOptions& options = own_options()) {
    TicketKeys::of_process().start(base::Clock::wall());
    serve(options);
  }
  /// From the next handshake on.
  void serve(const ServerOptions& options) {
    names = std::make_shared<ServerNames>();
    names->add("*", ServerContext::make(options).take());
  }
  /// Both sides until neither moves any more; the client's outcome.
  IoStatus shake(const std::shared_ptr<const ClientContext>& context, Peer peer) {
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    client = std::make_unique<Stream>();
    server = std::make_unique<Stream>();
    client->adopt(
        *loop, fds[0], [](void*) {}, nullptr);
    server->adopt(
        *loop, fds[1], [](void*) {}, nullptr);
    client->start_tls(Session::connect(client->socket(), context, std::move(peer)));
    server->start_tls(Session::accept(server->socket(), names, {}, offered));
    IoStatus outcome = IoStatus::kBlocked;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (client->is_handshaking() || server->is_handshaking()) {
      REQUIRE(std::chrono::steady_clock::now() < limit);
      if (client->is_handshaking()) outcome = client->handshake();
      if (outcome == IoStatus::kError) return outcome;
      if (server->is_handshaking() && server->handshake() == IoStatus::kError) return IoStatus::kError;
      pulse.start(loop->timers(), std::chrono::milliseconds(1));
      loop->run_once();
    }
    return outcome;
  }
  /// What the server sent that is not for the user, such as sessions, is taken in.
  void settle() {
    char byte = 'x';
    REQUIRE(server->write(&byte, 1).size == 1);
    wait_until([this, &byte] { return client->read(&byte, 1).status != IoStatus::kBlocked; });
  }
  template <class Condition>
  void wait_until(const Condition& is_met) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!is_met()) {
      REQUIRE(std::chrono::steady_clock::now() < limit);
      pulse.start(loop->timers(), std::chrono::milliseconds(1));
      loop->run_once();
    }
  }
  std::unique_ptr<net::EventLoop> loop = net::EventLoop::make().take();
  net::Timer pulse{[](void*) {}, nullptr};
  std::shared_ptr<ServerNames> names;
  Protocols offered = Protocols::kHttp1;
  std::unique_ptr<Stream> client, server;
};

}  // namespace moongate::tls
