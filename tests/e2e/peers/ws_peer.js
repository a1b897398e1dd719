// SPDX-License-Identifier: Apache-2.0
// The npm library ws on both sides of the gateway.
//
//   ws_peer.js serve [CERT KEY]                           prints its port and serves until its input ends
//   ws_peer.js calls PORT SCENARIO,SCENARIO [AUTHORITY]   prints {scenario: result}; with AUTHORITY in TLS
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const https = require("https");
const WebSocket = require("ws");

const MEGABYTE = 1 << 20;
const FLOOD_MEGABYTES = 64;
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 1.3

// --- the server: what it does depends on the path

const closes = []; // [code, reason] of connections that ended
const waiting = [];
let floodedMegabytes = 0;

function noteClose(code, reason) {
  const waiter = waiting.shift();
  if (waiter) waiter([code, reason.toString()]);
  else closes.push([code, reason.toString()]);
}

function takeClose() {
  if (closes.length > 0) return Promise.resolve(closes.shift());
  return new Promise((resolve) => waiting.push(resolve));
}

async function flood(socket) {
  const piece = crypto.randomBytes(MEGABYTE);
  for (let i = 0; i < FLOOD_MEGABYTES; i += 1) {
    await new Promise((resolve, reject) => socket.send(piece, (error) => (error ? reject(error) : resolve())));
    floodedMegabytes = i + 1;
  }
}

const PATHS = {
  "/echo": (socket) => {
    socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
    socket.on("close", noteClose);
  },
  "/fragments": (socket) => socket.on("message", (message) => {
    const text = message.toString();
    for (const letter of text) socket.send(letter, { fin: false });
    socket.send("", { fin: true });
  }),
  "/close": (socket) => socket.on("message", (message) => {
    const [code, reason] = message.toString().split(" ");
    if (code === "none") socket.close();
    else if (code === "terminate") socket.terminate();
    else socket.close(Number(code), reason);
  }),
  "/ping": (socket) => {
    socket.on("pong", (data) => socket.send(`pong ${data}`));
    socket.ping("are you there");
  },
  "/flood": (socket) => void flood(socket).catch(() => {}),
  "/slow": (socket) => {
    let size = 0;
    socket.pause();
    socket.on("message", (message) => {
      size += message.length;
      if (size === FLOOD_MEGABYTES * MEGABYTE) socket.send("all");
    });
    slow.push(socket);
  },
};
const slow = [];

// What a connection without WebSocket asks for: about the ones with it.
async function answer(request, response) {
  if (request.url === "/last-close") response.end(JSON.stringify(await takeClose()));
  else if (request.url === "/flooded") response.end(String(floodedMegabytes));
  else if (request.url === "/go-on") response.end(String(slow.map((socket) => socket.resume()).length));
  else response.writeHead(426).end("WebSocket only");
}

