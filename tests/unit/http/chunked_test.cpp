// SPDX-License-Identifier: Apache-2.0
// The chunked coding, whole and in pieces.
#include "http/chunked.h"

#include <catch2/catch.hpp>
#include <string>

using namespace moongate;
using http::ChunkedDecoder;
using Status = ChunkedDecoder::Status;
using namespace std::string_literals;

namespace {

struct Outcome {
  Status status = Status::kMore;
  std::string payload;
  std::string rest;
  std::string trailers;
};

Outcome decode(std::string_view input, size_t piece_size = 1000000, size_t trailer_max_bytes = 8192) {
  ChunkedDecoder decoder(trailer_max_bytes);
  Outcome outcome;
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, piece_size);
    const ChunkedDecoder::Step step = decoder.feed(piece);
    outcome.status = step.status;
    outcome.payload += step.data;
    input.remove_prefix(step.consumed);
    if (step.status == Status::kDone || step.status == Status::kBad) break;
  }
  outcome.rest = input;
  outcome.trailers = decoder.trailers();
  return outcome;
}

}  // namespace

TEST_CASE("chunks decode to their payload however they arrive") {
  const std::string input = "5\r\nhello\r\n1;x=\"a;b\\\"\";y\r\n \r\nC\r\nlonger chunk\r\n0\r\n\r\nNEXT";
  for (size_t piece_size = 1; piece_size <= input.size(); ++piece_size) {
    const Outcome outcome = decode(input, piece_size);
    CHECK(outcome.status == Status::kDone);
    CHECK(outcome.payload == "hello longer chunk");
    CHECK(outcome.rest == "NEXT");
    CHECK(outcome.trailers.empty());
  }
}

TEST_CASE("sizes are hexadecimal in either case, with zeros in front") {
  CHECK(decode("a\r\n0123456789\r\n0\r\n\r\n").payload == "0123456789");
  CHECK(decode("A\r\n0123456789\r\n0\r\n\r\n").payload == "0123456789");
  CHECK(decode("0000000000000001\r\nx\r\n000\r\n\r\n").status == Status::kDone);
  CHECK(decode("20000000000000\r\nx").status == Status::kData);
}

TEST_CASE("anything but exact syntax is bad, and stays bad") {
  const std::string rows[] = {"\r\n",
                              "g\r\n",
                              "-1\r\n",
                              "+1\r\n",
                              "0x1\r\n",
                              " 1\r\n",
                              "1 \r\n",
                              "1\t\r\n",
                              "1 ;a\r\n",
                              "1\n",
                              "1\rx",
                              "1\r\r\n",
                              ";a\r\n",
                              "1,\r\n",
                              "1\r\nxy",
                              "1\r\nx\n",
                              "1\r\nx\rx",
                              "20000000000001\r\n",
                              "FFFFFFFFFFFFFFFFF\r\n",
                              "10000000000000000\r\n",
                              "00000000000000001\r\n",
                              "1;\r\n",
                              "1;=\r\n",
                              "1;a=\r\n",
                              "1;a=\"\r\n",
                              "1;a=\"b\"c\r\n",
                              "1;a=\"\n\"\r\n",
                              "1;a\n",
                              "1;a\rb",
                              "1;a b\r\n",
                              "1;a =b\r\n",
                              "1;a=b c\r\n",
                              "1;a=\x80\r\n",
                              "1;;\r\n",
                              "1;a=\"\\\r\n",
                              "1;a\0\r\n"s,
                              "0\r\n\n",
                              "0\r\n\rx\r\n\r\n",
                              "0\r\nA: b\n\r\n",
                              "0\r\nA : b\r\n\r\n",
                              "0\r\nA\r\n\r\n",
                              "0\r\n: b\r\n\r\n",
                              "0\r\nA: b\r\n c\r\n\r\n",
                              "0\r\nA: b\rc\r\n\r\n",
                              "0\r\nA: \0\r\n\r\n"s,
                              "0\r\n A: b\r\n\r\n"};
  for (const std::string& row : rows) {
    INFO(row);
    CHECK(decode(row).status == Status::kBad);
    CHECK(decode(row, 1).status == Status::kBad);
  }
  ChunkedDecoder decoder;
  CHECK(decoder.feed("x").status == Status::kBad);
  CHECK(decoder.feed("0\r\n\r\n").status == Status::kBad);
  decoder.reset();
  CHECK(decoder.feed("0\r\n\r\n").status == Status::kDone);
}

TEST_CASE("extensions share one limit over the whole body") {
  std::string input;
  for (int i = 0; i < 102; ++i) input += "1;abcdefghi\r\nx\r\n";  // ten bytes each
  CHECK(decode(input + "0\r\n\r\n").status == Status::kDone);
  input += "1;abcdefghi\r\nx\r\n";
  CHECK(decode(input + "0\r\n\r\n").status == Status::kBad);
}

TEST_CASE("trailers are checked, bounded, and stripped of what must not be one") {
  const Outcome outcome = decode(
      "0\r\nX-Sum:  1 \r\nContent-Length: 5\r\ntransfer_encoding: chunked\r\nAuthorization: x\r\nHOST: y\r\n"
      "x-forwarded-for: z\r\ngrpc-status:0\r\n\r\n");
  CHECK(outcome.status == Status::kDone);
  CHECK(outcome.trailers == "X-Sum: 1\r\ngrpc-status: 0\r\n");
  CHECK(decode("0\r\nA: bcdef\r\n\r\n", 1000, 10).status == Status::kDone);
  CHECK(decode("0\r\nA: bcdefg\r\n\r\n", 1000, 10).status == Status::kBad);
  CHECK(decode("0\r\nA: bcdefghijklmnopq", 1000, 10).status == Status::kBad);
}

TEST_CASE("what we write we read") {
  for (const uint64_t size : {uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{4096}, uint64_t{0xABCDE}}) {
    char open[20];
    std::string input(open, http::write_chunk_open(size, open));
    input.append(std::string(size, 'x')).append(http::kChunkClose).append(http::kLastChunk);
    const Outcome outcome = decode(input);
    CHECK(outcome.status == Status::kDone);
    CHECK(outcome.payload.size() == size);
  }
  char open[20];
  CHECK(std::string(open, http::write_chunk_open(~uint64_t{0}, open)) == "ffffffffffffffff\r\n");
  CHECK(std::string(open, http::write_chunk_open(0, open)) == "0\r\n");
}
