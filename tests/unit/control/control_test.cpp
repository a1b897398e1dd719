// SPDX-License-Identifier: Apache-2.0
// A whole control process on a loop of the test's, with the test as its supervisor, its workers and its
// clients.
#include "control/control.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "base/json.h"
#include "fixtures.h"
#include "net/address.h"
#include "net/listener.h"
#include "snapshot/sealed_file.h"

using namespace moongate;
using namespace moongate::control;
using namespace moongate::control::test;
using snapshot::Descriptor;
using snapshot::Message;
using snapshot::MessageType;

namespace {

/// The worker's end of a channel, in the test's hand.
struct FakeWorker {
  Descriptor channel;
  uint32_t index = 0;

  void say(MessageType type, uint64_t number, std::string text = {}) const {
    Message message;
    message.type = type;
    message.worker = index;
    message.number = number;
    message.text = std::move(text);
    REQUIRE(snapshot::send_message(channel.get(), message).ok());
  }
};

struct Bench {
  Bench() {
    loop = net::EventLoop::make().take();
    segment = std::make_unique<shm::Segment>(shm::Segment::make(size_t{32} << 20).take());
    processes = shm::ProcessTable::make(
        segment->area("processes", shm::ProcessTable::size_bytes(), alignof(shm::ProcessSlot)));
    registry = std::make_unique<metrics::Registry>(metrics::Registry::make(*segment, 200).take());
    folder.write("a.yaml", route_text("r1"));
  }

  /// Loads the file as a start does, and makes the control process.
  void start(bool is_restart = false) {
    const ValidatorFactory factory = rule_factory();
    const Loaded loaded = load_configuration({{folder.file("a.yaml")}, folder.lua_root(), &factory});
    REQUIRE(loaded.ok());
    const std::string blob = number_blob(loaded.blob, 1, "start").take();
    ControlStart how;
    how.version = "test";
    how.directory = folder.path;
    how.config_paths = {folder.file("a.yaml")};
    how.lua_root = folder.lua_root();
    how.make_validator = factory;
    how.worker_count = 2;
    how.is_restart = is_restart;
    how.first_snapshot_fd = snapshot::write_sealed_memfd(blob)->release();
    how.command_fd =
        net::open_listening_socket(net::make_unix_address(folder.file("control.sock")).take(), 8).take();
    how.metrics_fd =
        net::open_listening_socket(net::make_unix_address(folder.file("metrics.sock")).take(), 8).take();
    snapshot::ChannelPair pair = snapshot::make_channel().take();
    how.supervisor_fd = pair.first.release();
    supervisor = std::move(pair.second);
    how.metrics = registry.get();
    how.processes = processes;
    control = Control::make(*loop, how).take();
  }

  /// As the supervisor does after a fork.
  FakeWorker add_worker(uint32_t index, uint64_t serving = 0) {
    snapshot::ChannelPair pair = snapshot::make_channel().take();
    Message message;
    message.type = MessageType::kWorkerStarted;
    message.worker = index;
    message.descriptor = std::move(pair.first);
    REQUIRE(snapshot::send_message(supervisor.get(), message).ok());
    FakeWorker worker{std::move(pair.second), index};
    worker.say(MessageType::kHello, serving);
    return worker;
  }

  /// Turns the loop until the condition holds; fails after five seconds.
  template <class Condition>
  void until(Condition condition) {
    const auto deadline = base::Clock::steady_now() + std::chrono::seconds(5);
    struct Tick {
      explicit Tick(net::EventLoop& on)
          : loop(on), timer([](void* self) { static_cast<Tick*>(self)->again(); }, this) {
        again();
      }
      void again() { timer.start(loop.timers(), std::chrono::milliseconds(5)); }
      net::EventLoop& loop;
      net::Timer timer;
    } tick(*loop);
    while (!condition()) {
      REQUIRE(base::Clock::steady_now() < deadline);
      loop->run_once();
    }
  }

