// The cursor of several channels (docs/protocol.md §5.6): `HASH.EPOCH-OFFSET~…`, the hash made from the channel's name.

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The 8 characters that stand for a channel: FNV-1a (64 bit), folded, in base 62. */
export function hashOf(channel: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(channel)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  hash ^= hash >> 32n;
  let text = "";
  for (; text.length < 8; hash /= 62n) text = digits[Number(hash % 62n)]! + text;
  return text;
}

/** The cursors in a token, by channel. */
export function entriesOf(token: string, channels: Iterable<{ channel: string }>): Array<[string, string]> {
  const cursors = new Map(token.split("~").map((entry) => [entry.slice(0, 8), entry.slice(9)]));
  const found: Array<[string, string]> = [];
  for (const { channel } of channels) {
    const cursor = cursors.get(hashOf(channel));
    if (cursor) found.push([channel, cursor]);
  }
  return found;
}

/** The token of channels with cursors; those without begin with what comes from now on. */
export function tokenOf(channels: Iterable<{ channel: string; after: string | undefined }>): string {
  return [...channels].flatMap(({ channel, after }) => (after ? [`${hashOf(channel)}.${after}`] : [])).join("~");
}
