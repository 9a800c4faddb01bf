// What the pages of an efir let a browser do: the headers, word by word; that the policy bites in both browsers; that text which looks
// like markup stays text; who may take /efir.js, and that nobody frames a page. That no page needs what is forbidden is shown by all other
// tests: each refusal is a complaint there (stage/browsers.mjs).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "../stage/browsers.mjs";
import { Server } from "../stage/server.mjs";
import { Site } from "../stage/site.mjs";
import { until } from "../stage/until.mjs";

const pages = ["/", "/by-hand/", "/lab/", "/demos/", "/demos/call/", "/demos/cursors/", "/demos/game/", "/demos/news/", "/demos/whiteboard/"];
const hosts = ["site.test", "other.test"];

let site;
let server;
const browsers = {};

before(async () => {
  site = await Site.open();
  server = await Server.start({ args: ["--allow-origin", `http://site.test:${site.port}`] });
  [browsers.chromium, browsers.firefox] = await Promise.all([start.chromium({ hosts }), start.firefox({ hosts })]);
});

after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await server?.stop();
  await site?.close();
});

const content =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

for (const path of [...pages, "/efir.js", "/nothing-here"]) {
  test(`${path} has the headers`, async () => {
    const { headers } = await fetch(server.url + path);
    const mayCall = path === "/demos/call/" ? "(self)" : "()";
    assert.deepEqual(Object.fromEntries([...headers].filter(([name]) => /policy|content-type-options/.test(name))), {
      "content-security-policy": content,
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "permissions-policy": `camera=${mayCall}, display-capture=(), geolocation=(), microphone=${mayCall}, payment=(), usb=()`,
      "referrer-policy": "same-origin",
      "x-content-type-options": "nosniff",
    });
  });
}

/** Tries, in a page, what an injected text would try; what of it ran is in `globalThis.ran`. */
function attack(foreign) {
  globalThis.ran = [];
  const element = (name, properties) => document.body.appendChild(Object.assign(document.createElement(name), properties));
  const attempt = (step) => {
    try {
      step();
    } catch {
      // Trusted Types refuse by an exception.
    }
  };
  const script = document.createElement("script");
  attempt(() => (script.textContent = "ran.push('inline script')"));
  attempt(() => document.body.append(script));
  attempt(() => (document.body.appendChild(document.createElement("div")).innerHTML = "<img src=x onerror=\"ran.push('handler')\">"));
  attempt(() => element("a", { id: "bait" }).setAttribute("onclick", "ran.push('attribute')"));
  attempt(() => document.querySelector("#bait").click());
  // Not at once: what a debugger evaluates may evaluate more.
  setTimeout(() => attempt(() => globalThis.eval("ran.push('eval')")));
  attempt(() => setTimeout("ran.push('timeout')", 0));
  attempt(() => element("script", { src: `${foreign}/script.js` }));
  attempt(() => element("img", { src: `${foreign}/image.png`, onload: () => ran.push("image") }));
  attempt(() => element("iframe", { src: foreign }));
  attempt(() => element("base", { href: foreign }));
  attempt(() => fetch(foreign, { mode: "no-cors" }).then(() => ran.push("fetch"), () => {}));
  attempt(() => new WebSocket(foreign.replace("http", "ws")));
}