  /// The next message of this type; others before it are dropped.
  Message expect(const Descriptor& channel, MessageType type) {
    Message found;
    until([&] {
      auto message = snapshot::receive_message(channel.get());
      REQUIRE(message.ok());
      if (!message->has_value() || (*message)->type != type) return false;
      found = std::move(**message);
      return true;
    });
    return found;
  }

  /// Takes a worker to the snapshot it is sent.
  uint64_t serve(const FakeWorker& worker) {
    const uint64_t number = expect(worker.channel, MessageType::kPrepare).number;
    worker.say(MessageType::kReady, number);
    REQUIRE(expect(worker.channel, MessageType::kSwitch).number == number);
    worker.say(MessageType::kSwitched, number);
    return number;
  }

  Descriptor connect(const std::string& name) {
    const auto address = net::make_unix_address(folder.file(name)).take();
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(socket.get(), address.raw(), address.size) == 0);
    return socket;
  }
  Descriptor send(const std::string& name, const std::string& bytes) {
    Descriptor socket = connect(name);
    REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return socket;
  }
  std::string read_until(const Descriptor& socket, const std::string& end) {
    std::string text;
    until([&] {
      char buffer[4096];
      const ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (size > 0) text.append(buffer, static_cast<size_t>(size));
      return size == 0 || (!end.empty() && text.size() >= end.size() &&
                           text.compare(text.size() - end.size(), end.size(), end) == 0);
    });
    return text;
  }
  base::Value answer(const Descriptor& socket) { return base::parse_json(read_until(socket, "\n")).take(); }
  base::Value ask(const std::string& request) { return answer(send("control.sock", request + "\n")); }

  Folder folder;
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<shm::Segment> segment;
  shm::ProcessTable* processes = nullptr;
  std::unique_ptr<metrics::Registry> registry;
  Descriptor supervisor;
  std::unique_ptr<Control> control;
};

double number_in(const base::Value& value, std::string_view key) { return value.get_number(key, -1); }

}  // namespace

TEST_CASE("a start is done when every worker serves the first snapshot, which is then on disk") {
  Bench bench;
  bench.start();
  const FakeWorker first = bench.add_worker(0);
  const FakeWorker second = bench.add_worker(1);
  REQUIRE(bench.serve(first) == 1);
  REQUIRE(bench.serve(second) == 1);
  bench.expect(bench.supervisor, MessageType::kServing);
  const auto store = snapshot::Store::open(bench.folder.path).take();
  REQUIRE(store.current() == 1);
  const base::Value status = bench.ask(R"({"command":"status"})");
  REQUIRE(number_in(*status.find("snapshot"), "number") == 1);
  REQUIRE(status.find("last_error")->is_null());
}

TEST_CASE("a change of the file reaches all workers, and nobody switches before all are ready") {
  Bench bench;
  bench.start();
  const FakeWorker first = bench.add_worker(0);
  const FakeWorker second = bench.add_worker(1);
  bench.serve(first);
  bench.serve(second);
  bench.folder.write("a.yaml", route_text("r2"));
  const Message prepare = bench.expect(first.channel, MessageType::kPrepare);
  REQUIRE(prepare.descriptor.is_open());
  bench.expect(second.channel, MessageType::kPrepare);
  first.say(MessageType::kReady, prepare.number);
  const base::Value before = bench.ask(R"({"command":"status"})");
  REQUIRE(number_in(*before.find("snapshot"), "number") == 1);
  REQUIRE_FALSE(snapshot::receive_message(first.channel.get())->has_value());
  second.say(MessageType::kReady, prepare.number);
  bench.expect(first.channel, MessageType::kSwitch);
  bench.expect(second.channel, MessageType::kSwitch);
  first.say(MessageType::kSwitched, prepare.number);
  second.say(MessageType::kSwitched, prepare.number);
  bench.until([&] {
    return number_in(*bench.ask(R"({"command":"status"})").find("snapshot"), "number") ==
           static_cast<double>(prepare.number);
  });
}