// The first frame leaves in one piece with the head that accepts the connection.
function answerEarly(request, socket) {
  const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + KEY_SUFFIX).digest("base64");
  const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`;
  const text = Buffer.from("early");
  socket.once("data", () => socket.end()); // the client's close frame
  socket.write(Buffer.concat([Buffer.from(head), Buffer.from([0x81, text.length]), text, Buffer.from([0x88, 2, 3, 232])]));
}

function upgrade(servers, request, socket, head) {
  const path = request.url.split("?")[0];
  if (path === "/early") return answerEarly(request, socket);
  if (!PATHS[path]) return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nX-Why: path\r\n\r\nno way");
  const server = request.url.endsWith("?deflate") ? servers.deflating : servers.plain;
  return server.handleUpgrade(request, socket, head, (accepted) => PATHS[path](accepted));
}

function serve(cert, key) {
  const limits = { noServer: true, maxPayload: 128 * MEGABYTE };
  const servers = {
    plain: new WebSocket.Server({ ...limits, handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false) }),
    deflating: new WebSocket.Server({ ...limits, perMessageDeflate: { threshold: 0 } }),
  };
  const server = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, answer) : http.createServer(answer);
  server.on("upgrade", (request, socket, head) => upgrade(servers, request, socket, head));
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}

// --- the client

class Calls {
  constructor(port, authority) {
    this.port = port;
    this.tls = authority ? { ca: fs.readFileSync(authority), servername: "a.test", checkServerIdentity: () => undefined } : {};
    this.isTls = Boolean(authority);
  }

  open(path, options = {}, protocols = []) {
    const url = `${this.isTls ? "wss" : "ws"}://127.0.0.1:${this.port}${path}`;
    return new WebSocket(url, protocols, { perMessageDeflate: false, maxPayload: 128 * MEGABYTE, ...this.tls, ...options });
  }

  // An open connection, its messages in a queue from the first on.
  async connect(path, options, protocols) {
    const socket = this.open(path, options, protocols);
    const queue = [];
    const readers = [];
    socket.on("message", (message, isBinary) => {
      const item = isBinary ? message : message.toString();
      if (readers.length > 0) readers.shift()(item);
      else queue.push(item);
    });
    socket.take = () => (queue.length > 0 ? Promise.resolve(queue.shift()) : new Promise((resolve) => readers.push(resolve)));
    socket.ended = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, reason.toString()])));
    await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
    return socket;
  }

  get(path) {
    const options = { port: this.port, host: "127.0.0.1", path, headers: { Host: "a.test" }, agent: false, ...this.tls };
    return new Promise((resolve, reject) => {
      (this.isTls ? https : http).get(options, (response) => {
        let text = "";
        response.on("data", (data) => { text += data; }).on("end", () => resolve(text));
      }).on("error", reject);
    });
  }

  async echoes(messages, path = "/echo", options = {}) {
    const socket = await this.connect(path, options);
    const results = [];
    for (const message of messages) {
      socket.send(message);
      const back = await socket.take();
      results.push(typeof message === "string" ? back === message : Buffer.isBuffer(back) && message.equals(back));
    }
    socket.close(1000, "bye");
    await socket.ended;
    await this.get("/last-close");
    return [results.every((isRight) => isRight), socket.extensions];
  }

  messages() {
    return this.echoes(["", "text", "\u00e9\u{1f600}", Buffer.alloc(0), Buffer.from([0, 255, 129]), Buffer.alloc(125), Buffer.alloc(126, 1),
      Buffer.alloc(65535, 2), Buffer.alloc(65536, 3)]);
  }

  large() {
    return this.echoes([crypto.randomBytes(MEGABYTE), "x".repeat(MEGABYTE), crypto.randomBytes(16 * MEGABYTE)]);
  }

  deflate() {
    return this.echoes(["a".repeat(100000), crypto.randomBytes(MEGABYTE), "", "again ".repeat(5000)], "/echo?deflate", { perMessageDeflate: { threshold: 0 } });
  }

  async many() {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => this.connect("/echo")));
    sockets.forEach((socket, i) => { for (let j = 0; j < 10; j += 1) socket.send(`${i} ${j}`); });
    const lasts = await Promise.all(sockets.map(async (socket, i) => {
      for (let j = 0; j < 10; j += 1) if ((await socket.take()) !== `${i} ${j}`) return false;
      socket.close();
      await socket.ended;
      await this.get("/last-close");
      return true;
    }));
    return lasts.every((isRight) => isRight);
  }

  async fragments() {
    const socket = await this.connect("/fragments");
    for (const part of ["one ", "two ", "three"]) socket.send(part, { fin: part === "three" });
    const back = await socket.take();
    socket.terminate();
    return back;
  }

  async ping() {
    const socket = await this.connect("/ping");
    const pong = new Promise((resolve) => socket.on("pong", (data) => resolve(data.toString())));
    const told = await socket.take();
    socket.ping("and you");
    const results = [told, await pong];
    socket.terminate();
    return results;
  }

  async closes() {
    const seen = [];
    for (const words of ["1000 bye", "1001 leaving", "4001 own", "none", "terminate"]) {
      const socket = await this.connect("/close");
      socket.send(words);
      seen.push(await socket.ended);
    }
    for (const close of [[1000, "done"], [4999, ""], []]) {
      const socket = await this.connect("/echo");
      socket.close(...close);
      seen.push(await socket.ended, JSON.parse(await this.get("/last-close")));
    }
    const socket = await this.connect("/echo");
    socket.terminate();
    seen.push(JSON.parse(await this.get("/last-close")));
    return seen;
  }

  async protocol() {
    const socket = await this.connect("/echo", {}, ["chat.v1", "chat.v2"]);
    const chosen = socket.protocol;
    socket.close();
    await this.get("/last-close");
    return chosen;
  }

  async early() {
    const socket = await this.connect("/early");
    return [await socket.take(), await socket.ended];
  }

  refused() {
    const socket = this.open("/nowhere");
    return new Promise((resolve) => {
      socket.on("unexpected-response", (_, response) => {
        let body = "";
        response.on("data", (data) => { body += data; }).on("end", () => resolve([response.statusCode, response.headers["x-why"], body]));
      });
      socket.on("open", () => resolve("it was accepted"));
    });
  }

  // Ended by the gateway, after whoever answers /is-open has heard that it may.
  async revoked() {
    const socket = await this.connect("/echo", { headers: { apikey: "jane-key" } });
    socket.send("hello");
    await socket.take();
    await this.get("/is-open");
    return [await socket.ended, JSON.parse(await this.get("/last-close"))];
  }

  // What the server gets rid of while this client reads nothing: asked until it stays the same.
  async slow_client() {
    const socket = this.open("/flood");
    await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
    socket.pause();
    let before = -1;
    let flooded = 0;
    for (let same = 0; same < 5; same = flooded === before && flooded > 0 ? same + 1 : 0) {
      before = flooded;
      await new Promise((resolve) => setTimeout(resolve, 50));
      flooded = Number(await this.get("/flooded"));
    }
    let size = 0;
    const all = new Promise((resolve) => socket.on("message", (message) => {
      size += message.length;
      if (size === FLOOD_MEGABYTES * MEGABYTE) resolve(true);
    }));
    socket.resume();
    await all;
    socket.terminate();
    return [flooded < FLOOD_MEGABYTES / 2, true];
  }

  async slow_server() {
    const socket = await this.connect("/slow");
    for (let i = 0; i < FLOOD_MEGABYTES; i += 1) socket.send(Buffer.alloc(MEGABYTE));
    let before = -1;
    for (let same = 0; same < 5; same = socket.bufferedAmount === before ? same + 1 : 0) {
      before = socket.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const isHeld = socket.bufferedAmount > (FLOOD_MEGABYTES / 2) * MEGABYTE;
    await this.get("/go-on");
    const told = await socket.take();
    socket.terminate();
    return [isHeld, told];
  }
}

async function calls(port, scenarios, authority) {
  const results = {};
  const client = new Calls(Number(port), authority);
  for (const scenario of scenarios.split(",")) results[scenario] = await client[scenario]();
  console.log(JSON.stringify(results));
  process.exit(0);
}

({ serve, calls })[process.argv[2]](...process.argv.slice(3));
