// A worker that says what it is told to, and tells its page what it hears and by which transport.
import { connect } from "/efir.js";

const client = connect(location.origin);
const channel = client.channel("из воркера");
channel.subscribe(({ data }) => postMessage({ heard: data, by: client.transport }));
onmessage = ({ data }) => {
  client.use(data.by);
  channel.publish(data.say).catch((error) => postMessage({ failed: String(error) }));
};
client.on("error", (error) => postMessage({ failed: String(error) }));