TEST_CASE("when one worker refuses, all forget it and whoever asked is told why") {
  Bench bench;
  bench.start();
  const FakeWorker first = bench.add_worker(0);
  const FakeWorker second = bench.add_worker(1);
  bench.serve(first);
  bench.serve(second);
  bench.ask(R"({"command":"reload"})");  // the look at the sources that follows a start is over then
  bench.folder.write("a.yaml", route_text("r2"));
  const Descriptor client = bench.send("control.sock", "{\"command\":\"reload\"}\n");
  const uint64_t number = bench.expect(first.channel, MessageType::kPrepare).number;
  bench.expect(second.channel, MessageType::kPrepare);
  first.say(MessageType::kReady, number);
  second.say(MessageType::kRefused, number, "no memory");
  REQUIRE(bench.expect(first.channel, MessageType::kAbandon).number == number);
  const base::Value answer = bench.answer(client);
  REQUIRE_FALSE(answer.get_bool("ok", true));
  REQUIRE(answer.find("errors")->items()[0].as_string() == "worker 1: no memory");
}

TEST_CASE("a worker that dies in mid-apply holds nobody up, and its replacement gets what is current") {
  Bench bench;
  bench.start();
  const FakeWorker first = bench.add_worker(0);
  FakeWorker second = bench.add_worker(1);
  bench.serve(first);
  bench.serve(second);
  bench.folder.write("a.yaml", route_text("r2"));
  const uint64_t number = bench.expect(first.channel, MessageType::kPrepare).number;
  second.channel.reset();
  first.say(MessageType::kReady, number);
  REQUIRE(bench.expect(first.channel, MessageType::kSwitch).number == number);
  first.say(MessageType::kSwitched, number);
  const FakeWorker again = bench.add_worker(1);
  REQUIRE(bench.serve(again) == number);
}

TEST_CASE("a broken file changes nothing and stays visible until it is mended") {
  Bench bench;
  bench.start();
  const FakeWorker worker = bench.add_worker(0);
  bench.serve(worker);
  bench.folder.write("a.yaml", route_text("r1", "    name: bad\n"));
  const base::Value refused = bench.ask(R"({"command":"reload"})");
  REQUIRE_FALSE(refused.get_bool("ok", true));
  const base::Value status = bench.ask(R"({"command":"status"})");
  REQUIRE(status.find("last_error")->find("errors")->items()[0].as_string().find("is bad") !=
          std::string::npos);
  bench.folder.write("a.yaml", route_text("r1"));
  const base::Value mended = bench.ask(R"({"command":"reload"})");
  REQUIRE(mended.get_bool("ok", false));
  REQUIRE_FALSE(mended.get_bool("changed", true));
  REQUIRE(bench.ask(R"({"command":"status"})").find("last_error")->is_null());
}

TEST_CASE("a rollback brings the content of an older snapshot under a new number") {
  Bench bench;
  bench.start();
  const FakeWorker worker = bench.add_worker(0);
  bench.serve(worker);
  bench.folder.write("a.yaml", route_text("r2"));
  const uint64_t second = bench.serve(worker);
  const Descriptor client = bench.send("control.sock", "{\"command\":\"rollback\"}\n");
  const Message prepare = bench.expect(worker.channel, MessageType::kPrepare);
  REQUIRE(prepare.number > second);
  const auto mapped = snapshot::map_memfd(prepare.descriptor.get()).take();
  const auto view = snapshot::BlobView::open(mapped.bytes()).take();
  REQUIRE(view.find(snapshot::RecordKind::kRoute, "r1") != nullptr);
  REQUIRE(view.reason() == "rollback to 1");
  worker.say(MessageType::kReady, prepare.number);
  bench.expect(worker.channel, MessageType::kSwitch);
  worker.say(MessageType::kSwitched, prepare.number);
  REQUIRE(bench.answer(client).get_bool("ok", false));
  REQUIRE_FALSE(bench.ask(R"({"command":"rollback","number":77})").get_bool("ok", true));
  REQUIRE_FALSE(bench.ask(R"({"command":"rollback","number":-1})").get_bool("ok", true));
}

