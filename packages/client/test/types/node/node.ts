// Types where there are none of the DOM: Node, with the WebSocket of a package. Checked, not run.
import { WebSocket } from "undici";
import { connect, type Message } from "efir";
import { tabs } from "efir/tabs";

const client = connect("http://localhost:8080", { WebSocket, fetch, share: tabs() });
client.channel<{ text: string }>("chat").subscribe((message: Message<{ text: string }>) => message.data.text.length);

// @ts-expect-error: this is no WebSocket
connect("http://localhost:8080", { WebSocket: Date });
