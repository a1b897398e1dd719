// SPDX-License-Identifier: Apache-2.0
// The server's side of a handshake and what goes over a connection: the same with every TLS library.
#include <poll.h>
#include <unistd.h>

#include "tls_fixture.h"

using namespace moongate;
using namespace moongate::tls;

namespace {

ClientOptions trusting() {
  ClientOptions options;
  options.trust = TrustStore::make(own_pair().certificate_pem).take();
  options.version_max = Version::kTls12;
  return options;
}

std::shared_ptr<const ClientContext> client_of(const ClientOptions& options) {
  return ClientContext::make(options).take();
}

IoStatus shake_with(Pair& pair, const ClientOptions& options) {
  return pair.shake(client_of(options), {"a.test", nullptr});
}

/// Authorities and what they have issued, in one folder.
const CertificateFolder& issued() {
  static const CertificateFolder* const folder = [] {
    auto* made = new CertificateFolder;
    made->make_own("root", "-subj /CN=root");
    made->issue("middle", "root", "basicConstraints=critical,CA:true\n");
    made->issue("near", "root", "keyUsage=digitalSignature\n");
    made->issue("far", "middle", "keyUsage=digitalSignature\n");
    made->run("cat middle.crt >> far.crt");
    made->issue("named", "root",
                "basicConstraints=critical,CA:true\nnameConstraints=permitted;DNS:inside.test\n");
    made->issue("outside", "named", "subjectAltName=DNS:a.test\n");
    made->run("cat named.crt >> outside.crt");
    made->issue("nameless", "root", "keyUsage=digitalSignature\n");
    made->run(
        "openssl req -newkey rsa:2048 -nodes -subj /CN=a.test -keyout rsa.key -out rsa.csr && "
        "printf subjectAltName=DNS:a.test >rsa.ext && openssl x509 -req -days 2 -in rsa.csr -CA root.crt "
        "-CAkey root.key -CAcreateserial -extfile rsa.ext -out rsa.crt");
    return made;
  }();
  return *folder;
}

ServerOptions asking_clients(uint32_t depth, bool is_optional = false) {
  ServerOptions options = own_options();
  options.client_ca_pem = issued().text("root.crt");
  options.client_depth = depth;
  options.is_client_optional = is_optional;
  return options;
}

ClientOptions showing(const std::string& name) {
  ClientOptions options = trusting();
  options.certificate = issued().pair(name);
  return options;
}

/// A ClientHello as our own client sends it.
std::string record_hello(Pair& pair) {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
  Stream client;
  client.adopt(
      *pair.loop, fds[0], [](void*) {}, nullptr);
  client.start_tls(Session::connect(client.socket(), client_of(trusting()), {"a.test", nullptr}));
  pair.wait_until([&client] { return client.socket().may_write(); });
  CHECK(client.handshake() == IoStatus::kBlocked);
  char bytes[4096];
  const ssize_t size = ::read(fds[1], bytes, sizeof bytes);
  ::close(fds[1]);
  REQUIRE(size > 0);
  return {bytes, static_cast<size_t>(size)};
}

/// What a server says first to these bytes, which come one by one.
std::string answer_to(Pair& pair, const std::string& bytes) {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
  Stream server;
  server.adopt(
      *pair.loop, fds[0], [](void*) {}, nullptr);
  server.start_tls(Session::accept(server.socket(), pair.names, {}, Protocols::kHttp1));
  pair.wait_until([&server] { return server.socket().may_write(); });
  IoStatus status = IoStatus::kBlocked;
  for (size_t i = 0; i < bytes.size() && status == IoStatus::kBlocked; i++) {
    REQUIRE(::write(fds[1], &bytes[i], 1) == 1);
    pair.loop->run_once();
    status = server.handshake();
  }
  char answer[4096];
  const ssize_t size = ::read(fds[1], answer, sizeof answer);
  ::close(fds[1]);
  return size > 0 ? std::string(answer, static_cast<size_t>(size)) : std::string();
}

/// The message of one record, in records of `size` bytes.
std::string cut(const std::string& record, size_t size) {
  constexpr size_t kHeadBytes = 5;
  std::string cut;
  for (size_t at = kHeadBytes; at < record.size(); at += size) {
    const std::string part = record.substr(at, size);
    cut += record.substr(0, 3);
    cut += static_cast<char>(part.size() >> 8);
    cut += static_cast<char>(part.size());
    cut += part;
  }
  return cut;
}

}  // namespace

