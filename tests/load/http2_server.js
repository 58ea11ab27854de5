// A real HTTP/2 server for the prober's tests, Node's own: node http2_server.js LOGFILE [CERT KEY]. Prints its port.
//
// The path says how to behave, as with stand_in.py. Each request is a line in the log: session, method, path, its number, body's size,
// x-every. Ends with its standard input.
const http2 = require("node:http2");
const fs = require("node:fs");

const [log, cert, key] = process.argv.slice(2);
const server = cert ? http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : http2.createServer();
let sessions = 0;
server.on("session", (session) => (session.number = ++sessions));
server.on("sessionError", () => {});
server.on("stream", (stream, headers) => {
  let size = 0;
  stream.on("error", () => {});
  stream.on("data", (piece) => (size += piece.length));
  stream.on("end", () => {
    const path = headers[":path"];
    const line = [stream.session.number, headers[":method"], path, headers["x-chaosfw-request"], size, headers["x-every"] || "-"];
    fs.appendFileSync(log, line.join(" ") + "\n");
    const answers = {
      "/ok": () => (stream.respond({ ":status": 200, "x-chaosfw-pod": "web-1" }), stream.end("ok")),
      "/500": () => (stream.respond({ ":status": 500 }), stream.end("no")),
      "/404": () => stream.respond({ ":status": 404 }, { endStream: true }),
      "/empty": () => stream.respond({ ":status": 204 }, { endStream: true }),
      "/large": () => (stream.respond({ ":status": 200 }), stream.end(Buffer.alloc(300000))),
      "/reset": () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
      "/half": () => (stream.respond({ ":status": 200 }), stream.write("half"), setImmediate(() => stream.session.destroy())),
      "/hang": () => {},
      "/grpc-ok": () => trailing(stream, "0"),
      "/grpc-unavailable": () => trailing(stream, "14"),
      "/grpc-at-once": () => stream.respond({ ":status": 200, "grpc-status": "12" }, { endStream: true }),
    };
    answers[path]();
  });
  stream.resume();
});
function trailing(stream, status) {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
  stream.end("answer");
}
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
