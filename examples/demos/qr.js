// QR codes (ISO/IEC 18004), as many as a link needs: byte mode, level M (a seventh may be unreadable), versions 1 to 10, 213 bytes.
// Gives the modules only; how they are drawn is for the caller.

/** By version: error correction bytes a block, and how many blocks (level M). */
const blocks = [null, [10, 1], [16, 1], [26, 1], [18, 2], [24, 2], [16, 4], [18, 4], [22, 4], [22, 5], [26, 5]]
/** By version: bytes of data and error correction together. */
const bytes_total = [0, 26, 44, 70, 100, 134, 172, 196, 242, 292, 346]
/** By version: where the small alignment squares stand, on both axes. */
const alignments = [[], [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]]

/** The masks, by number: which modules they turn over. */
const masks = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
]

/**
 * The code of a text: rows of booleans, true is dark; without the quiet zone of four modules that must surround it. `mask` is chosen as
 * the standard says, unless it is given. Throws a RangeError for more than 213 bytes of UTF-8.
 */
export function qr(text, mask) {
  const payload = new TextEncoder().encode(text)
  const version = blocks.findIndex((_, version) => version > 0 && payload.length <= capacity(version))
  if (version < 0) throw new RangeError(`${payload.length} bytes are too many for a code of version 10: at most ${capacity(10)}`)
  const grid = new Grid(version)
  grid.drawFunctionPatterns()
  grid.drawBytes(withCorrection(dataBytes(payload, version), version))
  if (mask !== undefined) return grid.masked(mask)
  const candidates = masks.map((_, mask) => grid.masked(mask))
  const penalties = candidates.map(penalty)
  return candidates[penalties.indexOf(Math.min(...penalties))]
}

const dataLength = (version) => bytes_total[version] - blocks[version][0] * blocks[version][1]
const countBits = (version) => (version < 10 ? 8 : 16)
const capacity = (version) => Math.floor((dataLength(version) * 8 - 4 - countBits(version)) / 8)

/** Mode, length, payload, terminator, padding: the bytes of data. */
function dataBytes(payload, version) {
  const bits = []
  const put = (value, count) => {
    for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1)
  }
  put(0b0100, 4)
  put(payload.length, countBits(version))
  for (const byte of payload) put(byte, 8)
  put(0, Math.min(4, dataLength(version) * 8 - bits.length))
  while (bits.length % 8 !== 0) bits.push(0)
  const bytes = []
  for (let at = 0; at < bits.length; at += 8) bytes.push(Number.parseInt(bits.slice(at, at + 8).join(''), 2))
  for (let pad = 0xec; bytes.length < dataLength(version); pad ^= 0xec ^ 0x11) bytes.push(pad)
  return bytes
}

/** The data cut into blocks, each with its error correction, and all of them interleaved. The last blocks may be one byte longer. */
function withCorrection(data, version) {
  const [correction_length, count] = blocks[version]
  const short = Math.floor(data.length / count)
  const long_count = data.length % count
  const parts = []
  for (let index = 0, at = 0; index < count; index += 1) {
    const length = index < count - long_count ? short : short + 1
    parts.push(data.slice(at, at + length))
    at += length
  }
  const interleaved = (lists) => Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, at) => lists.flatMap((list) => list[at] ?? [])).flat()
  return [...interleaved(parts), ...interleaved(parts.map((part) => reedSolomon(part, correction_length)))]
}

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. */
function times(a, b) {
  let product = 0
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d)
    product ^= ((b >> bit) & 1) * a
  }
  return product
}

/** The remainder of the data, as a polynomial, divided by (x - 1)(x - 2)(x - 4)… of that degree. */
function reedSolomon(data, degree) {
  let divisor = [1]
  for (let power = 0, root = 1; power < degree; power += 1, root = times(root, 2)) {
    divisor = [...divisor, 0].map((factor, at) => factor ^ (at > 0 ? times(divisor[at - 1], root) : 0))
  }
  const rest = [...data, ...Array(degree).fill(0)]
  for (let at = 0; at < data.length; at += 1) {
    const lead = rest[at]
    divisor.forEach((factor, index) => (rest[at + index] ^= times(factor, lead)))
  }
  return rest.slice(data.length)
}

/** `value` followed by the remainder of a BCH code of `degree` check bits. */
function bch(value, degree, generator) {
  let rest = value << degree
  for (let bit = 31 - Math.clz32(rest); bit >= degree; bit -= 1) if ((rest >> bit) & 1) rest ^= generator << (bit - degree)
  return (value << degree) | rest
}

