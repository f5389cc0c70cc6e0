// The benchmark's peer on Bun: the minimum of chatbox.v1 on Bun's own WebSocket server and topics.
const heads = new Map();
const sockets = new Set();

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const user = new URL(request.url).searchParams.get("user");
    return server.upgrade(request, { data: { user } }) ? undefined : new Response("not a WebSocket", { status: 400 });
  },
  websocket: {
    open(ws) {
      sockets.add(ws);
      ws.send(`{"type":"welcome","user":"${ws.data.user}","connection":"0","server":"bun","heartbeat_ms":25000}`);
    },
    message(ws, text) {
      const { type, room, id, body } = JSON.parse(text);
      const head = heads.get(room) ?? 0;
      if (type === "join") {
        ws.subscribe(room);
        ws.send(JSON.stringify({ type: "joined", room, head, first: 1 }));
      } else if (type === "send") {
        const seq = head + 1;
        heads.set(room, seq);
        ws.send(JSON.stringify({ type: "ack", room, id, seq }));
        const at = new Date().toISOString();
        server.publish(room, JSON.stringify({ type: "message", room, seq, user: ws.data.user, id, body, at }));
      }
    },
    close(ws) {
      sockets.delete(ws);
      if (closing && sockets.size === 0) process.exit(0);
    },
  },
});

let closing = false;
process.on("SIGTERM", () => {
  closing = true;
  for (const ws of sockets) ws.close(1001, "server shutting down");
  if (sockets.size === 0) process.exit(0);
});

console.log(`listening on http://${server.hostname}:${server.port}`);
