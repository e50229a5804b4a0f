// A Socket.IO server: node socketio_server.js [PORT]
"use strict";

const http = require("http").createServer();
const { Server } = require("socket.io");

new Server(http).on("connection", (socket) => {
  socket.on("add", (left, right, answer) => answer(left + right));
  socket.on("reverse", (bytes, answer) => answer(Buffer.from(bytes).reverse()));
  socket.on("subscribe", (count, answer) => {
    for (let number = 1; number <= count; number++) socket.emit("tick", { number });
    answer(count);
  });
  socket.on("disconnect", (reason) => console.log(`gone: ${reason}`));
  // The answer to "wait" comes with "release".
  socket.on("wait", (answer) => socket.once("release", answer));
  // The connection is lost without a word.
  socket.on("drop", () => socket.conn.transport.socket.terminate());
});

http.listen(Number(process.argv[2] || 0), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${http.address().port}`);
});
