// uWebSockets: `server.cjs PORT`. Channels are its topics; `app.publish` frames a message once for all subscribers.
'use strict';
const { App, DISABLED } = require('uwebsockets');

// The defaults drop what a slow reader has not taken at 64 KiB, without a word; a comparison needs every message.
const options = { compression: DISABLED, maxBackpressure: 16 * 1024 * 1024, idleTimeout: 120 };

const app = App();
// A member of one channel: what it sends goes to all of them.
app.ws('/channels/:channel', {
  ...options,
  upgrade(res, req, context) {
    const key = req.getHeader('sec-websocket-key');
    const protocol = req.getHeader('sec-websocket-protocol');
    const extensions = req.getHeader('sec-websocket-extensions');
    res.upgrade({ channel: req.getParameter(0) }, key, protocol, extensions, context);
  },
  open(socket) {
    socket.subscribe(socket.getUserData().channel);
  },
  message(socket, message) {
    app.publish(socket.getUserData().channel, message, false);
  },
});
function publish(bytes) {
  const space = bytes.indexOf(32);
  app.publish(bytes.latin1Slice(0, space), bytes.subarray(space + 1), false);
}

// A publisher for many channels: `CHANNEL`, a space, the message.
app.ws('/publish', {
  ...options,
  message(socket, message) {
    publish(Buffer.from(message));
  },
});

// The same for one that sends as fast as it can. Within a message's own turn the library cannot gather what it sends
// to others once more than 32 have come, so they are published right after it.
let waiting = [];
app.ws('/firehose', {
  ...options,
  message(socket, message) {
    // What is handed over is only lent.
    const kept = Buffer.from(message.slice(0));
    if (waiting.push(kept) === 1) {
      setImmediate(() => {
        const all = waiting;
        waiting = [];
        all.forEach(publish);
      });
    }
  },
});

app.listen('127.0.0.1', Number(process.argv[2]), (listening) => {
  if (!listening) process.exit(1);
});
