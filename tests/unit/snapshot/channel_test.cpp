// SPDX-License-Identifier: Apache-2.0
#include "snapshot/channel.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>

using namespace moongate::snapshot;
using moongate::base::ErrorKind;

TEST_CASE("a message arrives as it was sent") {
  ChannelPair pair = make_channel().take();
  REQUIRE_FALSE(receive_message(pair.second.get())->has_value());
  Message sent;
  sent.type = MessageType::kRefused;
  sent.worker = 3;
  sent.pid = 4711;
  sent.number = uint64_t{1} << 40;
  sent.text = "plugin x: boom";
  REQUIRE(send_message(pair.first.get(), sent).ok());
  auto received = receive_message(pair.second.get()).take();
  REQUIRE(received.has_value());
  REQUIRE(received->type == MessageType::kRefused);
  REQUIRE(received->worker == 3);
  REQUIRE(received->pid == 4711);
  REQUIRE(received->number == uint64_t{1} << 40);
  REQUIRE(received->text == "plugin x: boom");
  REQUIRE_FALSE(received->descriptor.is_open());
}

TEST_CASE("a descriptor travels with its message") {
  ChannelPair pair = make_channel().take();
  ChannelPair cargo = make_channel().take();
  Message sent;
  sent.type = MessageType::kWorkerStarted;
  sent.descriptor = std::move(cargo.first);
  REQUIRE(send_message(pair.first.get(), sent).ok());
  sent.descriptor.reset();
  auto received = receive_message(pair.second.get()).take();
  REQUIRE(received->descriptor.is_open());
  REQUIRE(::write(received->descriptor.get(), "hi", 2) == 2);
  char bytes[4];
  REQUIRE(::read(cargo.second.get(), bytes, sizeof bytes) == 2);
}

TEST_CASE("messages keep their order and their borders") {
  ChannelPair pair = make_channel().take();
  for (uint64_t i = 0; i < 5; i++) {
    Message sent;
    sent.type = MessageType::kReady;
    sent.number = i;
    REQUIRE(send_message(pair.first.get(), sent).ok());
  }
  for (uint64_t i = 0; i < 5; i++) REQUIRE(receive_message(pair.second.get()).take()->number == i);
  REQUIRE_FALSE(receive_message(pair.second.get())->has_value());
}

TEST_CASE("a text that is too long arrives cut") {
  ChannelPair pair = make_channel().take();
  Message sent;
  sent.type = MessageType::kRefused;
  sent.text.assign(kMessageTextMax + 100, 'x');
  REQUIRE(send_message(pair.first.get(), sent).ok());
  REQUIRE(receive_message(pair.second.get()).take()->text.size() == kMessageTextMax);
}

TEST_CASE("the end of the other side is kClosed, both ways") {
  ChannelPair pair = make_channel().take();
  pair.first.reset();
  REQUIRE(receive_message(pair.second.get()).error().kind == ErrorKind::kClosed);
  Message message;
  message.type = MessageType::kSwitch;
  REQUIRE(send_message(pair.second.get(), message).error().kind == ErrorKind::kClosed);
}

TEST_CASE("sending never waits: a full channel is kLimit") {
  ChannelPair pair = make_channel().take();
  Message message;
  message.type = MessageType::kRefused;
  message.text.assign(kMessageTextMax, 'x');
  moongate::base::Result<void> sent;
  for (int i = 0; i < 1000 && sent.ok(); i++) sent = send_message(pair.first.get(), message);
  REQUIRE_FALSE(sent.ok());
  REQUIRE(sent.error().kind == ErrorKind::kLimit);
}

TEST_CASE("foreign packets are refused and their descriptors closed") {
  ChannelPair pair = make_channel().take();
  const std::string garbage = GENERATE(std::string("x"), std::string(40, 'y'), std::string(24, '\0'));
  REQUIRE(::send(pair.first.get(), garbage.data(), garbage.size(), 0) > 0);
  REQUIRE(receive_message(pair.second.get()).error().kind == ErrorKind::kInvalid);
}