TEST_CASE("a ClientHello may come byte by byte and in several records") {
  Pair pair;
  const std::string hello = record_hello(pair);
  CHECK(answer_to(pair, hello).substr(0, 1) == "\x16");
  CHECK(answer_to(pair, cut(hello, 40)).substr(0, 1) == "\x16");
}

TEST_CASE("what is no ClientHello is answered by an alert") {
  Pair pair;
  const std::string hello = record_hello(pair);
  std::string wrong_length = hello;
  wrong_length[8] = static_cast<char>(wrong_length[8] + 1);
  wrong_length += std::string(300, '\0');
  std::string wrong_message = hello;
  wrong_message[5] = 2;
  for (const std::string& bytes : {wrong_length, wrong_message})
    CHECK(answer_to(pair, bytes).substr(0, 1) == "\x15");
}

TEST_CASE("a name that nobody has a certificate for ends the handshake with the alert for it") {
  Pair pair;
  pair.names = std::make_shared<ServerNames>();
  pair.names->add("b.test", ServerContext::make(own_options()).take());
  CHECK(answer_to(pair, record_hello(pair)).substr(5) == "\x02\x70");
}

TEST_CASE("HTTP/2 is agreed on where it is offered by both, and no protocol means HTTP/1") {
  Pair pair;
  ClientOptions options = trusting();
  for (const bool is_offered : {false, true}) {
    pair.offered = is_offered ? Protocols::kEither : Protocols::kHttp1;
    options.protocols = {"http/1.1", "h2"};
    REQUIRE(shake_with(pair, options) == IoStatus::kOk);
    CHECK(pair.server->session()->is_http2() == is_offered);
    CHECK(pair.client->session()->is_http2() == is_offered);
    options.protocols = {};
    REQUIRE(shake_with(pair, options) == IoStatus::kOk);
    CHECK_FALSE(pair.server->session()->is_http2());
  }
  options.protocols = {"smtp"};
  CHECK(shake_with(pair, options) == IoStatus::kError);
  pair.offered = Protocols::kHttp2;
  options.protocols = {"http/1.1"};
  CHECK(shake_with(pair, options) == IoStatus::kError);
  options.protocols = {"http/1.1", "h2"};
  REQUIRE(shake_with(pair, options) == IoStatus::kOk);
  CHECK(pair.server->session()->is_http2());
}