TEST_CASE("a new control process learns what the workers serve and leaves them alone") {
  Bench bench;
  bench.start();
  {
    const FakeWorker worker = bench.add_worker(0);
    bench.serve(worker);
    bench.folder.write("a.yaml", route_text("r2"));
    REQUIRE(bench.serve(worker) == 2);
    bench.until([&] { return snapshot::Store::open(bench.folder.path)->current() == 2; });
  }
  bench.control.reset();
  std::filesystem::remove(bench.folder.file("control.sock"));
  std::filesystem::remove(bench.folder.file("metrics.sock"));
  bench.start(true);
  const FakeWorker same = bench.add_worker(0, 2);
  const base::Value answer = bench.ask(R"({"command":"reload"})");
  REQUIRE_FALSE(answer.get_bool("changed", true));
  REQUIRE(number_in(answer, "snapshot") == 2);
  bench.expect(same.channel, MessageType::kAskHello);
  REQUIRE_FALSE(snapshot::receive_message(same.channel.get())->has_value());
}

TEST_CASE("a first snapshot that nobody can serve and nothing to fall back to ends the start") {
  Bench bench;
  bench.start();
  const FakeWorker worker = bench.add_worker(0);
  const uint64_t number = bench.expect(worker.channel, MessageType::kPrepare).number;
  worker.say(MessageType::kRefused, number, "cannot");
  REQUIRE(bench.expect(bench.supervisor, MessageType::kStartFailed).text == "cannot");
}

TEST_CASE("stop and reopen go to the supervisor") {
  Bench bench;
  bench.start();
  REQUIRE(bench.ask(R"({"command":"stop","now":true})").get_bool("ok", false));
  REQUIRE(bench.expect(bench.supervisor, MessageType::kStop).number == 1);
  REQUIRE(bench.ask(R"({"command":"reopen"})").get_bool("ok", false));
  bench.expect(bench.supervisor, MessageType::kReopenAllLogs);
}

TEST_CASE("what is no command is answered with what would be one") {
  Bench bench;
  bench.start();
  for (const std::string request : {"nonsense", "[]", "{}", "{\"command\":\"fly\"}"}) {
    const base::Value answer = bench.ask(request);
    REQUIRE_FALSE(answer.get_bool("ok", true));
    REQUIRE(answer.find("errors")->items().size() == 1);
  }
  // Too long a line ends the connection.
  const Descriptor client = bench.send("control.sock", std::string(70'000, 'x'));
  REQUIRE(bench.read_until(client, "").empty());
}

TEST_CASE("the pages: metrics and health, and nothing else") {
  Bench bench;
  bench.start();
  const auto page = [&](const std::string& request) {
    return bench.read_until(bench.send("metrics.sock", request), "");
  };
  REQUIRE(page("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rfind("HTTP/1.1 503 ", 0) ==
          0);
  const FakeWorker first = bench.add_worker(0);
  const FakeWorker second = bench.add_worker(1);
  bench.serve(first);
  bench.serve(second);
  bench.expect(bench.supervisor, MessageType::kServing);
  REQUIRE(page("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rfind("HTTP/1.1 200 ", 0) ==
          0);
  for (const std::string path : {"/metrics", "/apisix/prometheus/metrics?x=1"}) {
    const std::string metrics = page("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    REQUIRE(metrics.find("moongate_worker_up{worker=\"1\"} 0\n") != std::string::npos);
    REQUIRE(metrics.find("apisix_node_info{") != std::string::npos);
  }
  REQUIRE(page("GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").rfind("HTTP/1.1 404 ", 0) == 0);
  REQUIRE(page("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
              .rfind("HTTP/1.1 405 ", 0) == 0);
  REQUIRE(page("GET /metrics HTTP/1.1\r\n\r\n").rfind("HTTP/1.1 400 ", 0) == 0);
  REQUIRE(page("GET /metrics HTTP/1.1\nHost: x\n\n").rfind("HTTP/1.1 400 ", 0) == 0);
  REQUIRE(page("GET /" + std::string(5000, 'a') + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
              .rfind("HTTP/1.1 431 ", 0) == 0);
}
