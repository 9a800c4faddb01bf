// Numbers that look random and come again for the same seed. A stream of its own for each name, so that one part may draw more without
// moving what the others draw.

export class Random {
  #seed;
  #state;

  constructor(seed) {
    this.#seed = String(seed);
    // FNV-1a over the seed, once for each word of the state.
    this.#state = Uint32Array.from([1, 2, 3, 4], (salt) => {
      let hash = 0x811c9dc5 ^ salt;
      for (const letter of this.#seed) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
      return hash | 1;
    });
    for (let n = 0; n < 16; n += 1) this.next();
  }

  /** Another stream of the same seed. */
  of(name) {
    return new Random(`${this.#seed}/${name}`);
  }

  /** In [0, 1): xorshift128. */
  next() {
    const s = this.#state;
    const t = s[3] ^ (s[3] << 11);
    s.copyWithin(1, 0, 3);
    s[0] = s[1] ^ (s[1] >>> 19) ^ t ^ (t >>> 8);
    return s[0] / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  between(least, most) {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** As `between`, small ones as likely as large ones of ten times the size. */
  scaled(least, most) {
    return Math.round(Math.exp(Math.log(least) + this.next() * (Math.log(most) - Math.log(least))));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** Picks a key of `{name: weight}`. */
  weighted(weights) {
    const entries = Object.entries(weights);
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    return (entries.find(([, weight]) => (left -= weight) < 0) ?? entries[0])[0];
  }
}
