// SPDX-License-Identifier: Apache-2.0
// Takes one made-up request through what a worker does with a real one, as far as that goes without running
// plugins: head, canonical path, client, route, chains, upstream. The code is the worker's own; here it is
// only asked.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "cli/inspection.h"

namespace moongate::cli {

/// The request to explain.
struct Question {
  std::string method;
  std::string url;                   // "/path?query", or "http://host:port/path?query"
  std::vector<std::string> headers;  // "Name: value"
  std::string from = "127.0.0.1";    // the peer's address
  std::string consumer;              // who it is recognised as; empty: nobody
};

/// {snapshot, request, refused, candidates, route, plugins, upstream, fault}; what does not apply is null.
base::Result<base::Value> explain(Inspection& inspection, const Question& question);

}  // namespace moongate::cli
