// Socket.IO: `server.cjs PORT`. Channels are its rooms; a client names its room when it connects.
'use strict';
const http = require('node:http');
const { Server } = require('socket.io');

const server = http.createServer();
// Compression of polls is on by default; nobody asks for it here, and it would cost a look at each answer.
const io = new Server(server, { httpCompression: false, serveClient: false });
io.on('connection', (socket) => {
  const { channel } = socket.handshake.query;
  if (channel) {
    socket.join(channel);
    // A member of one channel: what it sends goes to all of them.
    socket.on('send', (message) => io.to(channel).emit('message', message));
  }
  // A publisher for many channels.
  socket.on('publish', (to, message) => io.to(to).emit('message', message));
});
server.listen(Number(process.argv[2]), '127.0.0.1', 16384);
