// The rules of the star race. Pure: the state follows from the messages alone (no
// clock, no chance), so every window that plays the same log has the same state,
// whenever it came.

export const width = 12
export const height = 8
export const goal = 7
/** Who makes no move for so long, by the time in the log, leaves the board. */
const awake_ms = 60_000

export const steps = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }

/**
 * The state after one more message. A round begins with a message, and nothing before it
 * matters: so it is no harm when the beginning of the log is no longer kept. Before the
 * first round there is no state (null).
 */
export function play(state, { data, time, position }) {
  if (data?.round && state?.moves !== 0) return begin(position)
  const step = steps[data?.step]
  if (!state || state.winner || !step) return state
  const { players } = state
  state.event = null
  state.moves += 1
  for (const [who, { seen }] of Object.entries(players)) if (time - seen > awake_ms) delete players[who]
  const player = (players[data.who] ??= { cell: freeCell(state, position), stars: 0 })
  Object.assign(player, { name: String(data.name).slice(0, 40), hue: data.hue, seen: time })
  const x = (player.cell % width) + step[0]
  const y = Math.floor(player.cell / width) + step[1]
  const isTaken = Object.values(players).some(({ cell }) => cell === y * width + x)
  if (x < 0 || y < 0 || x >= width || y >= height || isTaken) return state
  player.cell = y * width + x
  if (player.cell !== state.star) return state
  player.stars += 1
  state.event = { star: data.who }
  if (player.stars === goal) state.winner = data.who
  else state.star = freeCell(state, position)
  return state
}

function begin(position) {
  const star = chance(position, width * height)
  return { players: {}, moves: 0, winner: null, star, event: 'round' }
}

/**
 * A cell with nobody in it and no star, chosen by the position of the message: the
 * same one everywhere.
 */
function freeCell({ players, star }, position) {
  const taken = new Set([star, ...Object.values(players).map(({ cell }) => cell)])
  let cell = chance(position, width * height)
  while (taken.has(cell)) cell = (cell + 1) % (width * height)
  return cell
}

/**
 * A number below `limit` that looks like chance and follows from the text (FNV-1a,
 * mixed once more).
 */
export function chance(text, limit) {
  let hash = 0x811c9dc5
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 12)) >>> 0) % limit
}
