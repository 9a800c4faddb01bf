// Debian's Chromium (playwright-core) and Firefox (puppeteer-core over WebDriver BiDi) behind one small face: a Browser opens Windows.
// Both run with fresh profiles and reach loopback only. Knows nothing of efir.
import { chromium as playwright } from "playwright-core";
import puppeteer from "puppeteer-core";

/**
 * What Chromium does without. It draws a browser around each window that nobody sees: of that, the list that drops from its address bar is
 * two pages more a window, which took more of the machine than the pages of these tests. Of several lists the last one counts, so what
 * Playwright (1.65) would leave out is named again.
 */
const chromium_absent = [
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "AimEnabled",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsFirstBalancedModeAutoEnable",
  "HttpsUpgrades",
  "LensOverlay",
  "MediaRouter",
  "NetworkTimeServiceQuerying",
  "OptimizationHints",
  "PaintHolding",
  "PreconnectToSearch",
  "ThirdPartyStoragePartitioning",
];

const chromium_flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--disable-features=${chromium_absent.join(",")}`,
];

/** Firefox asks many hosts of its own at start; none of them concerns a test. */
const firefox_prefs = {
  "app.normandy.enabled": false,
  "app.update.enabled": false,
  "browser.safebrowsing.downloads.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "datareporting.healthreport.uploadEnabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "extensions.getAddons.cache.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.dns.disablePrefetch": true,
  "network.trr.mode": 5,
  "services.settings.server": "http://127.0.0.1:9/",
  "toolkit.telemetry.enabled": false,
};

/** Each refusal by a page's own Content-Security-Policy becomes a complaint: Firefox says it where no test hears it. Runs in the page. */
function sayRefusals() {
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sample }) => {
    console.error(`refused by the page's policy: ${effectiveDirective} ${blockedURI} ${sample}`);
  });
}

/** What a page is bound to complain of while its server is away, browser by browser; allowed only where a test takes the server away. */
export const outage = [
  /^Failed to load resource: net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)\b/,
  /^WebSocket connection to '[^']+' failed: (Error in connection establishment: net::ERR_CONNECTION_(REFUSED|RESET)|Connection closed before receiving a handshake response|)$/,
  /^uncaught: (Firefox can’t establish a connection to the server at|The connection to) ws:/,
];

/**
 * Starts one. `hosts`: names besides localhost that lead to 127.0.0.1. `flags`: further ones of Chromium's command line; `prefs`: further
 * ones of Firefox. `language`: what a Firefox asks for everywhere (a window of Chromium is told its own).
 */
export const start = {
  async chromium({ hosts = [], flags = [] } = {}) {
    const rules = hosts.map((host) => `MAP ${host} 127.0.0.1`);
    const resolver = rules.length > 0 ? [`--host-resolver-rules=${rules.join(",")}`] : [];
    const program = process.env.CHROMIUM ?? "/usr/bin/chromium";
    return new Chromium(await playwright.launch({ executablePath: program, args: [...chromium_flags, ...flags, ...resolver] }));
  },
  async firefox({ hosts = [], language = "en-US, en", prefs: further = {}, isTrusting = false } = {}) {
    const program = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
    const prefs = { ...firefox_prefs, "intl.accept_languages": language, "network.dns.localDomains": hosts.join(","), ...further };
    const options = { browser: "firefox", executablePath: program, headless: true, extraPrefsFirefox: prefs };
    const browser = await puppeteer.launch({ ...options, acceptInsecureCerts: isTrusting });
    return new Firefox(browser);
  },
};

class Chromium {
  name = "chromium";
  #browser;
  #shared;

  constructor(browser) {
    this.#browser = browser;
  }

  /** A window of the browser's own profile: all of them share storage and connections. */
  async window() {
    this.#shared ??= await this.#browser.newContext({ locale: "en-US" });
    return new Window(this, await this.#shared.newPage());
  }

  /** A window of a visitor of its own: `locale`, `colorScheme`, `viewport`, `deviceScaleFactor`, `isMobile`, `hasTouch`. */
  async visitor(options) {
    const context = await this.#browser.newContext(options);
    return new Window(this, await context.newPage(), () => context.close());
  }

  close() {
    return this.#browser.close();
  }
}

class Firefox {
  name = "firefox";
  #browser;

  constructor(browser) {
    this.#browser = browser;
  }

  /** A tab; the newest one is the visible one. */
  async window() {
    return new Window(this, await this.#browser.newPage());
  }

  close() {
    return this.#browser.close();
  }
}

export class Window {
  /** What the page complained of: errors on the console, and those that nobody caught. */
  complaints = [];
  #page;
  #leave;
  #begun;

  constructor(browser, page, leave) {
    this.browser = browser;
    this.#page = page;
    this.#leave = leave ?? (() => page.close());
    page.on("console", (entry) => {
      if (entry.type() === "error") this.complaints.push(entry.text());
    });
    page.on("pageerror", (error) => this.complaints.push(`uncaught: ${error instanceof Error ? error.message : String(error)}`));
    this.#begun = this.preload(sayRefusals);
  }

  async goto(url) {
    await this.#begun;
    await this.#page.goto(url);
  }

  async reload() {
    await this.#page.reload();
  }

  /** Runs a function in the page; what it takes and gives must be JSON. */
  evaluate(step, argument) {
    return this.#page.evaluate(step, argument);
  }

  async click(selector) {
    await this.#page.click(selector);
  }

  /** Types as a person does, into an empty field. */
  async type(selector, text) {
    await this.#page.click(selector);
    await this.#page.keyboard.type(text);
  }

  async press(key) {
    await this.#page.keyboard.press(key);
  }

  /** Runs a function in every page of this window from now on, before the page's own. */
  async preload(step) {
    await (this.#page.addInitScript ?? this.#page.evaluateOnNewDocument).call(this.#page, step);
  }

  /** Moves the pointer through places `[x, y]` of the window. */
  async point(...places) {
    for (const [x, y] of places) await this.#page.mouse.move(x, y);
  }

  /** The same with the pointer's button held down from the first place to the last. */
  async drag(first, ...places) {
    await this.point(first);
    await this.#page.mouse.down();
    await this.point(...places);
    await this.#page.mouse.up();
  }

  /** Shows it; of Firefox's tabs the one that was seen before becomes hidden. */
  async show() {
    await this.#page.bringToFront();
  }

  /** The whole page, as far as it scrolls. */
  async screenshot(file) {
    await this.#page.screenshot({ path: file, fullPage: true });
  }

  /** The complaints that `allowed` does not cover. */
  unexpected(allowed = []) {
    return this.complaints.filter((complaint) => !allowed.some((pattern) => pattern.test(complaint)));
  }

  async close() {
    await this.#leave();
  }
}
