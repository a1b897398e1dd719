// SPDX-License-Identifier: Apache-2.0
// grpc-js on both sides of the gateway: the same service, scenarios and results as grpc_peer.py.
//
//   grpc_peer.js serve [CERT KEY]                           prints its port and serves until its input ends
//   grpc_peer.js calls PORT SCENARIO,SCENARIO [AUTHORITY]   prints {scenario: result}; with AUTHORITY in TLS
"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const same = (bytes) => bytes;
const DETAILS = Buffer.from([0, 1, 2, 255, 254]);

// --- the server

// How often something happened that nobody has asked about yet.
class Happened {
  constructor() {
    this.count = 0;
    this.waiters = [];
  }

  note() {
    const waiter = this.waiters.shift();
    if (waiter) waiter("yes");
    else this.count += 1;
  }

  wait() {
    if (this.count > 0) {
      this.count -= 1;
      return Promise.resolve("yes");
    }
    return new Promise((resolve) => {
      this.waiters.push(resolve);
      setTimeout(() => resolve("no"), 10000).unref();
    });
  }
}

// Calls that wait to be cancelled, and those of them that were.
const happened = { begun: new Happened(), cancelled: new Happened() };

function failure(code, details, metadata) {
  return Object.assign(new Error(details), { code: grpc.status[code], details, metadata });
}

function answerMetadata(call, callback) {
  const before = new grpc.Metadata();
  before.set("x-before", "1");
  call.sendMetadata(before);
  const after = new grpc.Metadata();
  after.set("x-after", "2");
  const isBinaryRight = Buffer.from([0, 255]).equals(call.metadata.get("x-two-bin")[0]);
  const leftMs = new Date(call.getDeadline()).getTime() - Date.now();
  const seen = [call.metadata.get("x-one")[0], isBinaryRight, leftMs <= 21000];
  callback(null, Buffer.from(JSON.stringify(seen)), after);
}

function unary(call, callback) {
  const request = call.request.toString("utf8");
  if (request.startsWith("abort ")) {
    const [, code, message] = request.match(/^abort (\S+) (.*)$/);
    return callback(failure(code, message));
  }
  if (request === "details") {
    const metadata = new grpc.Metadata();
    metadata.set("grpc-status-details-bin", DETAILS);
    return callback(failure("INVALID_ARGUMENT", "see the details", metadata));
  }
  if (request === "metadata") return answerMetadata(call, callback);
  if (request === "wait") {
    call.on("cancelled", () => happened.cancelled.note());
    return happened.begun.note();
  }
  if (request in happened) return void happened[request].wait().then((told) => callback(null, Buffer.from(told)));
  return callback(null, call.request);
}

async function serverStream(call) {
  const count = Number(call.request.toString());
  for (let i = 0; i < count; i += 1) {
    if (!call.write(Buffer.from(String(i)))) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
}

function clientStream(call, callback) {
  let size = 0;
  call.on("data", (message) => { size += message.length; });
  call.on("end", () => callback(null, Buffer.from(String(size))));
}

function bothStream(call) {
  call.on("data", (message) => {
    if (message.toString() === "abort") call.emit("error", failure("DATA_LOSS", "in the middle"));
    else call.write(message);
  });
  call.on("end", () => call.end());
}

function method(name, requestStream, responseStream) {
  return {
    path: `/test.Echo/${name}`, requestStream, responseStream,
    requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
  };
}

function serve(cert, key) {
  const server = new grpc.Server(UNLIMITED);
  const service = {
    Unary: method("Unary", false, false), Server: method("Server", false, true),
    Client: method("Client", true, false), Both: method("Both", true, true),
  };
  server.addService(service, { Unary: unary, Server: serverStream, Client: clientStream, Both: bothStream });
  const credentials = cert
    ? grpc.ServerCredentials.createSsl(null, [{ private_key: fs.readFileSync(key), cert_chain: fs.readFileSync(cert) }])
    : grpc.ServerCredentials.createInsecure();
  server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
    if (error) throw error;
    console.log(port);
  });
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}

// --- the client

class Calls {
  constructor(client) {
    this.client = client;
  }

  options(seconds) {
    return { deadline: Date.now() + seconds * 1000 };
  }

