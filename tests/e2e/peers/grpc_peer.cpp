// SPDX-License-Identifier: Apache-2.0
// gRPC's C++ library on both sides of the gateway: the same service, scenarios and results as grpc_peer.py.
//
//   grpc_peer serve [CERT KEY]                           prints its port and serves until its input ends
//   grpc_peer calls PORT SCENARIO,SCENARIO [AUTHORITY]   prints {"scenario": result}; with AUTHORITY in TLS
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using grpc::ByteBuffer;
using grpc::Status;
using grpc::StatusCode;

const std::string kDetails("\x00\x01\x02\xff\xfe", 5);
const std::string kTwo("\x00\xff", 2);

std::string to_text(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  static_cast<void>(buffer.Dump(&slices));
  std::string text;
  for (const grpc::Slice& slice : slices)
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

ByteBuffer to_buffer(const std::string& text) {
  const grpc::Slice slice(text);
  return {&slice, 1};
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string name_of(StatusCode code) {
  static const std::map<StatusCode, std::string> names{{StatusCode::OK, "OK"},
                                                       {StatusCode::NOT_FOUND, "NOT_FOUND"},
                                                       {StatusCode::INVALID_ARGUMENT, "INVALID_ARGUMENT"},
                                                       {StatusCode::DATA_LOSS, "DATA_LOSS"},
                                                       {StatusCode::UNAVAILABLE, "UNAVAILABLE"},
                                                       {StatusCode::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"}};
  const auto found = names.find(code);
  return found == names.end() ? std::to_string(code) : found->second;
}

StatusCode code_named(const std::string& name) {
  for (int code = 0; code <= 16; code++) {
    if (name_of(static_cast<StatusCode>(code)) == name) return static_cast<StatusCode>(code);
  }
  return StatusCode::UNKNOWN;
}

// --- the server

/// How often something happened that nobody has asked about yet.
class Happened {
 public:
  void note() {
    const std::lock_guard<std::mutex> lock(mutex_);
    count_++;
    is_more_.notify_one();
  }
  bool await() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!is_more_.wait_for(lock, std::chrono::seconds(10), [this] { return count_ > 0; })) return false;
    count_--;
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable is_more_;
  int count_ = 0;
};

/// Calls that wait to be cancelled, and those of them that were.
Happened& begun() {
  static Happened made;
  return made;
}
Happened& cancelled() {
  static Happened made;
  return made;
}

class Call : public grpc::ServerGenericBidiReactor {
 public:
  explicit Call(grpc::GenericCallbackServerContext* context) : context_(context) { StartRead(&request_); }
  void OnDone() override { delete this; }

 protected:
  void answer(const std::string& text, const Status& status = Status::OK) {
    response_ = to_buffer(text);
    StartWriteAndFinish(&response_, {}, status);
  }
  grpc::GenericCallbackServerContext* context_;
  ByteBuffer request_, response_;
};

class Unary final : public Call {
 public:
  using Call::Call;

 private:
  void OnReadDone(bool is_read) override {
    if (!is_read) return Finish({StatusCode::INVALID_ARGUMENT, "no request"});
    const std::string request = to_text(request_);
    if (request == "wait") return start_waiting();
    if (request == "metadata") return answer_metadata();
    if (request == "begun" || request == "cancelled") {
      Happened& asked = request == "begun" ? begun() : cancelled();
      std::thread([this, &asked] { answer(asked.await() ? "yes" : "no"); }).detach();
    } else if (request == "details") {
      context_->AddTrailingMetadata("grpc-status-details-bin", kDetails);
      Finish({StatusCode::INVALID_ARGUMENT, "see the details"});
    } else if (request.rfind("abort ", 0) == 0) {
      const size_t end = request.find(' ', 6);
      Finish({code_named(request.substr(6, end - 6)), request.substr(end + 1)});
    } else {
      answer(request);
    }
  }
  // The cancellation may come before the request has been looked at.
  void start_waiting() {
    begun().note();
    if (context_->IsCancelled()) return end_waiting();
    is_waiting_ = true;
    if (is_cancelled_ && is_waiting_.exchange(false)) end_waiting();
  }
  void OnCancel() override {
    is_cancelled_ = true;
    if (is_waiting_.exchange(false)) end_waiting();
  }
  void end_waiting() {
    cancelled().note();
    Finish(Status::CANCELLED);
  }
  void answer_metadata() {
    context_->AddInitialMetadata("x-before", "1");
    context_->AddTrailingMetadata("x-after", "2");
    const auto& sent = context_->client_metadata();
    const auto one = sent.find("x-one"), two = sent.find("x-two-bin");
    const bool is_two_right =
        two != sent.end() && std::string(two->second.data(), two->second.size()) == kTwo;
    const auto left = context_->deadline() - std::chrono::system_clock::now();
    answer("[\"" + (one == sent.end() ? "" : std::string(one->second.data(), one->second.size())) + "\", " +
           (is_two_right ? "true" : "false") + ", " + (left <= std::chrono::seconds(21) ? "true" : "false") +
           "]");
  }

  std::atomic<bool> is_waiting_{false};
  std::atomic<bool> is_cancelled_{false};
};

class Server final : public Call {
 public:
  using Call::Call;

 private:
  void OnReadDone(bool) override {
    count_ = std::stoi(to_text(request_));
    write_next();
  }
  void OnWriteDone(bool is_written) override {
    if (!is_written) return Finish(Status::CANCELLED);
    write_next();
  }
  void write_next() {
    if (next_ == count_) return Finish(Status::OK);
    response_ = to_buffer(std::to_string(next_++));
    StartWrite(&response_);
  }
  int next_ = 0, count_ = 0;
};

class Client final : public Call {
 public:
  using Call::Call;

 private:
  void OnReadDone(bool is_read) override {
    if (!is_read) return answer(std::to_string(size_));
    size_ += request_.Length();
    StartRead(&request_);
  }
  size_t size_ = 0;
};

class Both final : public Call {
 public:
  using Call::Call;

 private:
  void OnReadDone(bool is_read) override {
    if (!is_read) return Finish(Status::OK);
    if (to_text(request_) == "abort") return Finish({StatusCode::DATA_LOSS, "in the middle"});
    response_ = request_;
    StartWrite(&response_);
  }
  void OnWriteDone(bool is_written) override {
    if (!is_written) return Finish(Status::CANCELLED);
    StartRead(&request_);
  }
};

class Unknown final : public Call {
 public:
  using Call::Call;

 private:
  void OnReadDone(bool) override { Finish({StatusCode::UNIMPLEMENTED, "no such method"}); }
};

class Service final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    const std::string& method = context->method();
    if (method == "/test.Echo/Unary") return new Unary(context);
    if (method == "/test.Echo/Server") return new Server(context);
    if (method == "/test.Echo/Client") return new Client(context);
    if (method == "/test.Echo/Both") return new Both(context);
    return new Unknown(context);
  }
};

int serve(int count, char** arguments) {
  Service service;
  grpc::ServerBuilder builder;
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (count == 2) {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({read_file(arguments[1]), read_file(arguments[0])});
    credentials = grpc::SslServerCredentials(options);
  }
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::cout << port << std::endl;
  while (std::cin.get() != EOF) {
  }
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

// --- the client

std::string quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string to_json(bool value) { return value ? "true" : "false"; }

using Found = std::multimap<grpc::string_ref, grpc::string_ref>;
std::string find(const Found& metadata, const std::string& name) {
  const auto found = metadata.find(name);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

/// One call of any kind; each step waits until it is done.
class Stream {
 public:
  Stream(grpc::GenericStub& stub, const std::string& method, int seconds = 20)
      : stub_(stub), method_(method) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
  }
  ~Stream() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool is_done = false;
    while (queue_.Next(&tag, &is_done)) {
    }
  }
  bool start() {
    call_ = stub_.PrepareCall(&context, method_, &queue_);
    call_->StartCall(this);
    return wait();
  }
  bool write(const std::string& text) {
    call_->Write(to_buffer(text), this);
    return wait();
  }
  bool end_writing() {
    call_->WritesDone(this);
    return wait();
  }
  bool read(std::string* text) {
    ByteBuffer buffer;
    call_->Read(&buffer, this);
    if (!wait()) return false;
    *text = to_text(buffer);
    return true;
  }
  Status finish() {
    Status status;
    call_->Finish(&status, this);
    wait();
    return status;
  }
  /// A request of one message, and an answer of one.
  Status fetch(const std::string& request, std::string* answer) {
    if (start() && write(request) && end_writing()) read(answer);
    return finish();
  }
  grpc::ClientContext context;

 private:
  bool wait() {
    void* tag = nullptr;
    bool is_done = false;
    return queue_.Next(&tag, &is_done) && is_done;
  }
  grpc::GenericStub& stub_;
  std::string method_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

class Calls {
 public:
  explicit Calls(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {}

  std::string run(const std::string& scenario) {
    if (scenario == "unary") return quote(fetch("hello"));
    if (scenario == "many") return to_json(many());
    if (scenario == "status") return describe(fail("abort NOT_FOUND no such thing: \xc3\xa9"));
    if (scenario == "details") return details();
    if (scenario == "metadata") return metadata();
    if (scenario == "server_stream") return to_json(server_stream());
    if (scenario == "client_stream") return client_stream();
    if (scenario == "both_stream") return to_json(pass(50));
    if (scenario == "many_streams") return to_json(many_streams());
    if (scenario == "abort_stream") return abort_stream();
    if (scenario == "large") return to_json(large());
    if (scenario == "deadline") return deadline();
    if (scenario == "cancel") return cancel();
    if (scenario == "refused") return quote(name_of(fail("hello").error_code()));
    throw std::runtime_error("no scenario " + scenario);
  }

 private:
  std::string fetch(const std::string& request, int seconds = 20) {
    Stream call(stub_, "/test.Echo/Unary", seconds);
    std::string answer;
    const Status status = call.fetch(request, &answer);
    if (!status.ok()) throw std::runtime_error(request.substr(0, 20) + ": " + status.error_message());
    return answer;
  }
  Status fail(const std::string& request, int seconds = 20) {
    Stream call(stub_, "/test.Echo/Unary", seconds);
    std::string answer;
    return call.fetch(request, &answer);
  }
  static std::string describe(const Status& status, const std::string& before = "",
                              const std::string& after = "") {
    return "[" + before + quote(name_of(status.error_code())) + ", " + quote(status.error_message()) + after +
           "]";
  }

  bool many() {
    struct One {
      grpc::ClientContext context;
      std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
      ByteBuffer answer;
      Status status;
    };
    grpc::CompletionQueue queue;
    std::vector<One> calls(300);
    for (size_t i = 0; i < calls.size(); i++) {
      calls[i].context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      calls[i].call =
          stub_.PrepareUnaryCall(&calls[i].context, "/test.Echo/Unary", to_buffer(std::to_string(i)), &queue);
      calls[i].call->StartCall();
      calls[i].call->Finish(&calls[i].answer, &calls[i].status, &calls[i]);
    }
    for (size_t i = 0; i < calls.size(); i++) {
      void* tag = nullptr;
      bool is_done = false;
      queue.Next(&tag, &is_done);
    }
    for (size_t i = 0; i < calls.size(); i++) {
      if (!calls[i].status.ok() || to_text(calls[i].answer) != std::to_string(i)) return false;
    }
    return true;
  }

  std::string details() {
    Stream call(stub_, "/test.Echo/Unary");
    std::string answer;
    const Status status = call.fetch("details", &answer);
    const Found& trailers = call.context.GetServerTrailingMetadata();
    return describe(status, "", ", " + to_json(find(trailers, "grpc-status-details-bin") == kDetails));
  }

  std::string metadata() {
    Stream call(stub_, "/test.Echo/Unary");
    call.context.AddMetadata("x-one", "1");
    call.context.AddMetadata("x-two-bin", kTwo);
    std::string answer;
    call.fetch("metadata", &answer);
    return "[{\"x-before\": " + quote(find(call.context.GetServerInitialMetadata(), "x-before")) +
           "}, {\"x-after\": " + quote(find(call.context.GetServerTrailingMetadata(), "x-after")) + "}, " +
           answer + "]";
  }

  bool server_stream() {
    Stream call(stub_, "/test.Echo/Server");
    if (!call.start() || !call.write("1000") || !call.end_writing()) return false;
    int next = 0;
    std::string message;
    while (call.read(&message)) {
      if (message != std::to_string(next++)) return false;
    }
    return call.finish().ok() && next == 1000;
  }

  std::string client_stream() {
    Stream call(stub_, "/test.Echo/Client");
    std::string answer = "null";
    call.start();
    for (int i = 0; i < 1000; i++) call.write(std::string(1000, 'x'));
    call.end_writing();
    call.read(&answer);
    return call.finish().ok() ? answer : "null";
  }

  // Each message is sent when the one before it has come back.
  bool pass(int count) {
    Stream call(stub_, "/test.Echo/Both");
    std::string message;
    call.start();
    for (int i = 0; i < count; i++) {
      if (!call.write(std::to_string(i)) || !call.read(&message) || message != std::to_string(i))
        return false;
    }
    call.end_writing();
    return call.finish().ok();
  }

  bool many_streams() {
    std::vector<std::thread> threads;
    std::atomic<int> passed{0};
    for (int i = 0; i < 48; i++) threads.emplace_back([this, &passed] { passed += pass(5) ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    return passed == 48;
  }

  std::string abort_stream() {
    Stream call(stub_, "/test.Echo/Both");
    std::string message;
    call.start();
    call.write("one");
    call.read(&message);
    call.write("abort");
    std::string rest;
    while (call.read(&rest)) message += rest;
    return describe(call.finish(), quote(message) + ", ");
  }

  bool large() {
    std::string message(20 << 20, '\0');
    for (size_t i = 0; i < message.size(); i++) message[i] = static_cast<char>(i);
    return fetch(message, 60) == message;
  }

  std::string deadline() {
    const Status status = fail("wait", 2);
    const std::string begun_told = fetch("begun");
    return "[" + quote(name_of(status.error_code())) + ", " + quote(begun_told) + ", " +
           quote(fetch("cancelled")) + "]";
  }

  std::string cancel() {
    Stream call(stub_, "/test.Echo/Both"), waiting(stub_, "/test.Echo/Unary");
    std::string got;
    call.start();
    call.write("one");
    call.read(&got);
    waiting.start();
    waiting.write("wait");
    waiting.end_writing();
    call.context.TryCancel();
    const std::string begun_told = fetch("begun");  // cancelled before, it would never reach its handler
    waiting.context.TryCancel();
    const std::string told = fetch("cancelled");
    static_cast<void>(call.finish());
    static_cast<void>(waiting.finish());
    return "[" + quote(got) + ", " + quote(begun_told) + ", " + quote(told) + "]";
  }

  grpc::GenericStub stub_;
};

int call(const std::string& port, const std::string& scenarios, const char* authority) {
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (authority) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = read_file(authority);
    credentials = grpc::SslCredentials(options);
  }
  std::istringstream rest(scenarios);
  std::string results;
  for (std::string scenario; std::getline(rest, scenario, ',');) {
    const size_t plus = scenario.find('+');
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt("grpc.enable_http_proxy", 0);
    if (authority) arguments.SetSslTargetNameOverride("a.test");
    if (plus != std::string::npos) arguments.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
    const auto channel = grpc::CreateCustomChannel("127.0.0.1:" + port, credentials, arguments);
    results += (results.empty() ? "{" : ", ") + quote(scenario) + ": " +
               Calls(channel).run(scenario.substr(0, plus));
  }
  std::cout << results << "}" << std::endl;
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string command = count > 1 ? arguments[1] : "";
  if (command == "serve") return serve(count - 2, arguments + 2);
  if (command == "calls" && count >= 4)
    return call(arguments[2], arguments[3], count > 4 ? arguments[4] : nullptr);
  std::cerr << "usage: grpc_peer serve [CERT KEY] | calls PORT SCENARIO,SCENARIO [AUTHORITY]" << std::endl;
  return 2;
}
