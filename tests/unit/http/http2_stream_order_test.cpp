// SPDX-License-Identifier: Apache-2.0
#include "http/http2_stream_order.h"

#include <catch2/catch.hpp>

using moongate::http::Http2StreamOrder;

TEST_CASE("a stream has ended when that was noted, and no other has") {
  Http2StreamOrder order;
  for (uint32_t stream = 1; stream < 200; stream += 2) CHECK(order.take_head(stream));
  order.note_end(65);
  order.note_end(199);
  CHECK(order.has_ended(65));
  CHECK(order.has_ended(199));
  for (uint32_t stream : {0U, 1U, 63U, 64U, 67U, 197U, 201U}) CHECK_FALSE(order.has_ended(stream));
}

TEST_CASE("ends of numbers that no stream has are not noted") {
  Http2StreamOrder order;
  CHECK(order.take_head(1));
  for (uint32_t stream : {0U, 2U, 3U}) {
    order.note_end(stream);
    CHECK_FALSE(order.has_ended(stream));
  }
  CHECK(order.take_head(3));
  CHECK_FALSE(order.has_ended(3));
}

TEST_CASE("ends are remembered for hundreds of streams, and then forgotten") {
  Http2StreamOrder order;
  uint32_t last = 0;
  for (uint32_t stream = 1; stream < 5000; stream += 2) {
    CHECK(order.take_head(stream));
    CHECK_FALSE(order.has_ended(stream));  // what had its place before is gone
    order.note_end(stream);
    last = stream;
  }
  CHECK(order.has_ended(last - 2 * 511));
  CHECK_FALSE(order.has_ended(last - 2 * 512));
}

TEST_CASE("a jump in numbers forgets what it leaves far behind") {
  Http2StreamOrder order;
  CHECK(order.take_head(1));
  order.note_end(1);
  CHECK(order.take_head(301));
  CHECK(order.has_ended(1));
  CHECK(order.take_head(0x7fffffff));
  CHECK_FALSE(order.has_ended(1));
  CHECK_FALSE(order.has_ended(0x7fffffff));
  order.note_end(0x7fffffff);
  CHECK(order.has_ended(0x7fffffff));
}

TEST_CASE("numbers between two heads were passed over") {
  Http2StreamOrder order;
  CHECK(order.take_head(5));
  CHECK(order.was_passed_over(3));
  CHECK_FALSE(order.take_head(3));
  CHECK(order.take_head(5));
  CHECK(order.take_head(7));
  CHECK_FALSE(order.was_passed_over(7));
}