  fetch(request, seconds = 20) {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest("/test.Echo/Unary", same, same, Buffer.from(request), this.options(seconds),
        (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  async tell(request) {
    return (await this.fetch(request)).toString();
  }

  async unary() {
    return this.tell("hello");
  }

  async many() {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => this.fetch(String(i))));
    return answers.every((answer, i) => answer.toString() === String(i));
  }

  async failed(request, seconds) {
    const error = await this.fetch(request, seconds).then(() => { throw new Error("it was answered"); }, (e) => e);
    return error;
  }

  async status() {
    const error = await this.failed("abort NOT_FOUND no such thing: \u00e9");
    return [grpc.status[error.code], error.details];
  }

  async details() {
    const error = await this.failed("details");
    return [grpc.status[error.code], error.details, DETAILS.equals(error.metadata.get("grpc-status-details-bin")[0])];
  }

  metadata() {
    const sent = new grpc.Metadata();
    sent.set("x-one", "1");
    sent.set("x-two-bin", Buffer.from([0, 255]));
    const got = {};
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest("/test.Echo/Unary", same, same, Buffer.from("metadata"), sent, this.options(20),
        (error, answer) => { if (error) reject(error); else got.answer = JSON.parse(answer); });
      call.on("metadata", (metadata) => { got.before = metadata.get("x-before")[0]; });
      call.on("status", (status) =>
        resolve([{ "x-before": got.before }, { "x-after": status.metadata.get("x-after")[0] }, got.answer]));
    });
  }

  async server_stream() {
    let next = 0;
    const call = this.client.makeServerStreamRequest("/test.Echo/Server", same, same, Buffer.from("1000"), this.options(20));
    for await (const message of call) {
      if (message.toString() !== String(next)) return false;
      next += 1;
    }
    return next === 1000;
  }

  client_stream() {
    return new Promise((resolve, reject) => {
      const call = this.client.makeClientStreamRequest("/test.Echo/Client", same, same, this.options(20),
        (error, answer) => (error ? reject(error) : resolve(Number(answer.toString()))));
      for (let i = 0; i < 1000; i += 1) call.write(Buffer.alloc(1000, "x"));
      call.end();
    });
  }

  open() {
    return this.client.makeBidiStreamRequest("/test.Echo/Both", same, same, this.options(20));
  }

  // Each message is sent when the one before it has come back.
  async pass(count) {
    const call = this.open();
    let next = 0;
    call.write(Buffer.from("0"));
    for await (const message of call) {
      if (message.toString() !== String(next)) return false;
      next += 1;
      if (next < count) call.write(Buffer.from(String(next)));
      else call.end();
    }
    return next === count;
  }

  both_stream() {
    return this.pass(50);
  }

  async many_streams() {
    const passed = await Promise.all(Array.from({ length: 200 }, () => this.pass(5)));
    return passed.every((is_right) => is_right);
  }

  async abort_stream() {
    const call = this.open();
    const got = [];
    call.write(Buffer.from("one"));
    try {
      for await (const message of call) {
        got.push(message.toString());
        call.write(Buffer.from("abort"));
      }
    } catch (error) {
      return [...got, grpc.status[error.code], error.details];
    }
    return got;
  }

  async large() {
    const message = Buffer.alloc(20 << 20, Uint8Array.from({ length: 256 }, (_, i) => i));
    return message.equals(await this.fetch(message, 60));
  }

  async deadline() {
    const error = await this.failed("wait", 2);
    return [grpc.status[error.code], await this.tell("begun"), await this.tell("cancelled")];
  }

  async cancel() {
    const call = this.open();
    call.on("error", () => {});
    const first = new Promise((resolve) => call.once("data", (message) => resolve(message.toString())));
    call.write(Buffer.from("one"));
    const got = await first;
    const waiting = this.client.makeUnaryRequest("/test.Echo/Unary", same, same, Buffer.from("wait"), this.options(20), () => {});
    call.cancel();
    const begun = await this.tell("begun"); // a call cancelled before would never reach its handler
    waiting.cancel();
    return [got, begun, await this.tell("cancelled")];
  }

  async refused() {
    return grpc.status[(await this.failed("hello")).code];
  }
}

async function calls(port, scenarios, authority) {
  const options = { ...UNLIMITED };
  if (authority) options["grpc.ssl_target_name_override"] = "a.test";
  const credentials = authority ? grpc.credentials.createSsl(fs.readFileSync(authority)) : grpc.credentials.createInsecure();
  const results = {};
  for (const scenario of scenarios.split(",")) {
    const is_compressed = scenario.endsWith("+gzip");
    const gzip = is_compressed ? { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip } : {};
    const client = new grpc.Client(`127.0.0.1:${port}`, credentials, { ...options, ...gzip });
    results[scenario] = await new Calls(client)[scenario.split("+")[0]]();
    client.close();
  }
  console.log(JSON.stringify(results));
}

({ serve, calls })[process.argv[2]](...process.argv.slice(3));
