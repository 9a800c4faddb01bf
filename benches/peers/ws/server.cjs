// ws: `server.cjs PORT`. It has no channels, so each is a set of sockets; the frame is made once and sent to each.
'use strict';
const http = require('node:http');
const { Sender, WebSocketServer } = require('ws');

const frame = { fin: true, opcode: 1, mask: false, rsv1: false, readOnly: true };
const channels = new Map();

function members(channel) {
  let found = channels.get(channel);
  if (!found) channels.set(channel, (found = { sockets: new Set(), streams: new Set() }));
  return found;
}

function publish(channel, message) {
  const found = channels.get(channel);
  if (!found) return;
  if (found.sockets.size > 0) {
    // `send` would make this list anew for each socket.
    const buffers = Sender.frame(message, frame);
    for (const socket of found.sockets) socket._sender.sendFrame(buffers);
  }
  if (found.streams.size > 0) {
    const event = `data: ${message}\n\n`;
    for (const stream of found.streams) stream.write(event);
  }
}

const server = http.createServer((request, response) => {
  // Server-Sent Events by Node's own HTTP server.
  const { streams } = members(request.url.slice('/streams/'.length));
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': open\n\n');
  streams.add(response);
  response.on('close', () => streams.delete(response));
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on('connection', (socket, request) => {
  if (request.url === '/publish') {
    // A publisher for many channels: `CHANNEL`, a space, the message.
    socket.on('message', (message) => {
      const space = message.indexOf(32);
      publish(message.latin1Slice(0, space), message.subarray(space + 1));
    });
    return;
  }
  // A member of one channel: what it sends goes to all of them.
  const channel = request.url.slice('/channels/'.length);
  const found = members(channel);
  found.sockets.add(socket);
  socket.on('message', (message) => publish(channel, message));
  socket.on('close', () => found.sockets.delete(socket));
});
server.listen(Number(process.argv[2]), '127.0.0.1', 16384);