class Grid {
  constructor(version) {
    this.version = version
    this.size = 17 + 4 * version
    this.dark = Array.from({ length: this.size }, () => Array(this.size).fill(false))
    /** What is not data, and so never masked. */
    this.fixed = Array.from({ length: this.size }, () => Array(this.size).fill(false))
  }

  set(x, y, isDark) {
    if (x < 0 || y < 0 || x >= this.size || y >= this.size) return
    this.dark[y][x] = isDark
    this.fixed[y][x] = true
  }

  drawFunctionPatterns() {
    for (let at = 0; at < this.size; at += 1) {
      this.set(6, at, at % 2 === 0)
      this.set(at, 6, at % 2 === 0)
    }
    const far = this.size - 7
    for (const [x, y] of [[3, 3], [far + 3, 3], [3, far + 3]]) this.drawRings(x, y, 4, [2, 4])
    const places = alignments[this.version]
    const isFinder = (x, y) => (x === 6 && (y === 6 || y === far)) || (x === far && y === 6)
    for (const x of places) for (const y of places) if (!isFinder(x, y)) this.drawRings(x, y, 2, [1])
    this.drawFormat(0)
    this.drawVersion()
  }

  /** Squares around a place up to a radius; the rings of radii in `light` are light. */
  drawRings(x, y, radius, light) {
    for (let dy = -radius; dy <= radius; dy += 1) {
      for (let dx = -radius; dx <= radius; dx += 1) this.set(x + dx, y + dy, !light.includes(Math.max(Math.abs(dx), Math.abs(dy))))
    }
  }

  /** Level M (00) and the mask, twice, with ten check bits. */
  drawFormat(mask) {
    const bits = bch(mask, 10, 0x537) ^ 0x5412
    const is = (bit) => ((bits >> bit) & 1) === 1
    // Around the first finder, past the timing patterns in row and column 6 …
    for (let bit = 0; bit < 8; bit += 1) this.set(8, bit < 6 ? bit : bit + 1, is(bit))
    for (let bit = 8; bit < 15; bit += 1) this.set(bit === 8 ? 7 : 14 - bit, 8, is(bit))
    // … and once more beside the two others.
    for (let bit = 0; bit < 8; bit += 1) this.set(this.size - 1 - bit, 8, is(bit))
    for (let bit = 8; bit < 15; bit += 1) this.set(8, this.size - 15 + bit, is(bit))
    this.set(8, this.size - 8, true)
  }

  /** From version 7 on: the version, twice, with twelve check bits. */
  drawVersion() {
    if (this.version < 7) return
    const bits = bch(this.version, 12, 0x1f25)
    for (let bit = 0; bit < 18; bit += 1) {
      const [short, long] = [Math.floor(bit / 3), this.size - 11 + (bit % 3)]
      this.set(short, long, ((bits >> bit) & 1) === 1)
      this.set(long, short, ((bits >> bit) & 1) === 1)
    }
  }

  /** Fills what is free: pairs of columns from the right, up and down in turn; the column of the timing pattern is left out. */
  drawBytes(bytes) {
    let bit = 0
    for (let right = this.size - 1, isUp = true; right > 0; right -= right === 8 ? 3 : 2, isUp = !isUp) {
      for (let step = 0; step < this.size; step += 1) {
        const y = isUp ? this.size - 1 - step : step
        for (const x of [right, right - 1]) {
          if (this.fixed[y][x]) continue
          this.dark[y][x] = (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1
          bit += 1
        }
      }
    }
  }

  masked(mask) {
    this.drawFormat(mask)
    return this.dark.map((row, y) => row.map((isDark, x) => (this.fixed[y][x] ? isDark : isDark !== masks[mask](x, y))))
  }
}

/** How hard a code is to read: the four rules of the standard. */
function penalty(rows) {
  const size = rows.length
  const columns = rows.map((_, x) => rows.map((row) => row[x]))
  let points = 0
  for (const line of [...rows, ...columns]) {
    const text = line.map(Number).join('')
    for (const run of text.matchAll(/0{5,}|1{5,}/g)) points += run[0].length - 2
    for (const _ of text.matchAll(/10111010000|00001011101/g)) points += 40
  }
  for (let y = 1; y < size; y += 1) {
    for (let x = 1; x < size; x += 1) {
      const corner = rows[y][x]
      if (rows[y - 1][x] === corner && rows[y][x - 1] === corner && rows[y - 1][x - 1] === corner) points += 3
    }
  }
  const dark = rows.flat().filter(Boolean).length / size ** 2
  return points + 10 * Math.floor(Math.abs(dark - 0.5) * 20)
}
