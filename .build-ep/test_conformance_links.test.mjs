// test/conformance/links.test.ts
import assert from "node:assert/strict";

// src/transport/memory.ts
var MAX_QUEUED_BYTES = 64 * 1024 * 1024;
var MAX_QUEUED_MESSAGES = 8192;
var REDIAL_MS = 100;
var REFUSED_REDIAL_MS = 500;
function travel(net, connection, lane, frames) {
  const bytes = frames.reduce((sum, frame) => sum + frame.byteLength, 0);
  const full = lane.queue.length >= MAX_QUEUED_MESSAGES || lane.bytes + bytes > MAX_QUEUED_BYTES;
  if (full && lane.queue.length > 0) return false;
  lane.queue.push(frames.map((frame) => Buffer.from(frame)));
  lane.bytes += bytes;
  const fate = net.fate(lane.to, frames);
  if (fate === "cut") {
    net.schedule(() => breakConnection(net, connection), 0);
    return true;
  }
  net.schedule(() => {
    const message = connection.open ? lane.queue.shift() : void 0;
    if (message === void 0) return;
    lane.bytes -= message.reduce((sum, frame) => sum + frame.byteLength, 0);
    lane.receive(message);
  }, fate);
  return true;
}
function breakConnection(net, connection) {
  if (!connection.open) return;
  connection.open = false;
  for (const hub of net.hubs.values()) hub.connections.delete(connection.peer);
  connection.line.lost();
}
var MemoryHub = class {
  address;
  publicKey;
  options;
  connections = /* @__PURE__ */ new Map();
  #net;
  constructor(net, address, options) {
    this.#net = net;
    this.address = address;
    this.publicKey = options.keys.publicKey;
    this.options = options;
  }
  get queuedBytes() {
    let bytes = 0;
    for (const connection of this.connections.values()) bytes += connection.down.bytes;
    return bytes;
  }
  send(peer, frames) {
    const connection = this.connections.get(peer);
    if (connection !== void 0) return travel(this.#net, connection, connection.down, frames);
    this.#net.schedule(() => this.options.events.onUnreachable?.(peer, "it is gone"), 0);
    return true;
  }
  async close() {
    this.#net.hubs.delete(this.address);
    for (const connection of [...this.connections.values()]) breakConnection(this.#net, connection);
    this.connections.clear();
  }
};
var MemoryLine = class {
  #net;
  #options;
  #connection = null;
  #closed = false;
  constructor(net, options) {
    this.#net = net;
    this.#options = options;
    net.schedule(() => this.#dial(), 0);
  }
  get queuedBytes() {
    return this.#connection?.up.bytes ?? 0;
  }
  send(frames) {
    const connection = this.#connection;
    return connection !== null && connection.open && travel(this.#net, connection, connection.up, frames);
  }
  /** The connection broke. */
  lost() {
    if (this.#connection === null) return;
    this.#connection = null;
    if (this.#closed) return;
    this.#options.events.onDisconnect?.();
    this.#net.schedule(() => this.#dial(), REDIAL_MS);
  }
  async close() {
    this.#closed = true;
    if (this.#connection !== null) breakConnection(this.#net, this.#connection);
  }
  #dial() {
    if (this.#closed || this.#connection !== null) return;
    const hub = this.#net.hubs.get(this.#options.address);
    if (hub === void 0) return this.#net.schedule(() => this.#dial(), REDIAL_MS);
    const { keys, serverKey, events } = this.#options;
    if (serverKey !== hub.publicKey || !hub.options.allow(keys.publicKey)) {
      hub.options.events.onRefused?.("a peer with an unknown key was turned away");
      events.onRefused?.(`${this.#options.address} refuses us: the keys do not fit`);
      return this.#net.schedule(() => this.#dial(), REFUSED_REDIAL_MS);
    }
    this.#connection = this.#connect(hub);
    events.onConnect?.();
  }
  #connect(hub) {
    const peer = (this.#net.nextPeer++).toString(16).padStart(10, "0");
    const connection = {
      peer,
      line: this,
      up: {
        to: "hub",
        queue: [],
        bytes: 0,
        receive: (frames) => hub.options.events.onMessage(peer, frames)
      },
      down: { to: "line", queue: [], bytes: 0, receive: (frames) => this.#options.events.onMessage(frames) },
      open: true
    };
    hub.connections.set(peer, connection);
    return connection;
  }
};
function onTimers(action, delay_ms) {
  if (delay_ms === 0) setImmediate(action);
  else setTimeout(action, delay_ms);
}
function makeMemoryNet(options = {}) {
  const net = {
    hubs: /* @__PURE__ */ new Map(),
    schedule: options.schedule ?? onTimers,
    fate: options.fate ?? (() => 0),
    nextPort: 1,
    nextPeer: 1
  };
  return {
    async openHub(hubOptions) {
      const address = hubOptions.bind.replace(/\*$/, () => String(net.nextPort++));
      if (net.hubs.has(address)) throw new Error(`cannot listen on ${address}: the address is taken`);
      const hub = new MemoryHub(net, address, hubOptions);
      net.hubs.set(address, hub);
      return hub;
    },
    openLine: (lineOptions) => new MemoryLine(net, lineOptions),
    cut(address) {
      const hub = net.hubs.get(address);
      for (const connection of [...hub?.connections.values() ?? []]) breakConnection(net, connection);
    }
  };
}
function makeMemoryKeys(name) {
  return { publicKey: `public ${name}`, secretKey: `secret ${name}` };
}

// src/transport/zmq.ts
import { curveKeyPair } from "zeromq";

// src/transport/zmq-hub.ts
import { Context, Router } from "zeromq";

// src/errors.ts
function row(http, whose, retry, compute, flows, provider) {
  return { http, whose, retry, compute, flows, provider };
}
var FAULTS = {
  bad_json: row(400, "caller", false, "REQUEST_MALFORMED", "BAD_REQUEST", "BadActionRequest"),
  invalid_request: row(
    422,
    "caller",
    false,
    "REQUEST_MALFORMED",
    "UNPROCESSABLE_ENTITY",
    "RequestValidationError"
  ),
  invalid_uuid: row(400, "caller", false, "INVALID_UUID", "UNPROCESSABLE_ENTITY", "BadActionRequest"),
  payload_too_large: row(
    413,
    "caller",
    false,
    "BATCH_RUN_TOO_LARGE",
    "PAYLOAD_TOO_LARGE",
    "BadActionRequest"
  ),
  task_too_large: row(
    413,
    "caller",
    false,
    "TASK_PAYLOAD_TOO_LARGE",
    "PAYLOAD_TOO_LARGE",
    "BadActionRequest"
  ),
  function_too_large: row(
    413,
    "caller",
    false,
    "FUNCTION_TOO_LARGE",
    "PAYLOAD_TOO_LARGE",
    "BadActionRequest"
  ),
  unauthenticated: row(
    401,
    "caller",
    false,
    "USER_UNAUTHENTICATED",
    "AUTHENTICATION_ERROR",
    "UnauthorizedRequest"
  ),
  invalid_token: row(
    401,
    "caller",
    false,
    "INVALID_AUTH_TOKEN",
    "AUTHENTICATION_ERROR",
    "UnauthorizedRequest"
  ),
  missing_scope: row(403, "caller", false, "INSUFFICIENT_AUTH_SCOPE", "MISSING_SCOPE", "UnauthorizedRequest"),
  forbidden: row(403, "caller", false, "ENDPOINT_ACCESS_FORBIDDEN", "FORBIDDEN", "UnauthorizedRequest"),
  function_not_permitted: row(
    403,
    "caller",
    false,
    "FUNCTION_NOT_PERMITTED",
    "FORBIDDEN",
    "UnauthorizedRequest"
  ),
  route_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  function_not_found: row(404, "caller", false, "FUNCTION_NOT_FOUND", "NOT_FOUND", "ActionNotFound"),
  endpoint_not_found: row(404, "caller", false, "ENDPOINT_NOT_FOUND", "NOT_FOUND", "ActionNotFound"),
  task_not_found: row(404, "caller", false, "TASK_NOT_FOUND", "NOT_FOUND", "ActionNotFound"),
  task_group_not_found: row(404, "caller", false, "TASK_GROUP_NOT_FOUND", "NOT_FOUND", "ActionNotFound"),
  action_not_found: row(404, "caller", false, "TASK_NOT_FOUND", "NOT_FOUND", "ActionNotFound"),
  provider_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  flow_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  run_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  trigger_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  token_not_found: row(404, "caller", false, "UNKNOWN_ERROR", "NOT_FOUND", "ActionNotFound"),
  flow_input_invalid: row(
    400,
    "caller",
    false,
    "REQUEST_MALFORMED",
    "FLOW_INPUT_ERROR",
    "RequestValidationError"
  ),
  flow_invalid: row(
    422,
    "caller",
    false,
    "REQUEST_MALFORMED",
    "FLOW_VALIDATION_FAILED",
    "RequestValidationError"
  ),
  state_conflict: row(409, "caller", false, "RESOURCE_CONFLICT", "STATE_CONFLICT", "ActionConflict"),
  endpoint_locked: row(423, "caller", true, "RESOURCE_LOCKED", "STATE_CONFLICT", "ActionConflict"),
  registration_code_invalid: row(
    403,
    "caller",
    false,
    "ENDPOINT_ACCESS_FORBIDDEN",
    "FORBIDDEN",
    "UnauthorizedRequest"
  ),
  too_many_requests: row(
    429,
    "caller",
    true,
    "TOO_MANY_REQUESTS",
    "TOO_MANY_REQUESTS",
    "ActionProviderError"
  ),
  storage_full: row(507, "system", true, "INTERNAL_ERROR", "STORAGE_FULL", "ActionProviderError"),
  unavailable: row(503, "system", true, "INTERNAL_ERROR", "UNAVAILABLE", "ActionProviderError"),
  wait_timeout: row(504, "system", true, "INTERNAL_ERROR", "TIMEOUT", "ActionProviderError"),
  internal: row(500, "system", true, "INTERNAL_ERROR", "INTERNAL_ERROR", "ActionProviderError")
};
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

// src/transport/outbox.ts
var COMPACT_AFTER = 1024;
var Outbox = class {
  #limits;
  #parcels = [];
  #head = 0;
  #bytes = 0;
  constructor(limits) {
    this.#limits = limits;
  }
  get bytes() {
    return this.#bytes;
  }
  get length() {
    return this.#parcels.length - this.#head;
  }
  /** Queues a message; false when it does not fit. One message always fits into an empty box, whatever its size. */
  push(frames) {
    let bytes = 0;
    for (const frame of frames) bytes += frame.byteLength;
    const full = this.length >= this.#limits.messages || this.#bytes + bytes > this.#limits.bytes;
    if (full && this.length > 0) return false;
    this.#parcels.push({ frames, bytes });
    this.#bytes += bytes;
    return true;
  }
  peek() {
    return this.#parcels[this.#head];
  }
  shift() {
    const parcel = this.#parcels[this.#head];
    if (parcel === void 0) return;
    this.#bytes -= parcel.bytes;
    this.#parcels[this.#head] = void 0;
    this.#head++;
    if (this.#head === this.#parcels.length) this.clear();
    else if (this.#head >= COMPACT_AFTER) {
      this.#parcels = this.#parcels.slice(this.#head);
      this.#head = 0;
    }
  }
  clear() {
    this.#parcels = [];
    this.#head = 0;
    this.#bytes = 0;
  }
};

// src/transport/zap.ts
import { Reply } from "zeromq";

// src/transport/z85.ts
var ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
function encodeZ85(bytes) {
  if (bytes.byteLength % 4 !== 0) throw new RangeError("z85 needs a multiple of four bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += 4) {
    const value = view.getUint32(at);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += ALPHABET[Math.floor(value / power) % 85];
  }
  return text;
}

// src/transport/zap.ts
var ADDRESS = "inproc://zeromq.zap.01";
var VERSION = "1.0";
async function startZapHandler(context, allow) {
  const socket = new Reply({ context, linger: 0 });
  await socket.bind(ADDRESS);
  void answer(socket, allow);
  return { close: () => socket.close() };
}
async function answer(socket, allow) {
  try {
    for await (const request of socket) {
      const [version, requestId, , , , mechanism, key] = request;
      const known = version?.toString() === VERSION && mechanism?.toString() === "CURVE";
      const allowed = known && key?.byteLength === 32 && mayEnter(allow, key);
      const verdict = allowed ? ["200", "OK"] : ["400", "unknown key"];
      await socket.send([VERSION, requestId ?? "", ...verdict, "", ""]);
    }
  } catch (error) {
    if (!socket.closed) throw error;
  }
}
function mayEnter(allow, key) {
  try {
    return allow(encodeZ85(key));
  } catch {
    return false;
  }
}

// src/transport/zmq-settings.ts
var MAX_FRAME_BYTES = 256 * 1024 * 1024;
var OUTBOX_LIMITS = { bytes: 64 * 1024 * 1024, messages: 8192 };
var SOCKET_MESSAGES = 128;
function retryAfter_ms(stall_ms) {
  return stall_ms < 100 ? 1 : 20;
}
var STALL_MS = 3e4;
var LINGER_MS = 300;
var TURN_MESSAGES = 64;
var SOCKET_OPTIONS = {
  linger: LINGER_MS,
  sendTimeout: 0,
  sendHighWaterMark: SOCKET_MESSAGES,
  receiveHighWaterMark: SOCKET_MESSAGES,
  maxMessageSize: MAX_FRAME_BYTES,
  handshakeInterval: 1e4,
  heartbeatInterval: 5e3,
  heartbeatTimeout: 15e3,
  heartbeatTimeToLive: 2e4,
  tcpKeepalive: 1,
  tcpKeepaliveIdle: 60
};
function errorCode(error) {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
function nextTurn() {
  return new Promise((resolve) => setImmediate(resolve));
}
function surface(error) {
  queueMicrotask(() => {
    throw error;
  });
}

// src/transport/zmq-hub.ts
var MAX_SOCKETS = 4096;
var ZmqHub = class {
  address;
  publicKey;
  #socket;
  #zap;
  #events;
  /** Peers with something queued. */
  #peers = /* @__PURE__ */ new Map();
  #queuedBytes = 0;
  #writing = false;
  #retry = null;
  #closed = false;
  constructor(socket, zap, options) {
    this.#socket = socket;
    this.#zap = zap;
    this.#events = options.events;
    this.address = socket.lastEndpoint ?? options.bind;
    this.publicKey = options.keys.publicKey;
    this.#watch();
    void this.#read();
  }
  get queuedBytes() {
    return this.#queuedBytes;
  }
  send(peerId, frames) {
    if (this.#closed) return false;
    let peer = this.#peers.get(peerId);
    if (peer === void 0) {
      const routingId = Buffer.from(peerId, "hex");
      peer = { id: peerId, routingId, outbox: new Outbox(OUTBOX_LIMITS), blocked: false, stalled_ms: null };
      this.#peers.set(peerId, peer);
    }
    const before = peer.outbox.bytes;
    if (!peer.outbox.push(frames)) return false;
    this.#queuedBytes += peer.outbox.bytes - before;
    if (!peer.blocked) void this.#write();
    return true;
  }
  async close() {
    if (this.#closed) return;
    const deadline = Date.now() + LINGER_MS;
    while (this.#peers.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, retryAfter_ms(0)));
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#socket.close();
    this.#zap.close();
    this.#peers.clear();
    this.#queuedBytes = 0;
  }
  #watch() {
    const refused = (why) => {
      if (!this.#closed) this.#events.onRefused?.(why);
    };
    const events = this.#socket.events;
    events.on("handshake:error:auth", () => refused("a peer with an unknown key was turned away"));
    events.on("handshake:error:protocol", ({ error }) => {
      refused(`a peer was turned away: it knows another server key or speaks no CURVE (${error.message})`);
    });
    events.on("accept:error", ({ error }) => refused(`a connection could not be accepted: ${error.message}`));
  }
  async #read() {
    let handled = 0;
    try {
      for await (const [routingId, ...frames] of this.#socket) {
        if (routingId === void 0 || this.#closed) continue;
        try {
          this.#events.onMessage(routingId.toString("hex"), frames);
        } catch (error) {
          surface(error);
        }
        if (++handled % TURN_MESSAGES === 0) await nextTurn();
      }
    } catch (error) {
      if (!this.#closed) surface(error);
    }
  }
  /** Sends round robin, one message a peer, until nothing is left that can go. Runs once at a time. */
  async #write() {
    if (this.#writing) return;
    this.#writing = true;
    let written = 0;
    try {
      for (let sent = true; sent && !this.#closed; ) {
        sent = false;
        for (const peer of this.#peers.values()) {
          if (peer.blocked || !await this.#writeOne(peer)) continue;
          sent = true;
          if (++written % TURN_MESSAGES === 0) await nextTurn();
        }
      }
    } finally {
      this.#writing = false;
    }
  }
  async #writeOne(peer) {
    const parcel = peer.outbox.peek();
    if (parcel === void 0 || this.#closed) return false;
    try {
      await this.#socket.send([peer.routingId, ...parcel.frames]);
    } catch (error) {
      if (this.#closed) return false;
      if (errorCode(error) === "EAGAIN") this.#block(peer);
      else this.#forget(peer, errorCode(error) === "EHOSTUNREACH" ? "it is gone" : messageOf(error));
      return false;
    }
    peer.stalled_ms = null;
    peer.outbox.shift();
    this.#queuedBytes -= parcel.bytes;
    if (peer.outbox.length === 0) this.#peers.delete(peer.id);
    return true;
  }
  /** The peer's socket is full: the others go on, it is tried again in a moment. */
  #block(peer) {
    const now_ms = Date.now();
    peer.stalled_ms ??= now_ms;
    const stall_ms = now_ms - peer.stalled_ms;
    if (stall_ms > STALL_MS) return this.#forget(peer, `it has taken nothing for ${STALL_MS / 1e3} s`);
    peer.blocked = true;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      for (const blocked of this.#peers.values()) blocked.blocked = false;
      void this.#write();
    }, retryAfter_ms(stall_ms));
  }
  #forget(peer, why) {
    this.#queuedBytes -= peer.outbox.bytes;
    peer.outbox.clear();
    this.#peers.delete(peer.id);
    try {
      this.#events.onUnreachable?.(peer.id, why);
    } catch (error) {
      surface(error);
    }
  }
};
async function openHub(options) {
  const context = new Context({ blocky: false, maxSockets: MAX_SOCKETS });
  const zap = await startZapHandler(context, options.allow);
  const socket = new Router({
    ...SOCKET_OPTIONS,
    context,
    mandatory: true,
    backlog: 1024,
    curveServer: true,
    curveSecretKey: options.keys.secretKey,
    zapDomain: "pilotwave"
  });
  try {
    await socket.bind(options.bind);
  } catch (error) {
    socket.close();
    zap.close();
    throw new Error(`cannot listen on ${options.bind}: ${messageOf(error)}`, { cause: error });
  }
  return new ZmqHub(socket, zap, options);
}

// src/transport/zmq-line.ts
import { Context as Context2, Dealer } from "zeromq";
var RECONNECT_MS = 100;
var RECONNECT_MAX_MS = 5e3;
var REDIAL_MAX_MS = 3e4;
var lineContext = null;
var ZmqLine = class {
  #options;
  #outbox = new Outbox(OUTBOX_LIMITS);
  #socket;
  #connected = false;
  #writing = false;
  #retry = null;
  #redial = null;
  #refusals = 0;
  #closed = false;
  constructor(options) {
    this.#options = options;
    this.#socket = this.#dial();
  }
  get queuedBytes() {
    return this.#outbox.bytes;
  }
  /** False while there is no connection: a new connection is a new conversation, opened in `onConnect`. */
  send(frames) {
    if (this.#closed || !this.#connected || !this.#outbox.push(frames)) return false;
    if (this.#retry === null) void this.#write();
    return true;
  }
  async close() {
    if (this.#closed) return;
    const deadline = Date.now() + LINGER_MS;
    while (this.#connected && this.#outbox.length > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, retryAfter_ms(0)));
    }
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#redial !== null) clearTimeout(this.#redial);
    this.#outbox.clear();
    this.#socket.close();
  }
  #dial() {
    lineContext ??= new Context2({ blocky: false });
    const { address, keys, serverKey } = this.#options;
    const socket = new Dealer({
      ...SOCKET_OPTIONS,
      context: lineContext,
      // Nothing is queued for a connection that is not there: old words must not open a new conversation.
      immediate: true,
      connectTimeout: 1e4,
      reconnectInterval: RECONNECT_MS,
      reconnectMaxInterval: RECONNECT_MAX_MS,
      curveServerKey: serverKey,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey
    });
    const events = socket.events;
    events.on("handshake", () => this.#onHandshake(socket));
    events.on("disconnect", () => this.#onDisconnect(socket));
    events.on("handshake:error:auth", () => this.#onRefused(socket, "it does not accept our key"));
    events.on("handshake:error:protocol", ({ error }) => {
      this.#onRefused(socket, `it breaks the rules of the handshake (${error.message})`);
    });
    events.on("handshake:error:other", () => {
      this.#onRefused(socket, "it ends the handshake: most likely the server key we were given is not its key");
    });
    socket.connect(address);
    void this.#read(socket);
    return socket;
  }
  #onHandshake(socket) {
    if (this.#closed || socket !== this.#socket) return;
    this.#connected = true;
    this.#refusals = 0;
    this.#tell(() => this.#options.events.onConnect?.());
  }
  #onDisconnect(socket) {
    if (this.#closed || socket !== this.#socket || !this.#connected) return;
    this.#connected = false;
    this.#outbox.clear();
    this.#tell(() => this.#options.events.onDisconnect?.());
  }
  /** Tells the caller, and dials again with a new socket after a pause that grows. */
  #onRefused(socket, why) {
    if (this.#closed || socket !== this.#socket || this.#redial !== null) return;
    this.#onDisconnect(socket);
    socket.close();
    const pause_ms = Math.min(REDIAL_MAX_MS, 500 * 2 ** this.#refusals);
    this.#refusals = Math.min(this.#refusals + 1, 10);
    this.#redial = setTimeout(() => {
      this.#redial = null;
      this.#socket = this.#dial();
    }, pause_ms);
    this.#tell(() => this.#options.events.onRefused?.(`${this.#options.address} refuses us: ${why}`));
  }
  async #read(socket) {
    let handled = 0;
    try {
      for await (const frames of socket) {
        if (this.#closed || socket !== this.#socket) break;
        this.#tell(() => this.#options.events.onMessage(frames));
        if (++handled % TURN_MESSAGES === 0) await nextTurn();
      }
    } catch (error) {
      if (!socket.closed) surface(error);
    }
  }
  async #write() {
    if (this.#writing) return;
    this.#writing = true;
    try {
      for (let parcel = this.#outbox.peek(); parcel !== void 0; parcel = this.#outbox.peek()) {
        const socket = this.#socket;
        await socket.send([...parcel.frames]);
        if (this.#outbox.peek() === parcel) this.#outbox.shift();
      }
    } catch (error) {
      if (errorCode(error) !== "EAGAIN" && !this.#closed && !this.#socket.closed) surface(error);
      if (!this.#closed && this.#outbox.length > 0) this.#retryLater();
    } finally {
      this.#writing = false;
    }
  }
  #retryLater() {
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      void this.#write();
    }, retryAfter_ms(0));
  }
  #tell(handler) {
    try {
      handler();
    } catch (error) {
      surface(error);
    }
  }
};
function openLine(options) {
  return new ZmqLine(options);
}

// src/transport/zmq.ts
function makeKeys() {
  return curveKeyPair();
}

// test/integration/endpoint/support/eventually.ts
async function eventually(what, probe, limit_ms = 1e4) {
  const deadline = Date.now() + limit_ms;
  for (; ; ) {
    const value = await probe();
    if (value !== void 0 && value !== null && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited ${limit_ms} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// test/conformance/links.test.ts
var names = 0;
var TRANSPORTS = {
  zmq: () => ({ openHub, openLine, makeKeys }),
  memory: () => ({ ...makeMemoryNet(), makeKeys: () => makeMemoryKeys(`key ${names++}`) })
};
for (const [name, makeTransport] of Object.entries(TRANSPORTS)) {
  describe(`link over ${name}`, () => {
    const open = [];
    let transport;
    let serverKeys;
    let clientKeys;
    async function listen(bind = "tcp://127.0.0.1:*", allow = (key) => key === clientKeys.publicKey) {
      const end = { got: [], unreachable: [], refused: [] };
      const hub = await transport.openHub({
        bind,
        keys: serverKeys,
        allow,
        events: {
          onMessage: (peer, frames) => end.got.push({ peer, text: frames.map(String) }),
          onUnreachable: (peer) => end.unreachable.push(peer),
          onRefused: (why) => end.refused.push(why)
        }
      });
      open.push(hub);
      return { ...end, hub };
    }
    function dial(address, keys = clientKeys, serverKey = serverKeys.publicKey) {
      const end = { got: [], log: [] };
      const line = transport.openLine({
        address,
        keys,
        serverKey,
        events: {
          onMessage: (frames) => end.got.push(frames.map(String)),
          onConnect: () => end.log.push("connect"),
          onDisconnect: () => end.log.push("disconnect"),
          onRefused: (why) => end.log.push(`refused: ${why}`)
        }
      });
      open.push(line);
      return { ...end, line };
    }
    const connected = (end) => eventually("a connection", () => end.log.includes("connect"));
    beforeEach(() => {
      transport = makeTransport();
      serverKeys = transport.makeKeys();
      clientKeys = transport.makeKeys();
    });
    afterEach(async () => {
      await Promise.all(open.splice(0).map((end) => end.close()));
    });
    it("carries messages both ways, in order, frames intact", async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      for (let n = 0; n < 1e3; n++) assert.ok(client.line.send([Buffer.from(`m${n}`), Buffer.from("")]));
      await eventually("1000 messages", () => got.length === 1e3);
      assert.deepEqual(
        got.map(({ text }) => text),
        Array.from({ length: 1e3 }, (_, n) => [`m${n}`, ""])
      );
      const peer = got[0]?.peer ?? "";
      for (let n = 0; n < 1e3; n++) assert.ok(hub.send(peer, [Buffer.from(`r${n}`)]));
      await eventually("1000 answers", () => client.got.length === 1e3);
      assert.deepEqual(
        client.got,
        Array.from({ length: 1e3 }, (_, n) => [`r${n}`])
      );
      assert.equal(hub.queuedBytes, 0);
      assert.equal(client.line.queuedBytes, 0);
    });
    it("carries a large frame unchanged", async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      const big = "x".repeat(9 * 1024 * 1024);
      assert.ok(client.line.send([Buffer.from("head"), Buffer.from(big)]));
      await eventually("the large frame", () => got.length === 1);
      assert.ok(got[0]?.text[1] === big);
    });
    it("tells peers apart and answers only the one that asked", async () => {
      const { hub, got } = await listen();
      const [first, second] = [dial(hub.address), dial(hub.address)];
      await Promise.all([connected(first), connected(second)]);
      first.line.send([Buffer.from("first")]);
      second.line.send([Buffer.from("second")]);
      await eventually("both", () => got.length === 2);
      const peerOf = (text) => got.find((message) => message.text[0] === text)?.peer ?? "";
      assert.notEqual(peerOf("first"), peerOf("second"));
      hub.send(peerOf("second"), [Buffer.from("for the second")]);
      await eventually("the answer", () => second.got.length === 1);
      assert.deepEqual(second.got, [["for the second"]]);
      assert.deepEqual(first.got, []);
    });
    it("turns an unknown key away and says so on both sides", async () => {
      const { hub, got, refused } = await listen();
      const stranger = dial(hub.address, transport.makeKeys());
      await eventually("refusal at the line", () => stranger.log.length > 0);
      await eventually("refusal at the hub", () => refused.length > 0);
      assert.match(stranger.log[0] ?? "", /refused: .*key/);
      assert.match(refused[0] ?? "", /unknown key/);
      assert.equal(stranger.line.send([Buffer.from("let me in")]), false);
      assert.deepEqual(got, []);
    });
    it("lets a key in that was refused before, once it is allowed", async () => {
      let allowed = false;
      const { hub, got } = await listen("tcp://127.0.0.1:*", () => allowed);
      const client = dial(hub.address);
      await eventually("refusal", () => client.log.some((line) => line.startsWith("refused")));
      allowed = true;
      await connected(client);
      client.line.send([Buffer.from("in at last")]);
      await eventually("the message", () => got.length === 1);
    });
    it("refuses to speak to a hub with another key than expected", async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address, clientKeys, transport.makeKeys().publicKey);
      await eventually("refusal", () => client.log.some((line) => line.startsWith("refused")));
      assert.ok(!client.log.includes("connect"));
      assert.deepEqual(got, []);
    });
    it("redials a hub that comes back, as a new peer; nothing is queued meanwhile", async () => {
      const before = await listen();
      const client = dial(before.hub.address);
      await connected(client);
      client.line.send([Buffer.from("before")]);
      await eventually("first message", () => before.got.length === 1);
      await before.hub.close();
      await eventually("loss noticed", () => client.log.includes("disconnect"));
      assert.equal(client.line.send([Buffer.from("nobody hears this")]), false);
      const after = await listen(before.hub.address);
      await eventually("reconnection", () => client.log.filter((line) => line === "connect").length === 2);
      client.line.send([Buffer.from("after")]);
      await eventually("second message", () => after.got.length === 1);
      assert.deepEqual(after.got[0]?.text, ["after"]);
    });
    it("gives a reconnected line a new peer id", async () => {
      const { hub, got } = await listen();
      for (const text of ["one", "two"]) {
        const client = dial(hub.address);
        await connected(client);
        client.line.send([Buffer.from(text)]);
        await eventually(text, () => got.some((message) => message.text[0] === text));
        await client.line.close();
      }
      assert.notEqual(got[0]?.peer, got[1]?.peer);
    });
    it("reports a peer that is gone", async () => {
      const { hub, got, unreachable } = await listen();
      const client = dial(hub.address);
      await connected(client);
      client.line.send([Buffer.from("hello")]);
      await eventually("hello", () => got.length === 1);
      const peer = got[0]?.peer ?? "";
      await client.line.close();
      await eventually("the report", () => {
        if (unreachable.length === 0) hub.send(peer, [Buffer.from("are you there?")]);
        return unreachable.length > 0;
      });
      assert.equal(unreachable[0], peer);
    });
    it("says no instead of queueing without end, and delivers what it took", async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      client.line.send([Buffer.from("hello")]);
      await eventually("hello", () => got.length === 1);
      const megabyte = Buffer.alloc(1024 * 1024);
      let taken = 0;
      while (taken < 1e3 && hub.send(got[0]?.peer ?? "", [megabyte])) taken++;
      assert.ok(taken >= 16 && taken < 1e3, `took ${taken} MiB`);
      assert.ok(hub.queuedBytes <= 80 * 1024 * 1024);
      await eventually("all that was taken", () => client.got.length === taken);
    });
    it("refuses an address that is taken", async () => {
      const { hub } = await listen();
      await assert.rejects(listen(hub.address), /cannot listen on/);
    });
  });
}
//# sourceMappingURL=test_conformance_links.test.mjs.map
