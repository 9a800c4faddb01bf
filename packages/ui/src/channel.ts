// Names of channels: what may be one (docs/protocol.md §1), how it stands in a path and in the page's address.

export const name_bytes_max = 255;

/** A name in the form that the server takes (NFC), or undefined where it would refuse it. */
export function channelName(typed: string): string | undefined {
  const name = typed.trim().normalize("NFC");
  const bytes = new TextEncoder().encode(name).length;
  if (bytes === 0 || bytes > name_bytes_max) return undefined;
  if (name === "." || name === ".." || /[\u0000-\u001f\u007f-\u009f/]/.test(name)) return undefined;
  return name;
}

/** Percent-encoded for a path, and harmless between quotes of any shell or script. */
export function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** As `encodeName`, but letters and digits of any script stay readable: for addresses that a browser encodes by itself. */
export function readableName(name: string): string {
  return Array.from(name, (sign) =>
    /[^\x00-\x7f]/.test(sign) && /[\p{L}\p{N}\p{M}]/u.test(sign) ? sign : encodeName(sign),
  ).join("");
}

/** The channel that an address names after `#`; undefined for none or an impossible one. */
export function channelOfHash(hash: string): string | undefined {
  const text = hash.replace(/^#/, "");
  try {
    return channelName(decodeURIComponent(text));
  } catch {
    return channelName(text);
  }
}

/** A random name for a client: one a pane and page, so that the server counts its bytes apart. */
export function clientId(transport: string): string {
  const random = crypto.getRandomValues(new Uint8Array(9));
  return `${transport}-${Array.from(random, (byte) => byte.toString(36).padStart(2, "0")).join("")}`;
}
