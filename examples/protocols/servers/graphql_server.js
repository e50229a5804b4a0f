// A GraphQL server that speaks graphql-transport-ws: node graphql_server.js [PORT]
"use strict";

const http = require("http").createServer();
const { buildSchema } = require("graphql");
const { useServer } = require("graphql-ws/use/ws");
const { WebSocketServer } = require("ws");

const schema = buildSchema(`
  type Query { add(left: Int!, right: Int!): Int! }
  type Subscription { countdown(start: Int!): Int!  ticks: Int! }
`);

async function* countdown({ start }) {
  for (let number = start; number >= 0; number--) yield { countdown: number };
}

async function* ticks() {
  try {
    for (let number = 1; ; number++) {
      yield { ticks: number };
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } finally {
    console.log("ticks: unsubscribed");
  }
}

const roots = {
  query: { add: ({ left, right }) => left + right },
  subscription: { countdown, ticks },
};
// A client without the right token is closed with 4403.
const onConnect = ({ connectionParams }) => connectionParams?.token === "secret";

useServer({ schema, roots, onConnect }, new WebSocketServer({ server: http, path: "/graphql" }));
http.listen(Number(process.argv[2] || 0), "127.0.0.1", () => {
  console.log(`ws://127.0.0.1:${http.address().port}/graphql`);
});