TEST_CASE("bytes arrive in order however little the socket takes at a time") {
  Pair pair;
  REQUIRE(shake_with(pair, trusting()) == IoStatus::kOk);
  std::string sent(600'000, '\0');
  for (size_t i = 0; i < sent.size(); i++) sent[i] = static_cast<char>(i * 7 + i / 251);
  for (Stream* from : {pair.client.get(), pair.server.get()}) {
    Stream* to = from == pair.client.get() ? pair.server.get() : pair.client.get();
    const int size = 4096;
    REQUIRE(::setsockopt(from->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    std::string got;
    size_t done = 0;
    size_t blocked = 0;
    pair.wait_until([&] {
      // What is offered again is longer than before, as a sender's queue grows.
      net::IoResult result{IoStatus::kOk, 0};
      while (result.status == IoStatus::kOk && done < sent.size()) {
        result = from->write(sent.data() + done, std::min<size_t>(sent.size() - done, 3'000 + blocked * 100));
        done += result.size;
      }
      REQUIRE(result.status != IoStatus::kError);
      if (result.status == IoStatus::kBlocked) blocked++;
      char buffer[5'000];
      const net::IoResult read = to->read(buffer, sizeof buffer);
      REQUIRE((read.status == IoStatus::kOk || read.status == IoStatus::kBlocked));
      got.append(buffer, read.size);
      return got.size() >= sent.size();
    });
    CHECK(blocked > 0);
    CHECK(got == sent);
  }
}

TEST_CASE("connections that take turns do not disturb each other") {
  Pair pair;
  std::vector<std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>>> connections;
  for (int i = 0; i < 12; i++) {
    REQUIRE(shake_with(pair, trusting()) == IoStatus::kOk);
    connections.emplace_back(std::move(pair.client), std::move(pair.server));
  }
  for (size_t turn = 0; turn < 60; turn++) {
    auto& [client, server] = connections[turn * 5 % connections.size()];
    const std::string text = "turn " + std::to_string(turn) + std::string(turn * 500, 'x');
    size_t done = 0;
    std::string got;
    pair.wait_until([&, to = server.get(), from = client.get()] {
      done += from->write(text.data() + done, text.size() - done).size;
      char buffer[1'000];
      const net::IoResult read = to->read(buffer, sizeof buffer);
      got.append(buffer, read.size);
      return read.status == IoStatus::kError || got.size() >= text.size();
    });
    CHECK(got == text);
  }
}

TEST_CASE("a client certificate is told as it is written") {
  const CertificateFolder folder;
  folder.run(
      "printf "
      "'oid_section=more\\n[more]\\nodd=1.2.3.4\\n[req]\\ndistinguished_name=name\\nstring_mask=utf8only\\n["
      "name]"
      "\\n' >conf");
  folder.make_own(
      "jack",
      "-config conf -utf8 -multivalue-rdn -set_serial 0x0b4f -addext basicConstraints=CA:true -subj "
      "'/C=DE/O=Moon, gate \"x\"/OU=a+CN=jack\xc3\xa9 #1/emailAddress=j@a.test/odd=odd'");
  ServerOptions options = own_options();
  options.client_ca_pem = folder.text("jack.crt");
  Pair pair(options);
  ClientOptions shown = trusting();
  shown.certificate = folder.pair("jack");
  REQUIRE(shake_with(pair, shown) == IoStatus::kOk);
  const PeerCertificate peer = pair.server->session()->peer();
  CHECK(peer.is_present);
  CHECK(peer.is_verified);
  CHECK(peer.subject ==
        "1.2.3.4=#0C036F6464,emailAddress=j@a.test,CN=jack\\C3\\A9 #1+OU=a,O=Moon\\, gate \\\"x\\\",C=DE");
  CHECK(peer.issuer == peer.subject);
  CHECK(peer.serial == "0B4F");
  CHECK(peer.pem == folder.text("jack.crt"));
  folder.run(
      "openssl x509 -in jack.crt -noout -fingerprint -sha1 | sed 's/.*=//;s/://g' | tr -d '\\n' | tr A-F a-f "
      ">print");
  CHECK(peer.fingerprint == folder.text("print"));
}

TEST_CASE("between a client and its authority there are as many others as the depth says") {
  for (const auto& [name, depth, is_good] :
       {std::tuple("near", 0U, true), std::tuple("far", 0U, false), std::tuple("far", 1U, true)}) {
    INFO(name << " " << depth);
    Pair pair(asking_clients(depth));
    const IoStatus status = shake_with(pair, showing(name));
    if (is_good) {
      CHECK(status == IoStatus::kOk);
      CHECK(pair.server->session()->has_verified_peer());
    } else {
      CHECK(pair.server->is_handshaking());
    }
  }
}

TEST_CASE("a client without a good certificate gets in only where it is optional, and stays unverified") {
  Pair pair(asking_clients(1));
  for (const ClientOptions& options : {trusting(), [] {
                                         ClientOptions stranger = trusting();
                                         stranger.certificate = own_pair();
                                         return stranger;
                                       }()}) {
    pair.serve(asking_clients(1));
    (void)shake_with(pair, options);
    CHECK(pair.server->is_handshaking());
    pair.serve(asking_clients(1, true));
    REQUIRE(shake_with(pair, options) == IoStatus::kOk);
    CHECK_FALSE(pair.server->session()->has_verified_peer());
    CHECK(pair.server->session()->peer().is_present != options.certificate.key_pem.empty());
  }
}

TEST_CASE("a session is resumed with what was proved in it, and not under other rules") {
  const auto sessions = std::make_shared<SessionStore>();
  Pair pair(asking_clients(1));
  const auto client = client_of(showing("near"));
  const Peer peer{"a.test", sessions};
  REQUIRE(pair.shake(client, peer) == IoStatus::kOk);
  REQUIRE(pair.shake(client, peer) == IoStatus::kOk);
  CHECK(pair.server->session()->is_resumed());
  CHECK(pair.server->session()->has_verified_peer());
  CHECK(pair.server->session()->peer().subject == "CN=near");
  ServerOptions other = asking_clients(1);
  other.id = "other";
  pair.serve(other);
  REQUIRE(pair.shake(client, peer) == IoStatus::kOk);
  CHECK_FALSE(pair.server->session()->is_resumed());
  pair.serve(asking_clients(1, true));
  REQUIRE(pair.shake(client, peer) == IoStatus::kOk);
  CHECK_FALSE(pair.server->session()->is_resumed());
  TicketKeys::of_process().start(base::Clock::wall());
  REQUIRE(pair.shake(client, peer) == IoStatus::kOk);
  CHECK_FALSE(pair.server->session()->is_resumed());
}

TEST_CASE("an authority's name constraints hold, and a name in the subject is none") {
  ClientOptions options = trusting();
  options.trust = TrustStore::make(issued().text("root.crt")).take();
  for (const char* name : {"outside", "nameless"}) {
    ServerOptions server = own_options();
    server.certificates = {issued().pair(name)};
    Pair pair(server);
    CHECK(pair.shake(client_of(options), {name == std::string("outside") ? "a.test" : "nameless", nullptr}) ==
          IoStatus::kError);
    CHECK_FALSE(pair.client->session()->describe_failure().empty());
  }
}

TEST_CASE("of two certificates each client gets the one that its ciphers go with") {
  ServerOptions server = own_options();
  server.certificates = {own_pair(), issued().pair("rsa")};
  for (const auto& [ciphers, wanted] : {std::pair("aRSA+AESGCM+AES128", "ECDHE-RSA-AES128-GCM-SHA256"),
                                        std::pair("ECDSA+CHACHA20", "ECDHE-ECDSA-CHACHA20-POLY1305")}) {
    server.ciphers = ciphers;
    Pair pair(server);
    ClientOptions options = trusting();
    options.trust = TrustStore::make(own_pair().certificate_pem + issued().text("root.crt")).take();
    REQUIRE(shake_with(pair, options) == IoStatus::kOk);
    CHECK(pair.server->session()->cipher() == wanted);
    CHECK(pair.server->session()->version() == "TLSv1.2");
  }
}

TEST_CASE("the list of ciphers is read as OpenSSL reads it") {
  for (const auto& [list, wanted] :
       {std::pair("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
                  "ECDHE-ECDSA-AES128-GCM-SHA256"),
        std::pair(
            "ECDHE+AES128:ECDHE+AES256:-AES128+AESGCM:+AES256+AESGCM:!CHACHA20:!AESCCM:!SHA1:!SHA256:!SHA384",
            "ECDHE-ECDSA-AES256-GCM-SHA384"),
        std::pair("AESGCM+AES128 ECDHE+AESGCM @STRENGTH", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        std::pair("unknown,ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305")}) {
    INFO(list);
    ServerOptions options = own_options();
    options.ciphers = list;
    Pair pair(options);
    REQUIRE(shake_with(pair, trusting()) == IoStatus::kOk);
    CHECK(pair.client->session()->cipher() == wanted);
  }
  ServerOptions options = own_options();
  options.ciphers = "BLOWFISH:!ALL";
  CHECK(ServerContext::make(options).error().detail.starts_with(
      "moongate.tls.ciphers: \"BLOWFISH:!ALL\" names no cipher suite that there is"));
}

TEST_CASE("what cannot serve is refused with the place and without a word of the key") {
  ServerOptions options = own_options();
  options.certificates = {{own_pair().certificate_pem, issued().text("root.key")}};
  CHECK(ServerContext::make(options).error().detail.starts_with(
      "key: the key does not belong to the certificate"));
  options = own_options();
  options.client_ca_pem = "none";
  CHECK(ServerContext::make(options).error().detail.starts_with("client.ca: it holds no certificate"));
}