for (const name of ["chromium", "firefox"]) {
  test(`${name}: what is not the server's own does not run, and each refusal is heard`, async () => {
    const window = await browsers[name].window();
    await window.goto(`${server.url}/demos/`);
    assert.deepEqual(window.unexpected(), []);
    await window.evaluate(attack, `http://site.test:${site.port}`);
    const heard = () => window.unexpected().filter((complaint) => complaint.startsWith("refused by the page's policy: "));
    // Text becomes neither a script nor markup; Trusted Types see that before `script-src` would.
    const sinks = ["HTMLScriptElement textContent", "HTMLScriptElement src", "Element innerHTML", "Element onclick", "Window setTimeout", "eval"];
    const wanted = [...sinks.map((sink) => `require-trusted-types-for trusted-types-sink ${sink}`), "img-src", "frame-src", "connect-src http:", "connect-src ws:", "base-uri"];
    await until("all of it is refused", () => wanted.every((words) => heard().some((complaint) => complaint.includes(`: ${words}`))), { seen: heard });
    assert.deepEqual(await window.evaluate(() => globalThis.ran), []);
    await window.close();
  });

  test(`${name}: text that looks like markup is text, in the chat, by hand and in the news`, async () => {
    const channel = `markup-${name}`;
    for (const [index, text] of markup.entries()) {
      await server.publish(channel, index % 2 === 0 ? { text, from: text.slice(0, 64), member: `m${index}`, via: "sse" } : text);
      await server.publish(`demo:news:${channel}`, { title: text, text, from: text.slice(0, 64) });
    }
    for (const path of [`/#${channel}`, `/by-hand/#${channel}`, `/demos/news/#${channel}`]) {
      const window = await browsers[name].window();
      await window.preload(() => (globalThis.alert = (what) => console.error(`ran: ${what}`)));
      await window.goto(server.url + path);
      await until(`${path}: the last text is shown`, () => window.evaluate(() => document.body.innerText.includes("the last text")), {
        within_ms: 30_000,
        seen: () => window.evaluate(() => document.body.innerText.slice(0, 800)),
      });
      assert.deepEqual(window.unexpected(), [], path);
      const foreign = () => document.querySelectorAll("main script, main iframe, main svg[onload], img[onerror], marquee, details[ontoggle]").length;
      assert.equal(await window.evaluate(foreign), 0, path);
      await window.close();
    }
  });

  test(`${name}: an allowed origin imports /efir.js, another one does not, and neither frames a page`, async () => {
    const take = (url) => import(`${url}/efir.js`).then((client) => typeof client.connect, () => "refused");
    for (const [host, wanted] of [["site.test", "function"], ["other.test", "refused"]]) {
      const window = await browsers[name].window();
      await window.goto(`http://${host}:${site.port}/`);
      assert.equal(await window.evaluate(take, server.url), wanted, host);
      const framed = (url) =>
        new Promise((done) => {
          const frame = document.body.appendChild(document.createElement("iframe"));
          frame.addEventListener("load", () => done(frame.contentDocument === null ? "closed" : "blank"));
          frame.addEventListener("error", () => done("refused"));
          frame.src = url;
        });
      assert.notEqual(await window.evaluate(framed, `${server.url}/demos/`), "blank", host);
      await until("the frame is refused", () => window.complaints.some((complaint) => /frame/i.test(complaint)) || name === "firefox");
      await window.close();
    }
  });
}

const sinks = ["alert(1)", "alert`1`", "top['al'+'ert'](1)"];
const markup = [
  ...sinks.flatMap((sink) => [
    `<script>${sink}</script>`,
    `</script><script>${sink}</script>`,
    `<img src=x onerror="${sink}">`,
    `"><svg onload="${sink}">`,
    `<svg><script>${sink}</script></svg>`,
    `<iframe srcdoc="<script>parent.${sink}</script>"></iframe>`,
    `<a href="javascript:${sink}">click</a>`,
    `javascript:${sink}`,
    `<details open ontoggle="${sink}">`,
    `<marquee onstart="${sink}">`,
    `<math><mtext></form><form><mglyph><style></math><img src onerror="${sink}">`,
    `<noscript><p title="</noscript><img src=x onerror=${sink}>">`,
    `<style>@import 'javascript:${sink}';</style>`,
    `<base href="javascript:${sink}//">`,
    `<meta http-equiv="refresh" content="0;url=javascript:${sink}">`,
    `<input autofocus onfocus="${sink}">`,
    `<object data="javascript:${sink}"></object>`,
    `<template><img src=x onerror="${sink}"></template>`,
  ]),
  "${alert(1)}{{constructor.constructor('alert(1)')()}}",
  "\u2028alert(1)\u2029",
  '{"__proto__":{"innerHTML":"<img src=x onerror=alert(1)>"}}',
  "the last text",
];
