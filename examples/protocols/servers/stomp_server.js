// A STOMP broker, with a subscriber that multiplies: node stomp_server.js [PORT]
"use strict";

const http = require("http").createServer();
const StompServer = require("stomp-broker-js");

const broker = new StompServer({ server: http, path: "/stomp" });
broker.subscribe("/topic/questions", (body, headers) => {
  const [left, right] = body.split("*").map(Number);
  broker.send("/topic/answers", { question: body }, String(left * right));
});
broker.on("disconnected", () => console.log("gone"));
http.listen(Number(process.argv[2] || 0), "127.0.0.1", () => {
  console.log(`ws://127.0.0.1:${http.address().port}/stomp`);
});
