// What a page can try on a server of another origin, without asking its visitor: everything that a browser sends by itself, and everything
// that a script can. Runs in the page, so it knows nothing but what it is given.

/**
 * Each way to write: what is published has the way's name in it. `isSimple`: a browser sends it without asking the server first.
 * `showsToken`: a script that has a token can show it.
 */
export const writes = [
  { name: "form-urlencoded", isSimple: true },
  { name: "form-text", isSimple: true },
  { name: "form-multipart", isSimple: true },
  { name: "no-cors-text", isSimple: true },
  { name: "no-cors-urlencoded", isSimple: true },
  { name: "cors-text", isSimple: true, showsToken: true },
  { name: "cors-json", showsToken: true },
  { name: "cors-put", showsToken: true },
  { name: "beacon-text", isSimple: true },
  { name: "beacon-blob", isSimple: true },
  { name: "xhr-text", isSimple: true, showsToken: true },
  { name: "socket-channel", showsToken: true },
  { name: "socket-commands", showsToken: true },
];

/** Ways to read; `heard` of the outcome says by which of them something was. */
export const reads = ["fetch", "fetch-stream", "xhr", "events", "socket-channel", "socket-commands"];

/** GETs of elements; they may send what they like, but the page sees nothing of the answers. */
export const elements = ["img", "script", "link", "iframe", "iframe-page"];

/**
 * Begins to try all of it on `server` (`http://host:port`) and its channel. `token`: shown where a page can show one. What comes of it is
 * found by `look`.
 */
export function intrude({ server, channel, token }) {
  const heard = (globalThis.heard = {});
  const pending = (globalThis.pending = new Set());
  const frames = (globalThis.embedded = new Map());
  const hear = (name, text) => (heard[name] = (heard[name] ?? "") + text);
  const address = (name, more = "") => `${server}/channels/${channel}?client=${name}${more}`;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const attempt = async (name, run) => {
    pending.add(name);
    await Promise.resolve()
      .then(run)
      .catch(() => undefined);
    pending.delete(name);
  };
  const protocols = token ? ["efir", `efir.token.${token}`] : undefined;

  for (const [name, enctype] of [
    ["form-urlencoded", "application/x-www-form-urlencoded"],
    ["form-text", "text/plain"],
    ["form-multipart", "multipart/form-data"],
  ]) {
    const frame = Object.assign(document.createElement("iframe"), { name: `frame-${name}` });
    const form = Object.assign(document.createElement("form"), { method: "post", action: address(name), enctype, target: frame.name });
    form.append(Object.assign(document.createElement("input"), { name: `by ${name}`, value: "1" }));
    document.body.append(frame, form);
    form.submit();
  }
  const post = (name, init) =>
    attempt(name, async () => {
      const answer = await fetch(address(name), { method: "POST", body: `by ${name}`, credentials: "include", ...init });
      if (answer.ok) hear(`receipt of ${name}`, await answer.text());
    });
  post("no-cors-text", { mode: "no-cors", headers: { "Content-Type": "text/plain" } });
  post("no-cors-urlencoded", { mode: "no-cors", headers: { "Content-Type": "application/x-www-form-urlencoded" } });
  post("cors-text", { headers: { ...headers, "Content-Type": "text/plain" } });
  post("cors-json", { credentials: "same-origin", body: '{"by":"by cors-json"}', headers: { ...headers, "Content-Type": "application/json" } });
  post("cors-put", { method: "PUT", credentials: "same-origin", headers });
  navigator.sendBeacon(address("beacon-text"), "by beacon-text");
  navigator.sendBeacon(address("beacon-blob"), new Blob(["by=by beacon-blob"], { type: "application/x-www-form-urlencoded" }));
  const xhr = (name, method, body, more = "") =>
    attempt(
      name,
      () =>
        new Promise((done) => {
          const asked = new XMLHttpRequest();
          asked.open(method, address(name, more));
          asked.withCredentials = method === "POST";
          for (const [field, value] of Object.entries(headers)) asked.setRequestHeader(field, value);
          asked.onload = () => asked.status === 200 && hear(name === "xhr" ? name : `receipt of ${name}`, asked.responseText);
          asked.onloadend = done;
          asked.send(body);
        }),
    );
  xhr("xhr-text", "POST", "by xhr-text");
  xhr("xhr", "GET", undefined, "&after=start");

  attempt("fetch", async () => {
    const answer = await fetch(address("fetch", "&after=start"), { headers });
    if (answer.ok) hear("fetch", await answer.text());
  });
  attempt("fetch-stream", async () => {
    const answer = await fetch(address("fetch-stream", "&after=start&transport=http-stream"), { headers });
    if (!answer.ok) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    hear("fetch-stream", (await reader.read()).value);
    void (async () => {
      for (let part; !(part = await reader.read()).done; ) hear("fetch-stream", part.value);
    })().catch(() => undefined);
  });
  attempt("events", async () => {
    let ticket = "";
    if (token) {
      const asked = await fetch(`${server}/tickets`, { method: "POST", headers, body: JSON.stringify({ channels: [channel] }) });
      ticket = `&ticket=${(await asked.json()).ticket}`;
    }
    await new Promise((done) => {
      const source = new EventSource(address("events", `&after=start${ticket}`), { withCredentials: false });
      source.onmessage = ({ data }) => done(hear("events", data));
      source.onerror = () => source.readyState === EventSource.CLOSED && done();
    });
  });
  const socket = (name, url, begin) =>
    attempt(
      name,
      () =>
        new Promise((done) => {
          const opened = new WebSocket(url.replace(/^http/, "ws"), protocols);
          opened.onopen = () => begin(opened);
          opened.onmessage = ({ data }) => {
            hear(name, data);
            if (data.includes("before")) done();
          };
          opened.onclose = done;
        }),
    );
  socket("socket-channel", address("socket-channel", "&after=start"), (opened) => opened.send("by socket-channel"));
  socket("socket-commands", `${server}/socket?client=socket-commands`, (opened) => {
    opened.send(JSON.stringify({ id: 1, subscribe: { channel, after: "start" } }));
    opened.send(JSON.stringify({ id: 2, publish: { channel, text: "by socket-commands" } }));
  });

  // By an embedded address its visitor would become a member of the channel.
  const embed = (tag, field, name, url) => {
    const made = document.createElement(tag);
    if (tag === "link") made.rel = "stylesheet";
    made[field] = url;
    document.body.append(made);
    if (tag === "iframe") frames.set(name, made);
  };
  for (const [tag, field] of [["img", "src"], ["script", "src"], ["link", "href"], ["iframe", "src"]])
    embed(tag, field, tag, address(tag, `&last=9&member=by-${tag}`));
  embed("iframe", "src", "iframe-page", `${server}/?client=iframe-page&for=${channel}`);
  const entry = `${server}/channels/${channel}/presence?member=by-put&client=presence`;
  attempt("presence", () => fetch(entry, { method: "PUT", body: "{}" }));
  attempt("no-cors-member", () => fetch(address("no-cors-member", "&last=1&member=by-fetch"), { mode: "no-cors" }));
}

/** What the page has read so far, by the way it did, and what it still waits for. */
export function look() {
  const read = { ...globalThis.heard };
  for (const [name, frame] of globalThis.embedded) {
    try {
      const text = frame.contentDocument?.body?.textContent;
      if (text) read[name] = text;
    } catch {
      // It is another origin's.
    }
  }
  return { heard: read, pending: [...globalThis.pending] };
}
