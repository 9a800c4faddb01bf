// Star race: every window plays the same log through the same rules (rules.js).
// Nothing moves before the log says so.
import { connect } from '/efir.js'
import { hue, make, me, report, room, tell, watch } from '../demo.js'
import { chance, goal, height, play, steps, width } from './rules.js'

const step_rest_ms = 70
const board = document.querySelector('#board')

const client = connect(undefined, { member: { id: me.id, name: me.name } })
const channel = client.channel(`demo:game:${room}`)
watch(client)

// --- the state: all messages from the beginning of the log, in their order

let state = null

channel.subscribe(
  (message) => {
    state = play(state, message)
    show(message.position)
  },
  { after: 'start' },
)
// Something is missing (the server was started again, say): what we know is worth
// nothing until the next round.
channel.on('gap', () => {
  state = null
  show('')
})

// --- moves are messages

let rested = 0

function move(step) {
  if (Date.now() < rested) return
  rested = Date.now() + step_rest_ms
  if (!state) channel.publish({ round: true }).catch(report)
  // Without a key: nobody tries a lost move again, so the server need not remember each.
  channel.publish({ who: me.id, name: me.name, hue: me.hue, step }, { key: null }).catch(report)
}

const keys = {
  ...{ ArrowUp: 'up', ArrowDown: 'down', ArrowLeft: 'left', ArrowRight: 'right' },
  ...{ KeyW: 'up', KeyS: 'down', KeyA: 'left', KeyD: 'right' },
}
addEventListener('keydown', (event) => {
  const step = keys[event.key] ?? keys[event.code]
  if (!step || event.target.matches('input, pre') || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  move(step)
})
for (const button of document.querySelectorAll('[data-step]')) button.onclick = () => move(button.dataset.step)
document.querySelector('#again').onclick = () => channel.publish({ round: true }).catch(report)

// A tap on the board is a step towards it.
board.onpointerdown = (event) => {
  const box = board.getBoundingClientRect()
  const cell = state?.players[me.id]?.cell ?? 0
  const dx = ((event.clientX - box.left) / box.width) * width - (cell % width) - 0.5
  const dy = ((event.clientY - box.top) / box.height) * height - Math.floor(cell / width) - 0.5
  if (Math.abs(dx) > Math.abs(dy)) move(dx > 0 ? 'right' : 'left')
  else move(dy > 0 ? 'down' : 'up')
}

// --- the board

const star = make('div', 'piece star', '★')
const pieces = new Map() // who → element
board.append(star)

function show(position) {
  const players = Object.entries(state?.players ?? {})
  for (const who of pieces.keys()) if (!state?.players[who]) remove(who)
  for (const [who, player] of players) place(piece(who, player), player.cell)
  star.hidden = !state || Boolean(state.winner)
  if (state) place(star, state.star)
  players.sort(([, a], [, b]) => b.stars - a.stars)
  document.querySelector('#score').replaceChildren(...players.map(([who, player]) => row(who, player)))
  say()
  const proof = state ? chance(JSON.stringify(state), 0x10000).toString(16) : '–'
  const shown = document.querySelector('#proof')
  shown.dataset.proof = `${position} ${proof}`
  const words = [`State after ${position}: ${proof}.`, `Состояние после ${position}: ${proof}.`]
  tell(shown, `${words[0]} The same in the other window?`, `${words[1]} В другом окне такое же?`)
}

function row(who, { name, stars, hue: wanted }) {
  const row = make('li')
  const won = ` ${'★'.repeat(stars)}${'☆'.repeat(goal - stars)}`
  if (who === me.id) tell(row, `${name} (you)${won}`, `${name} (вы)${won}`)
  else row.textContent = name + won
  row.dataset.hue = hue(wanted)
  return row
}

function say() {
  const said = document.querySelector('#said')
  const name = (who) => state.players[who].name
  if (!state) tell(said, 'A round begins with the first move.', 'Раунд начнётся с первого хода.')
  else if (state.winner) tell(said, `${name(state.winner)} wins!`, `Победа: ${name(state.winner)}!`)
  else if (state.event === 'round') tell(said, 'A new round. Go!', 'Новый раунд. Вперёд!')
  else if (state.event) tell(said, `${name(state.event.star)} took a star.`, `Звезду взял(а) ${name(state.event.star)}.`)
}

function piece(who, { name, hue: wanted }) {
  if (!pieces.has(who)) pieces.set(who, board.appendChild(make('div', who === me.id ? 'piece own' : 'piece')))
  const element = pieces.get(who)
  element.textContent = Array.from(name)[0]?.toUpperCase()
  element.dataset.hue = hue(wanted)
  return element
}

function place(element, cell) {
  element.style.translate = `${(cell % width) * 100}% ${Math.floor(cell / width) * 100}%`
}

function remove(who) {
  pieces.get(who).remove()
  pieces.delete(who)
}

show('')
