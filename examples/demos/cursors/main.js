// Live cursors: everybody's pointer in everybody's window.
import { connect } from '/efir.js'
import { hue, make, me, paced, report, room, tell, watch } from '../demo.js'
import { offerPhone } from '../phone.js'

const arena = document.querySelector('#arena')
const cursors = new Map() // who → element

const client = connect(undefined, { member: { id: me.id, name: me.name, data: { hue: me.hue } } })
const channel = client.channel(`demo:cursors:${room}`)
watch(client)

// --- others: what they send, and who is there at all

channel.subscribe(({ data }) => {
  if (data?.who && data.who !== me.id) show(data)
})

channel.presence.enter().catch(report)
me.onName(() => channel.presence.update({ name: me.name, data: { hue: me.hue } }).catch(report))
channel.presence.subscribe(({ count, members }) => {
  tell(document.querySelector('#here'), `Here now: ${count}`, `Сейчас здесь: ${count}`)
  if (members.size < count) return // in a crowd only the number is told
  for (const who of cursors.keys()) if (who !== me.id && !members.has(who)) hide(who)
})

function show({ who, name, hue: wanted, x, y, isWaving }) {
  let cursor = cursors.get(who)
  if (!cursor) {
    cursor = make('div', 'cursor')
    cursor.append(make('i', 'tip'), make('b', 'name'))
    cursors.set(who, cursor)
    arena.append(cursor)
  }
  cursor.dataset.who = who
  cursor.dataset.hue = hue(wanted)
  cursor.querySelector('.name').textContent = String(name).slice(0, 40)
  cursor.style.left = `${clamp(x) * 100}%`
  cursor.style.top = `${clamp(y) * 100}%`
  if (isWaving) wave(cursor)
}

function wave(cursor) {
  const ring = make('i', 'ring')
  ring.onanimationend = () => ring.remove()
  cursor.append(ring)
}

function hide(who) {
  cursors.get(who).remove()
  cursors.delete(who)
}

// --- this window: pointer, finger, arrow keys

const mine = { who: me.id, hue: me.hue, x: 0.5, y: 0.5, isWaving: false }

const send = paced(() => {
  if (client.state !== 'online') return // old positions are of no use later
  const position = { ...mine, name: me.name }
  mine.isWaving = false
  // Without a key: a position that comes twice does no harm, and the server need not
  // remember so many of them.
  return channel.publish(position, { key: null })
}, 40)

function move(x, y, isWaving = false) {
  Object.assign(mine, { x: clamp(x), y: clamp(y), isWaving: mine.isWaving || isWaving })
  show({ ...mine, name: me.name, isWaving })
  cursors.get(me.id).classList.add('own')
  send()
}

function follow(event, isWaving) {
  const box = arena.getBoundingClientRect()
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, isWaving)
}

arena.onpointermove = (event) => follow(event, false)
arena.onpointerdown = (event) => follow(event, true)

const steps = {
  ...{ ArrowLeft: [-0.03, 0], ArrowRight: [0.03, 0], Enter: [0, 0] },
  ...{ ArrowUp: [0, -0.03], ArrowDown: [0, 0.03] },
}
arena.onkeydown = (event) => {
  const step = steps[event.key]
  if (!step) return
  event.preventDefault()
  move(mine.x + step[0], mine.y + step[1], event.key === 'Enter')
}

function clamp(part) {
  return Math.min(1, Math.max(0, Number(part) || 0))
}

offerPhone(document.querySelector('#phone'))
