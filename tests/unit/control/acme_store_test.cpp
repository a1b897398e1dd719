// SPDX-License-Identifier: Apache-2.0
#include "control/acme_store.h"

#include <catch2/catch.hpp>

#include "base/file.h"
#include "fixtures.h"

using namespace moongate;
using namespace moongate::control;
using namespace moongate::control::test;
using namespace std::chrono_literals;

namespace {

constexpr auto kDay = 24h;
using Names = std::vector<std::string>;

/// One that holds from now on for some days, signed by itself.
AcmeCertificate make_certificate(const Names& names, int days) {
  const Folder folder;
  std::string hosts;
  for (const std::string& name : names) hosts.append(hosts.empty() ? "" : ",").append("DNS:" + name);
  const std::string command = "cd " + folder.path +
                              " && (openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
                              " -keyout key -out wish -subj /CN=x -addext subjectAltName=" +
                              hosts +
                              " && openssl x509 -req -in wish -signkey key -out cert -copy_extensions copy"
                              " -days " +
                              std::to_string(days) + ") 2>errors";
  REQUIRE(std::system(command.c_str()) == 0);
  AcmeCertificate made{names, "https://ca.test/dir", false, {}, {}};
  made.pair = {base::read_file(folder.file("cert"), 1 << 20).take(),
               base::read_file(folder.file("key"), 1 << 20).take()};
  return made;
}

struct Bench {
  Folder folder;
  AcmeStore store{folder.path};

  /// Its certificate in PEM form.
  std::string add(const Names& names, int days) {
    AcmeCertificate certificate = make_certificate(names, days);
    REQUIRE(store.check(&certificate));
    REQUIRE(store.add(certificate));
    return certificate.pair.certificate_pem;
  }
  std::string chosen(const Names& names, const std::string& name, base::WallTime now) const {
    const AcmeCertificate* certificate = store.choose(names, name, now);
    return certificate == nullptr ? "" : certificate->pair.certificate_pem;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder.file("acme")))
      paths.push_back(entry.path().string());
    return paths;
  }
};

}  // namespace

TEST_CASE("a certificate is taken whatever the calendar says, and served when there is none that holds") {
  Bench bench;
  const base::WallTime now = std::chrono::system_clock::now() + 1h;
  const std::string own = bench.add({"a.test"}, 10);
  for (const auto& moment : {now - 40 * kDay, now, now + 5 * kDay, now + 400 * kDay})
    CHECK(bench.chosen({"a.test"}, "a.test", moment) == own);
  CHECK(bench.chosen({"b.test"}, "b.test", now).empty());
}

TEST_CASE(
    "the one for all names of a resource is served while it holds, and then the one that holds longest") {
  Bench bench;
  const base::WallTime now = std::chrono::system_clock::now() + 1h;  // the certificates are still to be made
  const Names both{"a.test", "b.test"};
  const std::string shortest = bench.add({"a.test"}, 5);
  CHECK(bench.chosen(both, "a.test", now) == shortest);
  CHECK(bench.chosen(both, "b.test", now).empty());
  const std::string own = bench.add(both, 10);
  const std::string longest = bench.add({"a.test", "c.test"}, 20);
  CHECK(bench.chosen(both, "a.test", now) == own);
  CHECK(bench.chosen(both, "b.test", now) == own);
  CHECK(bench.chosen(both, "a.test", now + 15 * kDay) == longest);
  CHECK(bench.chosen(both, "b.test", now + 15 * kDay) == own);
  CHECK(bench.chosen(both, "a.test", now + 25 * kDay) == longest);
  CHECK(bench.chosen({"a.test"}, "a.test", now) == shortest);
}

TEST_CASE("while a new certificate does not hold by our clock the former one for the same names is served") {
  Bench bench;
  const Names names{"a.test"};
  const base::WallTime now = std::chrono::system_clock::now();
  AcmeCertificate former = make_certificate(names, 30);
  former.validity = {now - 60 * kDay, now + 30 * kDay};
  AcmeCertificate next = make_certificate(names, 90);
  next.validity = {now + 1h, now + 90 * kDay};
  REQUIRE(bench.store.add(former));
  REQUIRE(bench.store.add(next));
  CHECK(bench.chosen(names, "a.test", now) == former.pair.certificate_pem);
  CHECK(bench.chosen(names, "a.test", now + 2h) == next.pair.certificate_pem);
  CHECK(bench.chosen(names, "a.test", now - 70 * kDay) == next.pair.certificate_pem);
  CHECK(bench.store.find(names)->pair.certificate_pem == next.pair.certificate_pem);
}

TEST_CASE("what is on disk is read whatever its dates, and stays there") {
  Bench bench;
  const std::string own = bench.add({"a.test"}, -1);
  AcmeStore next(bench.folder.path);
  next.load();
  REQUIRE(next.find({"a.test"}) != nullptr);
  const AcmeCertificate& read = *next.find({"a.test"});
  CHECK(read.pair.certificate_pem == own);
  CHECK(read.validity.until <= std::chrono::system_clock::now());
  CHECK(next.choose({"a.test"}, "a.test", read.validity.until + 400 * kDay) == &read);
  CHECK(bench.files().size() == 1);
}

TEST_CASE("a file that is damaged, or whose key belongs to another certificate, is not used and stays") {
  Bench bench;
  bench.add({"a.test"}, 10);
  const std::string path = bench.files().at(0);
  const std::string text = base::read_file(path, 1 << 20).take();
  AcmeCertificate mixed = make_certificate({"b.test"}, 10);
  mixed.pair.key_pem = make_certificate({"b.test"}, 10).pair.key_pem;
  CHECK_FALSE(bench.store.check(&mixed));
  AcmeCertificate other = make_certificate({"b.test"}, 10);
  other.names = {"c.test"};
  CHECK_FALSE(bench.store.check(&other));
  REQUIRE(bench.store.add(mixed));
  for (const std::string& damaged : {text.substr(0, text.size() / 2), std::string("[]"), std::string()}) {
    REQUIRE(base::write_file(path, damaged));
    AcmeStore next(bench.folder.path);
    next.load();
    CHECK(next.find({"a.test"}) == nullptr);
    CHECK(next.find({"b.test"}) == nullptr);
    CHECK(bench.files().size() == 2);
  }
}
