// The figures that the server counts for each client, against a proxy that counts every byte between browser and server.
//
// They agree to the byte on every transport, with no allowance: both sides count what passes the TCP socket, heads and frames included,
// and both let the bytes of an HTTP/1.1 connection belong to the request that is being answered. What is on its way between the two
// counters is seen by one of them only, so the figures are compared at rest: read again until nothing moves. Pings and heartbeats are
// bytes like all others; they are made rare here, so that there is a rest.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { ChatPage, transports } from "../stage/chat.mjs";
import { Proxy } from "../stage/proxy.mjs";
import { Server } from "../stage/server.mjs";
import { until } from "../stage/until.mjs";

let server;
const proxies = [];
const browsers = [];

before(async () => {
  server = await Server.start({ times: { heartbeat: "15s" } });
  browsers.push(...(await Promise.all([start.chromium(), start.firefox()])));
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await server?.stop();
});

/** What the proxy saw of a client. */
function seen(proxy, client) {
  const exchanges = proxy.of(client);
  const sum = (of) => exchanges.reduce((total, exchange) => total + of(exchange), 0);
  return { requests: exchanges.length, bytes_down: sum(({ down }) => down), bytes_up: sum(({ up }) => up) };
}

/** What the server says of a client, reading and publishing together. */
async function told(client) {
  const { clients } = await (await fetch(`${server.url}/traffic?client=${client}`)).json();
  const total = { requests: 0, bytes_down: 0, bytes_up: 0 };
  for (const part of Object.values(clients[0].transports)) for (const name of Object.keys(total)) total[name] += part[name];
  return total;
}

for (const [index, name] of ["chromium", "firefox"].entries()) {
  test(`${name}: requests and bytes of every pane are those that a proxy counts`, async () => {
    const proxy = await Proxy.before(server.port);
    proxies.push(proxy);
    const page = await ChatPage.open(await browsers[index].window(), proxy.url, `traffic-${name}`);
    await page.isOnAir();
    for (const pane of page.panes) {
      await pane.say(`typed in ${pane.name}: Привет, 世界 👋`);
      await pane.hears(`typed in ${pane.name}: Привет, 世界 👋`);
    }
    // More than one reading of the socket, and more than one frame of each length.
    await server.publish(`traffic-${name}`, { text: "long ".repeat(8_000) });
    for (const pane of page.panes) await until(`${pane.name} has the long one`, async () => (await pane.texts()).some((text) => text.length === 40_000));
    await page.pane("sse").cut();
    await page.pane("sse").plug();

    for (const { name: transport } of page.panes) {
      const client = proxy.exchanges.map(({ query }) => query.get("client")).find((id) => id?.startsWith(`${transport}-`));
      const both = await until(
        `${name}, ${transport}: server and proxy agree`,
        async () => {
          const [ours, theirs] = [seen(proxy, client), await told(client)];
          return JSON.stringify(ours) === JSON.stringify(theirs) && ours;
        },
        { seen: async () => ({ proxy: seen(proxy, client), server: await told(client) }) },
      );
      // Browsers offer compression on WebSockets, and there only.
      assert.equal(both.bytes_down > 40_000, transport !== "websocket", `${transport} carried the long message in ${both.bytes_down} bytes`);
      await until(
        `${name}, ${transport}: the page shows the same`,
        async () => {
          const [ours, shown] = [seen(proxy, client), await page.pane(transport).figures()];
          return shown.requests === ours.requests && shown.down === ours.bytes_down && shown.up === ours.bytes_up;
        },
        { seen: async () => ({ proxy: seen(proxy, client), page: await page.pane(transport).figures() }) },
      );
    }
    const fetched = proxy.exchanges.filter(({ target, headers }) => target.startsWith("/channels/") && !headers.upgrade && headers.accept !== "text/event-stream");
    assert.ok(fetched.every(({ headers }) => headers["cache-control"] === "no-cache"), "every fetch goes past the cache");
    const empty = (transport) => page.pane(transport).figures().then((figures) => figures.empty);
    await until("empty answers of the short poll are counted", async () => (await empty("short-poll")) > 0);
    for (const transport of transports.filter((one) => !one.endsWith("poll"))) assert.equal(await empty(transport), 0);
    assert.deepEqual(page.window.unexpected(), []);
  });
}
