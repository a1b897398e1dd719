// SPDX-License-Identifier: Apache-2.0
#include "http/http2_stream_order.h"

#include <catch2/catch.hpp>

using moongate::http::Http2StreamOrder;

TEST_CASE("a stream is new until its head or a later one has come") {
  Http2StreamOrder order(8);
  CHECK(order.is_new(1));
  order.begin(5);
  for (uint32_t stream : {1U, 3U, 5U}) CHECK_FALSE(order.is_new(stream));
  CHECK(order.is_new(7));
  order.begin(0x7fffffff);
  CHECK_FALSE(order.is_new(0x7fffffff));
}

TEST_CASE("a stream that was cut is known until the client has ended it, and no other is") {
  Http2StreamOrder order(8);
  order.begin(1);
  order.begin(3);
  order.note_cut(1);
  order.note_cut(1);
  CHECK(order.was_cut(1));
  CHECK_FALSE(order.was_cut(3));
  CHECK_FALSE(order.was_cut(0));
  order.note_end(3);
  order.note_end(1);
  CHECK_FALSE(order.was_cut(1));
}

TEST_CASE(
    "as many cuts are remembered as there may be streams, and a first flight more, whatever their numbers") {
  Http2StreamOrder order(100);
  constexpr uint32_t kRemembered = 100 + Http2StreamOrder::kFirstFlightMax;
  constexpr uint32_t kFirst = 5001 - 2 * (kRemembered - 1);
  for (uint32_t stream = 1; stream < 5000; stream += 2) {
    order.begin(stream);
    if (stream == 1 || stream >= kFirst) order.note_cut(stream);
  }
  CHECK(order.was_cut(1));
  order.note_cut(kFirst - 2);  // one more than there is room for
  CHECK_FALSE(order.was_cut(1));
  CHECK(order.was_cut(kFirst));
  CHECK(order.was_cut(4999));
}

TEST_CASE("streams above the last that is taken may say what they like") {
  Http2StreamOrder order(8);
  order.begin(7);
  order.close_above(0x7fffffff);
  CHECK_FALSE(order.was_cut(7));
  order.close_above(3);
  order.close_above(5);
  CHECK(order.was_cut(7));
  CHECK(order.was_cut(5));
  CHECK_FALSE(order.was_cut(3));
}

TEST_CASE("numbers between two heads were passed over") {
  Http2StreamOrder order(8);
  order.begin(5);
  CHECK(order.was_passed_over(3));
  CHECK_FALSE(order.was_passed_over(5));
  order.begin(7);
  CHECK_FALSE(order.was_passed_over(7));
}
