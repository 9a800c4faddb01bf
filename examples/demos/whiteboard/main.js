// A whiteboard: the drawing is the log of its strokes.
import { connect } from '/efir.js'
import { hue, me, paced, report, room, tell, watch } from '../demo.js'

const svg = 'http://www.w3.org/2000/svg'
const names = ['#sheet', '#strokes', '#strokes g', '#pen']
const [sheet, drawing, layer, pen] = names.map((name) => document.querySelector(name))
const strokes = new Map() // id → <polyline>

const client = connect(undefined, { member: { id: me.id, name: me.name } })
const channel = client.channel(`demo:whiteboard:${room}`)
watch(client)

// --- the drawing: everybody's strokes, one's own too, as the log has them from its beginning

channel.subscribe(({ data }) => data && draw(data), { after: 'start' })

function draw({ stroke, hue: wanted, width, points, undo, wipe }) {
  if (wipe) {
    for (const id of strokes.keys()) erase(id)
  } else if (undo) {
    erase(undo)
  } else if (stroke && Array.isArray(points)) {
    if (!strokes.has(stroke)) strokes.set(stroke, line(wanted, width))
    extend(strokes.get(stroke), points)
    drafts.get(stroke)?.hear(points)
  }
  showHere()
}

function showHere() {
  const [drawn, here] = [strokes.size, channel.presence.count]
  const words = [`Strokes: ${drawn} · here now: ${here}`, `Штрихов: ${drawn} · сейчас здесь: ${here}`]
  tell(document.querySelector('#here'), ...words)
}

function line(wanted, width) {
  const line = layer.appendChild(document.createElementNS(svg, 'polyline'))
  line.dataset.hue = wanted === 'ink' ? 'ink' : hue(wanted)
  line.setAttribute('stroke-width', Math.min(60, Math.max(1, Number(width) || 8)))
  line.setAttribute('points', '')
  return line
}

/** A stroke comes in pieces: x, y, x, y … */
function extend(line, points) {
  line.setAttribute('points', `${line.getAttribute('points')} ${points.map(Number).join(' ')}`)
}

function erase(id) {
  strokes.get(id)?.remove()
  strokes.delete(id)
}

channel.presence.enter().catch(report)
channel.presence.subscribe(showHere)

// --- drafts: what this hand drew and the log has not said yet. Sent in pieces, at most 16 a second.

const drafts = new Map() // id → Draft
let current = null

class Draft {
  look = { hue: document.querySelector('#colours :checked').value, width: Number(document.querySelector('#width').value) }
  line = line(this.look.hue, this.look.width)
  unsent = []
  unheard = []

  add(...point) {
    this.unsent.push(...point)
    this.unheard.push(...point)
    extend(this.line, point)
    send()
  }

  hear(points) {
    const last = points.slice(-2)
    this.unheard.splice(0, points.length)
    this.line.setAttribute('points', this.unheard.length > 0 ? [...last, ...this.unheard].join(' ') : '')
  }
}

const send = paced(async () => {
  for (const [stroke, { look, unsent }] of drafts) {
    if (unsent.length > 0) await channel.publish({ stroke, ...look, points: unsent.splice(0, 1_000) })
  }
}, 60)

function begin(x, y) {
  current = new Draft()
  drafts.set(`${me.id}-${drafts.size}`, current)
  to(x, y)
  to(x, y) // a dot is a stroke too
}

function to(x, y) {
  current.add(Math.round(x), Math.round(y))
}

function place(event) {
  const box = drawing.getBoundingClientRect()
  return [((event.clientX - box.left) / box.width) * 1_600, ((event.clientY - box.top) / box.height) * 1_000]
}

drawing.onpointerdown = (event) => {
  drawing.setPointerCapture(event.pointerId)
  begin(...place(event))
}
drawing.onpointermove = (event) => current && event.buttons > 0 && to(...place(event))
drawing.onpointerup = drawing.onpointercancel = () => (current = null)

const keys = { ArrowLeft: [-20, 0], ArrowRight: [20, 0], ArrowUp: [0, -20], ArrowDown: [0, 20] }
let [x, y] = [800, 500]
sheet.onkeydown = (event) => {
  const [dx, dy] = keys[event.key] ?? []
  if (event.key !== ' ' && dx === undefined) return
  event.preventDefault()
  if (event.key === ' ') current ? (current = null) : begin(x, y)
  else [x, y] = [Math.min(1_600, Math.max(0, x + dx)), Math.min(1_000, Math.max(0, y + dy))]
  if (current) to(x, y)
  pen.removeAttribute('hidden')
  pen.setAttribute('transform', `translate(${x} ${y})`)
  pen.dataset.down = current !== null
}

document.querySelector('#undo').onclick = () => {
  const last = [...drafts.keys()].findLast((id) => strokes.has(id))
  if (last) channel.publish({ undo: last }).catch(report)
}
document.querySelector('#wipe').onclick = () => channel.publish({ wipe: true }).catch(report)
